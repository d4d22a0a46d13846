"""Sessions in the cache that SESSION_CACHE_ALIAS names; a row vouches for them once a lease."""

from __future__ import annotations

from django.conf import settings

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.backends.cached import cache_key
from django_sessionkit.storage.cache_data import CacheData
from django_sessionkit.storage.rows import Rows


class SessionStore(BaseSessionStore):
    """A session whose data lie in a cache alone."""

    @classmethod
    def get_repository(cls) -> CacheData:
        return CacheData(Rows(cls.get_model_class), settings.SESSION_CACHE_ALIAS)

    cache_key = property(cache_key)

    async def acache_key(self) -> str | None:
        """See cache_key."""
        return cache_key(self)
