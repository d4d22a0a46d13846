from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SessionKitConfig(AppConfig):
    """Sessions that can be listed and revoked."""

    name = "django_sessionkit"
    label = "sessionkit"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Both need models, which are not there yet when this module is imported.
        from django_sessionkit import checks, receivers  # noqa: PLC0415

        checks.register_checks()
        receivers.connect()
