"""The secrets of the site that keys are derived from."""

from __future__ import annotations

from django.conf import settings


def site_secrets() -> tuple[str | bytes, ...]:
    """Return SECRET_KEY and its fallbacks, the newest first.

    Raises ValueError if one is empty, from which anybody could derive our keys.
    """
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not all(secrets):
        raise ValueError("SECRET_KEY_FALLBACKS must not hold an empty key.")
    return secrets
