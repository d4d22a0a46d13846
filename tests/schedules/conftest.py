"""The search of an engine, ready to run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test import override_settings

from tests.engines import Engine
from tests.schedules.seams import PAUSED
from tests.schedules.search import Search, searching


@contextmanager
def write_ahead_log() -> Iterator[None]:
    """Let a transaction that reads keep its snapshot while others write."""
    _set_journal_mode("WAL")
    yield
    _set_journal_mode("DELETE")


def _set_journal_mode(mode: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA journal_mode = {mode}")
        assert cursor.fetchall() == [(mode.lower(),)]


@pytest.fixture
def search(
    request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Search]:
    """A search of the engine that the test is parametrized with."""
    engine: Engine = request.param
    # A cache that is cut off a thousand times says so a thousand times.
    monkeypatch.setattr(logging.getLogger("django_sessionkit"), "disabled", True)
    # Nor is it passed by for a time that no scheduler knows of.
    monkeypatch.setattr(f"{PAUSED}.PAUSE", 0.0)
    monkeypatch.setattr(f"{PAUSED}._paused_until", {})
    settings = {"SESSION_ENGINE": engine.path}
    if engine.cache_alias is not None:
        settings["SESSION_CACHE_ALIAS"] = engine.cache_alias
    with write_ahead_log(), override_settings(**settings), searching(engine) as search:
        yield search
