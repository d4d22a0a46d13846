"""A save and a revoke that start at the same time: of thousands of sessions, none is alive.

``benchmarks/races.py`` does the same to Django's own engines.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import override_settings

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.keys import SplitKey
from tests.engines import Engine
from tests.schedules.engines import CACHE, CACHED_DB
from tests.schedules.pairs import alive_after

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.slow,
]

#: SQLite lets one write at a time, so that little happens at once.
PAIRS = 500 if connection.vendor == "sqlite" else 2000


def revoke(session_key: str) -> None:
    key = SplitKey.parse(session_key)
    assert key is not None
    assert registry.revoke(key.public_id, owner=registry.ANY_OWNER).in_force is InForce.NOW


@pytest.mark.parametrize("engine", [CACHED_DB, CACHE], ids=str)
def test_no_session_is_alive_after_a_save_and_a_revoke_at_once(engine: Engine) -> None:
    with override_settings(SESSION_ENGINE=engine.path, SESSION_CACHE_ALIAS=engine.cache_alias):
        assert alive_after(PAIRS, engine.store, revoke) == 0
