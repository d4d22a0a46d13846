"""The search of an engine, ready to run."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.test import override_settings

from tests.engines import Engine
from tests.schedules.search import Search, searching


@pytest.fixture
def search(
    request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Search]:
    """A search of the engine that the test is parametrized with."""
    engine: Engine = request.param
    # A cache that is cut off a thousand times says so a thousand times.
    monkeypatch.setattr(logging.getLogger("django_sessionkit"), "disabled", True)
    with (
        override_settings(SESSION_ENGINE=engine.path, SESSION_CACHE_ALIAS=engine.cache_alias),
        searching(engine) as search,
    ):
        yield search
