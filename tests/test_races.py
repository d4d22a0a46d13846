"""Statements that a database breaks off are made again; what a snapshot hides is ended too."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections, transaction

from django_sessionkit import registry
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.models import Session
from django_sessionkit.races import TRIES, again_after_races
from tests.interleaving import elsewhere, save, saved, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ONLY_POSTGRESQL = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL refuses such an update"
)
NOT_ON_SQLITE = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction reads"
)


@pytest.fixture
def repeatable_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections that are opened from now on work under REPEATABLE READ."""
    from psycopg import IsolationLevel  # noqa: PLC0415 - not installed where it is not tested

    monkeypatch.setitem(
        connection.settings_dict["OPTIONS"], "isolation_level", IsolationLevel.REPEATABLE_READ
    )


class Rival(threading.Thread):
    """Writes to the session in a transaction, and commits when somebody waits for its lock."""

    def __init__(self, session_key: str) -> None:
        super().__init__()
        self.session_key = session_key
        self.has_written = threading.Event()
        self.was_waited_for = False

    def run(self) -> None:
        try:
            with transaction.atomic():
                save(self.session_key, theirs="x")
                self.has_written.set()
                for _ in range(1000):
                    if self.is_waited_for():
                        self.was_waited_for = True
                        break
                    time.sleep(0.01)
        finally:
            self.has_written.set()
            connections.close_all()

    def is_waited_for(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])


def beside(session_key: str, act: Any) -> Any:
    """Run ``act`` on another connection, against a rival who commits first."""
    rival = Rival(session_key)
    rival.start()
    rival.has_written.wait()
    try:
        return elsewhere(act)
    finally:
        rival.join()
        assert rival.was_waited_for


@ONLY_POSTGRESQL
@pytest.mark.usefixtures("repeatable_read")
def test_a_save_that_postgresql_refuses_is_merged() -> None:
    session_key = saved(one=1)
    session = SessionStore(session_key)
    session["mine"] = "x"
    beside(session_key, session.save)
    assert stored(session_key) == {"one": 1, "mine": "x", "theirs": "x"}


@ONLY_POSTGRESQL
@pytest.mark.usefixtures("repeatable_read")
def test_a_new_key_that_postgresql_refuses_is_set_all_the_same() -> None:
    session_key = saved(one=1)
    session = SessionStore(session_key)
    assert session["one"] == 1
    session.cycle_key()
    beside(session_key, session.save)
    assert stored(session.session_key) == {"one": 1, "theirs": "x"}
    assert stored(session_key) == {}


@ONLY_POSTGRESQL
@pytest.mark.usefixtures("repeatable_read")
def test_a_revocation_that_postgresql_refuses_is_made_again() -> None:
    session_key = saved(one=1)
    assert beside(session_key, registry.revoke_everyone).count == 1
    assert not Session.objects.exists()


@NOT_ON_SQLITE
def test_everyone_is_signed_out_whom_the_snapshot_of_the_transaction_does_not_show() -> None:
    with transaction.atomic():
        list(User.objects.all())
        elsewhere(lambda: saved(one=1))
        registry.revoke_everyone()
    assert not Session.objects.exists()


def test_an_error_that_is_no_lost_race_is_raised_at_once() -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        raise OperationalError("no such host")

    with pytest.raises(OperationalError):
        again_after_races(act, "default")
    assert len(calls) == 1


def test_who_always_loses_gives_up() -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        raise OperationalError(1213, "Deadlock found")

    with pytest.raises(OperationalError):
        again_after_races(act, "default")
    assert len(calls) == TRIES
    with transaction.atomic(), pytest.raises(OperationalError):
        again_after_races(act, "default")
    assert len(calls) == TRIES + 1
