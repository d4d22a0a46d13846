"""The engines that are searched, those with a cache on the Redis of SESSIONKIT_TEST_REDIS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engines import Engine

DB = Engine("db", "django_sessionkit.backends.db")
CACHED_DB = Engine("cached_db", "django_sessionkit.backends.cached_db", "redis")
CACHE = Engine(
    "cache",
    "django_sessionkit.backends.cache",
    "redis",
    data_in_row=False,
    rows_for_visitors=False,
    keeps_public_id_at_login=False,
)
SIGNED_COOKIES = Engine(
    "signed_cookies",
    "django_sessionkit.backends.signed_cookies",
    data_in_row=False,
    rows_for_visitors=False,
    keeps_public_id_at_login=False,
    key_is_token=True,
)
ENGINES = (DB, CACHED_DB, CACHE, SIGNED_COOKIES)


def params(*engines: Engine) -> list[Any]:
    """Return the engines as parameters of a test."""
    return [pytest.param(engine, id=engine.name, marks=marks_of(engine)) for engine in engines]


def marks_of(engine: Engine) -> list[pytest.MarkDecorator]:
    """Return the marks of a test of this engine."""
    return [] if engine.cache_alias is None else [pytest.mark.redis]
