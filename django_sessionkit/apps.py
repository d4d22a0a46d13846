from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SessionKitConfig(AppConfig):
    """Sessions that can be listed and revoked."""

    name = "django_sessionkit"
    label = "sessionkit"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Imported for their side effects: the checks register, the receivers connect.
        from django_sessionkit import checks, receivers

        checks.register_checks()
        receivers.connect()
