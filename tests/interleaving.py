"""Forcing an order of events upon the store: between two statements, and on another connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import connection, connections
from django.db.models import F

from django_sessionkit.conf import conf
from django_sessionkit.models import Session

TABLE = Session._meta.db_table


@contextmanager
def before_each_statement(act: Callable[[int, str], object]) -> Iterator[None]:
    """Call ``act`` before each statement on sessions, with its number from 1 and its verb.

    What ``act`` itself executes does not count.
    """
    count, is_busy = 0, False

    def interfere(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count, is_busy
        if TABLE in sql and not is_busy:
            count, is_busy = count + 1, True
            try:
                act(count, sql.split()[0])
            finally:
                is_busy = False
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interfere):
        yield


def saved(**data: Any) -> str:
    """Save a session of the site's engine that holds ``data``; return its key."""
    session = conf.session_store()
    session.update(data)
    session.save()
    assert session.session_key
    return session.session_key


def save(session_key: str, **data: Any) -> str:
    """Add ``data`` to the session of the key, as another request; return its key from then on."""
    session = conf.session_store(session_key)
    session.update(data)
    session.save()
    assert session.session_key
    return session.session_key


def stored(session_key: str | None) -> dict[str, Any]:
    """Return what the next request finds under the key."""
    return dict(conf.session_store(session_key).items())


def replaced_earlier(by: timedelta) -> None:
    """Move back the moment at which each session got its present key."""
    microseconds = by // timedelta(microseconds=1)
    Session.objects.update(
        created_at=F("created_at") - by, replaced_at=F("replaced_at") - microseconds
    )


def elsewhere(act: Callable[[], Any]) -> Any:
    """Run ``act`` in another thread, on a connection of its own, and return what it returns."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((True, act()))
        except BaseException as error:  # raised again below
            results.append((False, error))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert results, "it still waits for a lock"
    succeeded, result = results[0]
    if not succeeded:
        raise result
    return result
