"""Statements that a database breaks off because another connection came first.

Under REPEATABLE READ PostgreSQL refuses to update a row that has changed since the snapshot, and
every database breaks a deadlock by giving up one side. Nothing was written then, so a statement
that stands for itself is simply made again; within a transaction only its owner can do that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connections

TRIES = 10

#: SQLSTATE: serialization_failure, deadlock_detected (PostgreSQL, appendix A).
_STATES = frozenset({"40001", "40P01"})
#: ER_LOCK_DEADLOCK, and ER_CHECKREAD of innodb_snapshot_isolation (MariaDB error codes).
_NUMBERS = frozenset({1213, 1020})

T = TypeVar("T")


def lost_a_race(error: OperationalError, using: str) -> bool:
    """Tell whether the statement that failed with ``error`` may be made again."""
    if connections[using].in_atomic_block:
        return False
    cause = error.__cause__
    # psycopg says sqlstate, psycopg2 pgcode.
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state in _STATES or bool(error.args and error.args[0] in _NUMBERS)


def again_after_races(act: Callable[[], T], using: str) -> T:
    """Return ``act()``, made again when it lost a race on the database ``using``.

    Raises OperationalError when it has lost ``TRIES`` in a row, or within a transaction.
    """
    for _ in range(TRIES - 1):
        try:
            return act()
        except OperationalError as error:
            if not lost_a_race(error, using):
                raise
    return act()
