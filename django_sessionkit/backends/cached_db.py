"""Sessions in rows, with a copy of each in the cache that SESSION_CACHE_ALIAS names."""

from __future__ import annotations

from django.conf import settings

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.backends.cached import cache_key
from django_sessionkit.storage.cached_rows import CachedRows
from django_sessionkit.storage.rows import Rows


class SessionStore(BaseSessionStore):
    """A session in one row, read from a copy while that has its lease."""

    @classmethod
    def get_repository(cls) -> CachedRows:
        return CachedRows(Rows(cls.get_model_class), settings.SESSION_CACHE_ALIAS)

    cache_key = property(cache_key)

    async def acache_key(self) -> str | None:
        """See cache_key."""
        return cache_key(self)
