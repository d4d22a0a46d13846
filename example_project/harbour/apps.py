from django.apps import AppConfig


class HarbourConfig(AppConfig):
    """The pages of the example and the command that fills and serves it."""

    name = "harbour"
    verbose_name = "Harbour"
