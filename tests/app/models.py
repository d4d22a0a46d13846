from django.contrib.auth.models import User


class Member(User):
    """The user model under another name; it sends signals of its own."""

    class Meta:
        proxy = True
