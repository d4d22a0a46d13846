"""Removing what has ended, in batches that nobody notices.

Expired rows are removed along the index on ``expire_date``, from the oldest on: one SELECT finds
the time at which a batch ends, one DELETE removes what lies before it. No list of ids travels,
memory stays flat, and the number of rows follows the time that the last statement took. Then rows
whose user is missing are removed, along the index on the user. Each batch commits by itself, so
that a clean-up may be interrupted, or run twice at once, at any point.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, router
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.signals import SessionEndReason

DEFAULT_BATCH_SIZE = 5000
FIRST_BATCH_SIZE = 500
SMALLEST_BATCH_SIZE = 50
#: What a statement should take: the size of batches follows, by a factor of 2 at most.
STATEMENT_SECONDS = 0.05
#: How often a batch is tried when the database breaks off the wait for a lock.
TRIES = 5
#: A session this young is no orphan: its user may lie in a transaction of another database.
ORPHAN_AGE = timedelta(hours=1)
USERS_A_QUERY = 500


@dataclass
class CleanupReport:
    """What a clean-up did: rows by reason, statements that removed some, and seconds."""

    expired: int = 0
    orphaned: int = 0
    batches: int = 0
    seconds: float = 0.0
    longest_statement: float = 0.0
    #: False when ``max_seconds`` stopped it before the end.
    is_complete: bool = True


@dataclass
class Cleanup:
    """One clean-up of the rows of ``model`` that had ended at ``cutoff``.

    Args:
        model: the session model.
        batch_size: rows a statement at most.
        sleep: seconds to rest after each batch.
        max_seconds: seconds after which no further batch starts (but the first always does);
            None: until done.
        on_batch: called with the number of rows after each batch.

    Raises:
        ValueError: a number is out of its range, or none.
    """

    model: type[AbstractSession]
    batch_size: int = DEFAULT_BATCH_SIZE
    sleep: float = 0.0
    max_seconds: float | None = None
    on_batch: Callable[[int], object] | None = None
    cutoff: datetime = field(default_factory=timezone.now)
    report: CleanupReport = field(default_factory=CleanupReport)

    def __post_init__(self) -> None:
        if not _is_number(self.batch_size, int, 1):
            raise ValueError(f"The batch size must be 1 row or more, not {self.batch_size!r}.")
        if not _is_number(self.sleep, (int, float), 0):
            raise ValueError(f"The rest must be 0 seconds or more, not {self.sleep!r}.")
        if self.max_seconds is not None and not _is_number(self.max_seconds, (int, float), 0):
            raise ValueError(f"The limit must be 0 seconds or more, not {self.max_seconds!r}.")
        self._rows = registry.sessions(self.model)
        self._size = min(FIRST_BATCH_SIZE, self.batch_size)
        self._slowest = 0.0

    def run(self) -> CleanupReport:
        """Remove expired rows, then rows whose user is missing."""
        start = time.monotonic()
        limit = math.inf if self.max_seconds is None else start + self.max_seconds
        with connections[self._rows.db].execute_wrapper(self._time_statement):
            for rows, reason in self._batches():
                if self.report.batches and time.monotonic() >= limit:
                    self.report.is_complete = False
                    break
                if rows is not None:
                    self._remove(rows, reason)
        self.report.seconds = time.monotonic() - start
        return self.report

    def count(self) -> CleanupReport:
        """Count what ``run()`` would remove."""
        orphaned = sum(rows.count() for rows in self._orphans() if rows is not None)
        return CleanupReport(expired=self.count_expired(), orphaned=orphaned)

    def count_expired(self) -> int:
        """Count the expired rows alone, which takes one query."""
        return self._rows.expired(self.cutoff).count()

    def _batches(self) -> Iterator[tuple[SessionQuerySet | None, SessionEndReason]]:
        """Yield what to remove and why; None while there is nothing, for a look at the clock."""
        for rows in self._expired_batches():
            yield rows, SessionEndReason.EXPIRED
        for orphans in self._orphans():
            yield None, SessionEndReason.USER_DELETED
            for rows in self._cut_by_id(orphans) if orphans is not None else ():
                yield rows, SessionEndReason.USER_DELETED

    def _expired_batches(self) -> Iterator[SessionQuerySet]:
        rest = expired = self._rows.expired(self.cutoff)
        start = None
        while (end := self._value_after_batch(rest, "expire_date")) is not None:
            if end != start:
                yield rest.filter(expire_date__lt=end)
                # What lies before the end is gone: do not walk over its remains again.
                start, rest = end, expired.filter(expire_date__gte=end)
            else:
                # More rows than a batch may have end at the same time.
                yield from self._cut_by_id(expired.filter(expire_date=end))
                rest = expired.filter(expire_date__gt=end)
        yield rest

    def _orphans(self) -> Iterator[SessionQuerySet | None]:
        """Yield the unexpired rows whose user is missing, or None, for each group of users."""
        users = get_user_model()._base_manager.using(router.db_for_write(get_user_model()))
        owners = self._rows.filter(user__isnull=False).order_by("user_id").distinct()
        rows = self._rows.active(self.cutoff).filter(created_at__lt=self.cutoff - ORPHAN_AGE)
        rest = owners
        while group := list(rest.values_list("user_id", flat=True)[:USERS_A_QUERY]):
            present = set(users.filter(pk__in=group).values_list("pk", flat=True))
            missing = [owner for owner in group if owner not in present]
            yield rows.filter(user__in=missing) if missing else None
            rest = owners.filter(user__gt=group[-1])

    def _cut_by_id(self, rows: SessionQuerySet) -> Iterator[SessionQuerySet]:
        rest = rows
        while (end := self._value_after_batch(rest, "id")) is not None:
            yield rest.filter(id__lt=end)
            rest = rows.filter(id__gte=end)
        yield rest

    def _value_after_batch(self, rows: SessionQuerySet, name: str) -> Any:
        """Return the field of the row that is one too many for a batch, None if there is none."""
        values = rows.order_by(name).values_list(name, flat=True)
        return values[self._size : self._size + 1].first()

    def _remove(self, rows: SessionQuerySet, reason: SessionEndReason) -> None:
        count = self._end(rows, reason)
        if reason == SessionEndReason.EXPIRED:
            self.report.expired += count
        else:
            self.report.orphaned += count
        self.report.batches += 1
        factor = max(STATEMENT_SECONDS / max(self._slowest, STATEMENT_SECONDS / 2), 0.5)
        self._size = min(max(int(self._size * factor), SMALLEST_BATCH_SIZE), self.batch_size)
        self._slowest = 0.0
        if self.on_batch:
            self.on_batch(count)
        if self.sleep:
            time.sleep(self.sleep)

    def _end(self, rows: SessionQuerySet, reason: SessionEndReason) -> int:
        for attempt in range(1, TRIES):
            try:
                return registry.end(rows, reason=reason)
            except OperationalError:
                # A deadlock, or a lock that was waited for too long: nothing was removed.
                if connections[rows.db].in_atomic_block:
                    raise
                time.sleep(0.1 * attempt)
        return registry.end(rows, reason=reason)

    def _time_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self._slowest = max(self._slowest, time.perf_counter() - start)
            self.report.longest_statement = max(self.report.longest_statement, self._slowest)


def clear_expired(model: type[AbstractSession]) -> CleanupReport:
    """Remove the rows of ``model`` that have ended."""
    return Cleanup(model).run()


def _is_number(value: Any, kinds: type | tuple[type, ...], minimum: int) -> bool:
    is_kind = isinstance(value, kinds) and not isinstance(value, bool)
    return is_kind and math.isfinite(value) and value >= minimum
