"""The engines that are searched, on the Redis that SESSIONKIT_TEST_REDIS names."""

from __future__ import annotations

from tests.engines import Engine

CACHED_DB = Engine("cached_db", "django_sessionkit.backends.cached_db", "redis")
CACHE = Engine(
    "cache",
    "django_sessionkit.backends.cache",
    "redis",
    data_in_row=False,
    rows_for_visitors=False,
    keeps_public_id_at_login=False,
)
ENGINES = (CACHED_DB, CACHE)
