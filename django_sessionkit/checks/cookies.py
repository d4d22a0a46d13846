"""Checks of the cookie's attributes, and of the keys of tokens."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks.security import sessions as django_checks
from django.core.exceptions import ImproperlyConfigured

from django_sessionkit.checks.installation import DJANGO_APP, session_middleware
from django_sessionkit.recall import repository_in_use
from django_sessionkit.storage.protocol import HasKeySet


def check_cookie_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Django's security.W010 to W015, which go silent once its app and middleware are replaced.

    Django compares literal paths; the same messages are given for what stands in their place.
    """
    django_app = DJANGO_APP in settings.INSTALLED_APPS
    django_middleware = (
        "django.contrib.sessions.middleware.SessionMiddleware" in settings.MIDDLEWARE
    )
    if django_app or django_middleware:
        return []
    with_middleware = bool(session_middleware())
    messages: list[CheckMessage] = []
    if settings.SESSION_COOKIE_SECURE is not True:
        messages.append(django_checks.W012 if with_middleware else django_checks.W010)
    if settings.SESSION_COOKIE_HTTPONLY is not True:
        messages.append(django_checks.W015 if with_middleware else django_checks.W013)
    return messages


def check_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E008: keys and passwords of the cookie engines that cannot be used."""
    try:
        repository = repository_in_use()
        if isinstance(repository, HasKeySet):
            repository.check_keys()
    except (ImportError, AttributeError, ImproperlyConfigured):
        return []  # E005; or there is no SECRET_KEY, which Django says better.
    except ValueError as error:
        return [
            Error(
                f"{settings.SESSION_ENGINE!r} has no keys that it can use: {error}",
                hint="See SESSIONKIT_JWT_… and SESSIONKIT_SEAL_PASSWORDS in the reference.",
                id="sessionkit.E008",
            )
        ]
    return []
