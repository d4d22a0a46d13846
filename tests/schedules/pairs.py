"""Pairs of a save and a revoke that start at the same time, each on a session of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.db import connection, connections

USER = "_auth_user_id"
TIMEOUT = 60

Store = Callable[..., Any]


def alive_after(pairs: int, store: Store, revoke: Callable[[str], object]) -> int:
    """Save and revoke sessions of ``store``; return how many of them can be loaded then."""
    # SQLite lets one write at a time.
    at_once = 1 if connection.vendor == "sqlite" else 4
    with ThreadPoolExecutor(at_once) as executor:
        shares = [pairs // at_once] * at_once
        return sum(executor.map(lambda share: _alive_of(share, store, revoke), shares))


def _alive_of(pairs: int, store: Store, revoke: Callable[[str], object]) -> int:
    """Run pairs one after the other: this thread saves, and another one revokes."""
    barrier = threading.Barrier(2, timeout=TIMEOUT)
    keys: list[str] = []

    def revoke_each() -> None:
        try:
            for _ in range(pairs):
                barrier.wait()
                revoke(keys[-1])
                barrier.wait()
        except BaseException:
            barrier.abort()
            raise
        finally:
            connections.close_all()

    alive = 0
    with ThreadPoolExecutor(1) as executor:
        revoking = executor.submit(revoke_each)
        try:
            for _ in range(pairs):
                session = store()
                session[USER] = "1"
                session.save()
                keys.append(session.session_key)
                saving = store(session.session_key)
                saving["mine"] = 1
                barrier.wait()
                with suppress(UpdateError):
                    saving.save()
                barrier.wait()
                alive += USER in store(session.session_key)
        except BaseException:
            barrier.abort()
            raise
        finally:
            connections.close_all()
        revoking.result(TIMEOUT)
    return alive
