"""Checks of INSTALLED_APPS and MIDDLEWARE."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core import checks
from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

APP = "django_sessionkit"
DJANGO_APP = "django.contrib.sessions"


def check_apps(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W001: Django's app stands before ours, so that its ``clearsessions`` wins."""
    names = [config.name for config in apps.get_app_configs()]
    if APP in names and DJANGO_APP in names[: names.index(APP)]:
        return [
            checks.Warning(
                f"'{DJANGO_APP}' stands before '{APP}' in INSTALLED_APPS, so that "
                "'manage.py clearsessions' is Django's and cleans another table.",
                hint=f"Remove '{DJANGO_APP}', or move it behind '{APP}'.",
                id="sessionkit.W001",
            )
        ]
    return []


def session_middleware() -> list[type[DjangoSessionMiddleware]]:
    """Return the session middlewares of the project."""
    found = []
    for path in settings.MIDDLEWARE:
        try:
            middleware = import_string(path)
        except ImportError:
            continue  # Django says so when it loads the middleware.
        if isinstance(middleware, type) and issubclass(middleware, DjangoSessionMiddleware):
            found.append(middleware)
    return found
