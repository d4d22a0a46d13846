"""Checks of the cache that sessions lie in."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.core import checks
from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, Error

from django_sessionkit.copies import has_scripts
from django_sessionkit.recall import DropsCopies, repository_in_use


def check_cache(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E006, E007, W004, W006, W007: what the cache of the sessions cannot do."""
    if not _has_cache():
        return []
    alias = settings.SESSION_CACHE_ALIAS
    if alias not in settings.CACHES:
        return [
            Error(
                f"SESSION_CACHE_ALIAS is {alias!r}, which CACHES does not have.",
                hint=f"Use one of {', '.join(map(repr, settings.CACHES))}.",
                id="sessionkit.E006",
            )
        ]
    try:
        cache = caches[alias]
    except (ImportError, InvalidCacheBackendError):
        return []  # Django's message for that is the better one.
    options: dict[str, Any] = dict(cast(Any, settings.CACHES[alias].get("OPTIONS", {})))
    options |= options.get("CONNECTION_POOL_KWARGS", {})
    messages: list[CheckMessage] = []
    if isinstance(cache, DummyCache):
        messages.append(
            checks.Warning(
                f"The cache {alias!r} keeps nothing, so that 'cached_db' reads the row at each "
                "request and 'cache' signs everybody out.",
                hint="Use a Redis, or 'django_sessionkit.backends.db'.",
                id="sessionkit.W004",
            )
        )
    if _is_redis(cache) and options.get("decode_responses"):
        messages.append(
            Error(
                f"The cache {alias!r} has 'decode_responses' on, but sessions are bytes.",
                hint="Remove it, or give sessions a cache of their own.",
                id="sessionkit.E007",
            )
        )
    names = {str(name).lower() for name, value in options.items() if value}
    if _is_redis(cache) and not {"socket_timeout", "socket_connect_timeout"} <= names:
        messages.append(
            checks.Warning(
                f"The cache {alias!r} has no socket timeouts: while its server hangs, so does "
                "every request that has a session.",
                hint="Set 'SOCKET_CONNECT_TIMEOUT' and 'SOCKET_TIMEOUT' (seconds, such as 0.5) "
                "in its OPTIONS; for Django's own backend they are written in lower case.",
                id="sessionkit.W006",
            )
        )
    if options.get("SENTINELS") and "retry" not in (options.get("SENTINEL_KWARGS") or {}):
        messages.append(
            checks.Warning(
                f"The cache {alias!r} lets redis-py ask Sentinels that do not answer again and "
                "again, for many seconds a request.",
                hint="Give SENTINEL_KWARGS in its OPTIONS timeouts and a 'retry' of its own, such "
                "as Retry(NoBackoff(), 0) of redis-py.",
                id="sessionkit.W007",
            )
        )
    return messages


def check_cache_is_shared(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W005: a cache that each process has for itself."""
    if not _has_cache() or settings.SESSION_CACHE_ALIAS not in settings.CACHES:
        return []
    backend = settings.CACHES[settings.SESSION_CACHE_ALIAS].get("BACKEND")
    if backend != f"{LocMemCache.__module__}.{LocMemCache.__qualname__}":
        return []
    return [
        checks.Warning(
            "Sessions lie in a cache that each process has for itself: with more than one, "
            "'cached_db' believes a revoked session for up to a lease, and 'cache' signs people "
            "in and out by chance.",
            hint="Use a Redis, or 'django_sessionkit.backends.db'.",
            id="sessionkit.W005",
        )
    ]


def _has_cache() -> bool:
    """Whether the engine is one of ours that keeps something in a cache."""
    try:
        return isinstance(repository_in_use(), DropsCopies)
    except (ImportError, AttributeError):
        return False  # E005


def _is_redis(cache: BaseCache) -> bool:
    """Whether it is django-redis' backend, or Django's own for Redis."""
    return has_scripts(cache) or isinstance(cache, RedisCache)
