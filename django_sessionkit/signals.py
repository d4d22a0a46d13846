"""What happens to sessions, told to whoever wants to know.

Both signals are sent after the transaction has committed, with ``send_robust()``: a receiver
that fails is logged by Django and neither stops the others nor brings a session back.

``session_created(sender=model, session=row)``
    a row was written: somebody signed in, or a visitor stored something.
``session_ended(sender=model, session=row, reason=SessionEndReason, actor=user or None, at_once)``
    a row was deleted; ``session`` is the row as it was, ``actor`` the user who ended it, where
    that is known. ``at_once`` is False where a cache did not answer: the session is then refused
    at the latest when its lease ends.

``session`` never holds a session key, only its hash.
"""

from django.db.models import TextChoices
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _


class SessionEndReason(TextChoices):
    """Why a session ended."""

    LOGOUT = "logout", _("signed out")
    FLUSHED = "flushed", _("emptied by the site")
    REVOKED = "revoked", _("revoked")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    USER_DEACTIVATED = "user_deactivated", _("user deactivated")
    USER_DELETED = "user_deleted", _("user deleted")
    EXPIRED = "expired", _("expired")
    LOST = "lost", _("lost by the cache")
    DELETED = "deleted", _("deleted")


session_created = Signal()
session_ended = Signal()
