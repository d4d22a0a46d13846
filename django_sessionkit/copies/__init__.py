"""What a cache holds of sessions: copies of rows, and data that lies nowhere else.

``format`` knows the bytes; ``redis`` and ``generic`` know how to keep promises on a Redis reached
through django-redis, and on any other cache of Django's. Nothing here knows the database.
"""

from __future__ import annotations

from django.core.cache import BaseCache

from django_sessionkit.copies.generic import GenericCopies, GenericData
from django_sessionkit.copies.redis import RedisCopies, RedisData
from django_sessionkit.copies.slots import Copies, Data


def copies_in(cache: BaseCache, lease: int) -> Copies:
    """Return the copies of rows in ``cache``, each believed for ``lease`` seconds."""
    return RedisCopies(cache, lease) if has_scripts(cache) else GenericCopies(cache, lease)


def data_in(cache: BaseCache, lease: int) -> Data:
    """Return the data in ``cache`` that rows vouch for, each time for ``lease`` seconds."""
    return RedisData(cache, lease) if has_scripts(cache) else GenericData(cache, lease)


def has_scripts(cache: BaseCache) -> bool:
    """Whether the cache gives its connection to Redis away (as django-redis does)."""
    return hasattr(getattr(cache, "client", None), "get_client")
