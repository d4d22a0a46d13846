"""The clean-up: removes rows whose sessions are over, in batches that requests do not notice.

Where many rows have expired, a batch is a range of ids, so that each page is touched once.
Elsewhere the walk follows the index on ``expire_date``: one SELECT finds the time at which a batch
ends, one DELETE removes the rows that expired earlier. Rows whose user is missing, or whose data a
cache has lost, are removed last. Memory stays flat, and the size of a batch follows the time that
the last statement took. Each batch commits by itself, so a clean-up may be interrupted at any
point, and two may run at the same time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connections
from django.utils import timezone

from django_sessionkit import announcing, registry
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.ending import end_by_cleanup
from django_sessionkit.events import SessionEndReason
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.orphans import ROWS_A_QUERY, find_orphans
from django_sessionkit.recall import repository_in_use
from django_sessionkit.storage.protocol import TellsLostData

#: Rows. Smaller batches commit more often, which costs; larger batches let saves wait longer.
DEFAULT_BATCH_SIZE = 10_000
FIRST_BATCH_SIZE = 500
SMALLEST_BATCH_SIZE = 50
#: How long a statement should take: batches shrink and grow towards that, by a factor of 2 each.
STATEMENT_SECONDS = 0.08
#: How often a batch is tried when the database breaks off the wait for a lock.
TRIES = 5
#: A session this young is no orphan: its user may lie in a transaction of another database.
ORPHAN_AGE = timedelta(hours=1)
#: How many ids are probed to estimate the share of expired rows, and the share from which on the
#: walk follows the ids: such a walk passes active rows too, but touches each page once.
PROBES, DENSE = 200, 0.25

logger = logging.getLogger("django_sessionkit")


@dataclass
class CleanupReport:
    """What a clean-up did: rows removed by reason, statements that removed rows, and seconds."""

    expired: int = 0
    orphaned: int = 0
    lost: int = 0
    batches: int = 0
    seconds: float = 0.0
    longest_statement: float = 0.0
    #: False when ``max_seconds`` stopped it before the end.
    is_complete: bool = True

    @property
    def removed(self) -> int:
        """How many rows were removed, for any reason."""
        return self.expired + self.orphaned + self.lost

    @property
    def by_reason(self) -> dict[SessionEndReason, int]:
        """How many rows were removed for each reason; reasons without rows are left out."""
        counts = {
            SessionEndReason.EXPIRED: self.expired,
            SessionEndReason.USER_DELETED: self.orphaned,
            SessionEndReason.LOST: self.lost,
        }
        return {reason: count for reason, count in counts.items() if count}


@dataclass
class Cleanup:
    """One clean-up of the rows of ``model`` that had ended at ``cutoff``.

    ``batch_size`` limits the rows of a statement; ``sleep`` is the rest after each batch, in
    seconds; after ``max_seconds`` no batch starts but the first; ``on_batch`` is called with the
    number of rows after each batch.

    Raises:
        ValueError: ``batch_size`` is not 1 or more, or a time is not a finite number of 0 or more.
    """

    model: type[AbstractSession]
    batch_size: int = DEFAULT_BATCH_SIZE
    sleep: float = 0.0
    max_seconds: float | None = None
    on_batch: Callable[[int], object] | None = None
    cutoff: datetime = field(default_factory=timezone.now)
    report: CleanupReport = field(default_factory=CleanupReport)

    def __post_init__(self) -> None:
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"The batch size must be 1 row or more, not {self.batch_size!r}.")
        for seconds in (self.sleep, 0 if self.max_seconds is None else self.max_seconds):
            if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
                raise ValueError(f"Seconds must be a number, 0 or more, not {seconds!r}.")
        self._rows = registry.sessions(self.model)
        self.expired = self._rows.expired(self.cutoff)
        self._size = min(FIRST_BATCH_SIZE, self.batch_size)
        self._slowest = 0.0

    def run(self) -> CleanupReport:
        """Remove expired rows, rows whose user is missing, and rows whose data are lost."""
        start = time.monotonic()
        limit = math.inf if self.max_seconds is None else start + self.max_seconds
        try:
            with connections[self._rows.db].execute_wrapper(self._time_statement):
                for rows, reason in self._batches():
                    if self.report.batches and time.monotonic() >= limit:
                        self.report.is_complete = False
                        break
                    if rows is not None:
                        self._remove(rows, reason)
        finally:
            # Also when interrupted: the batches so far have committed.
            announcing.announce_cleanup(self.report.by_reason, self._rows.db)
        self.report.seconds = time.monotonic() - start
        return self.report

    def count(self) -> CleanupReport:
        """Count what ``run()`` would remove."""
        return CleanupReport(
            expired=self.expired.count(),
            orphaned=sum(len(found) for found in self._orphans()),
            lost=sum(len(found) for found in self._lost()),
        )

    def _batches(self) -> Iterator[tuple[SessionQuerySet | None, SessionEndReason]]:
        """Yield rows to remove, and why. None instead of rows: time to look at the clock."""
        for rows in self._expired_batches():
            yield rows, SessionEndReason.EXPIRED
        for found in self._orphans():
            yield None, SessionEndReason.USER_DELETED
            while found:
                pks, owners = zip(*found[: self._size], strict=True)
                del found[: len(pks)]
                rows = self._rows.filter(pk__in=pks, user__in=set(owners))
                yield rows, SessionEndReason.USER_DELETED

        for lost in self._lost():
            yield None, SessionEndReason.LOST
            while lost:
                batch = lost[: self._size]
                del lost[: len(batch)]
                yield self._rows.filter(pk__in=batch), SessionEndReason.LOST

    def _expired_batches(self) -> Iterator[SessionQuerySet]:
        first, last = _span(self._rows)
        probes = {first + (last - first) * step // PROBES for step in range(PROBES + 1)}
        if self.expired.filter(id__in=probes).count() >= len(probes) * DENSE:
            return self._along_ids(self.expired, *_span(self.expired))
        return self._along_dates()

    def _along_ids(self, rows: SessionQuerySet, start: int, last: int) -> Iterator[SessionQuerySet]:
        while start <= last:
            end = start + self._size
            yield rows.filter(id__gte=start, id__lt=end)
            start = end

    def _along_dates(self) -> Iterator[SessionQuerySet]:
        rest, start = (expired := self.expired.order_by("expire_date")), None
        while end := rest.values_list("expire_date", flat=True)[self._size :][:1].first():
            if end != start:
                yield rest.filter(expire_date__lt=end)
            else:
                # More rows than a batch may have end at the same time.
                tied = rest.filter(expire_date=end)
                yield from self._along_ids(tied, *_span(tied))
                end += timedelta.resolution
            # Rows before the end are gone: do not walk over their dead index entries again.
            rest, start = expired.filter(expire_date__gte=end), end
        yield rest

    def _orphans(self) -> Iterator[list[tuple[int, Any]]]:
        """Yield id and user of the active rows whose user is missing, for each chunk of rows."""
        young = self.cutoff - ORPHAN_AGE
        rows = self._rows.active(self.cutoff).filter(created_at__lt=young)
        # Not created_at alone: a login keeps that of the visitor's session.
        return find_orphans(rows.exclude(authenticated_at__gte=young))

    def _lost(self) -> Iterator[list[int]]:
        """Yield the ids of the active rows whose data the cache has lost, for each chunk of rows.

        Of engines that keep the data in a cache alone. A login stores the data before it inserts
        the row, so data that are missing are lost, not late.
        """
        keeper = repository_in_use()
        if not isinstance(keeper, TellsLostData):
            return
        rows = self._rows.active(self.cutoff).filter(data=None).order_by("id")
        rest = fields = rows.values_list("id", "public_id")
        while chunk := list(rest[:ROWS_A_QUERY]):
            try:
                lost = keeper.lost([public_id for _, public_id in chunk])
            except CacheUnreachable as error:
                logger.warning(
                    "Sessions whose data the cache has lost were not looked for: %s", error
                )
                return
            yield [pk for pk, public_id in chunk if public_id in lost]
            rest = fields.filter(id__gt=chunk[-1][0])

    def _remove(self, rows: SessionQuerySet, reason: SessionEndReason) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                count = end_by_cleanup(rows, reason=reason).count
                break
            except OperationalError:
                # A deadlock, or a lock timeout: the statement removed nothing.
                if attempt == TRIES or connections[rows.db].in_atomic_block:
                    raise
                time.sleep(0.1 * attempt)
        if reason == SessionEndReason.EXPIRED:
            self.report.expired += count
        elif reason == SessionEndReason.LOST:
            self.report.lost += count
        else:
            self.report.orphaned += count
        self.report.batches += count > 0
        factor = max(STATEMENT_SECONDS / max(self._slowest, STATEMENT_SECONDS / 2), 0.5)
        self._size = min(max(int(self._size * factor), SMALLEST_BATCH_SIZE), self.batch_size)
        # SQLite has one write lock, for which other writers poll: leave them time to get it.
        is_shared = connections[rows.db].features.has_select_for_update
        rest = self.sleep if is_shared else max(self.sleep, self._slowest / 2)
        self._slowest = 0.0
        if self.on_batch:
            self.on_batch(count)
        if rest:
            time.sleep(rest)

    def _time_statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            self._slowest = max(self._slowest, time.perf_counter() - start)
            self.report.longest_statement = max(self.report.longest_statement, self._slowest)


def clear_expired(model: type[AbstractSession]) -> CleanupReport:
    """Remove the rows of ``model`` whose sessions are over."""
    return Cleanup(model).run()


def _span(rows: SessionQuerySet) -> tuple[int, int]:
    """Return the lowest and the highest id of the rows, (0, -1) if there are none."""
    ids = rows.order_by("id").values_list("id", flat=True)
    first, last = ids.first(), ids.last()
    return (0, -1) if first is None or last is None else (first, last)
