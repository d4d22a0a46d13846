"""Checks of the values of our own settings."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from django_sessionkit.conf import IP_ADDRESS_CHOICES, conf


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: values of our own settings."""
    errors: list[CheckMessage] = []
    if not _is_count(conf.lease):
        errors.append(
            Error(
                f"SESSIONKIT_LEASE must be a whole number of seconds, not {conf.lease!r}.",
                hint="Use 60, or 0 to ask the row at each request.",
                id="sessionkit.E001",
            )
        )
    if not _is_count(conf.trusted_proxy_count):
        errors.append(
            Error(
                "SESSIONKIT_TRUSTED_PROXY_COUNT must be the number of proxies before the site, "
                f"not {conf.trusted_proxy_count!r}.",
                hint="Use 0 where clients connect directly, 1 behind one reverse proxy.",
                id="sessionkit.E002",
            )
        )
    if conf.ip_address not in IP_ADDRESS_CHOICES:
        errors.append(
            Error(
                f"SESSIONKIT_IP_ADDRESS must not be {conf.ip_address!r}.",
                hint=f"Use one of {', '.join(map(repr, IP_ADDRESS_CHOICES))}.",
                id="sessionkit.E003",
            )
        )
    return errors


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
