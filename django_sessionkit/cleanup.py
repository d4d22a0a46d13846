"""Removing what has ended, in batches that nobody notices.

Batches walk the index on ``expire_date`` from the oldest row on: one SELECT finds where the batch
ends, one DELETE removes the range. No list of ids travels, memory stays flat, a batch is bounded
in rows, and its size follows the time that the last one took. Each batch commits by itself, so
the walk may be interrupted, or run twice at once, at any point.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, router
from django.db.models import Q
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.signals import SessionEndReason

DEFAULT_BATCH_SIZE = 5000
FIRST_BATCH_SIZE = 500
SMALLEST_BATCH_SIZE = 50
#: Seconds that one statement should not exceed; batches shrink when one has.
STATEMENT_SECONDS = 0.1
#: Locks that another clean-up holds are waited for this often before the error goes on.
LOCK_TRIES = 5
#: A session this young is no orphan: its user may lie in a transaction of another database.
ORPHAN_AGE = timedelta(hours=1)
USERS_A_QUERY = 500

T = TypeVar("T")


@dataclass
class CleanupReport:
    """What a clean-up did: rows by reason, batches, and seconds."""

    expired: int = 0
    orphaned: int = 0
    batches: int = 0
    seconds: float = 0.0
    longest_statement: float = 0.0
    #: False when ``max_seconds`` stopped it before the end.
    is_complete: bool = True


@dataclass
class Cleanup:
    """One walk over the rows of ``model``.

    Args:
        model: the session model.
        batch_size: rows a statement at most.
        sleep: seconds to rest after each batch.
        max_seconds: seconds after which no further batch starts; None: until done.
        on_batch: called with the number of rows after each batch.
    """

    model: type[AbstractSession]
    batch_size: int = DEFAULT_BATCH_SIZE
    sleep: float = 0.0
    max_seconds: float | None = None
    on_batch: Callable[[int], None] | None = None
    cutoff: datetime = field(default_factory=timezone.now)
    report: CleanupReport = field(default_factory=CleanupReport)

    def __post_init__(self) -> None:
        self._size = min(FIRST_BATCH_SIZE, self.batch_size)
        self._start = time.monotonic()

    def run(self) -> CleanupReport:
        """Delete expired rows, then rows whose user is missing."""
        for count in self._expired_batches():
            self.report.expired += count
            if not self._goes_on(count):
                break
        else:
            for orphans in self.orphans():
                rows = registry.sessions(self.model).filter(pk__in=orphans)
                count = self._end(rows, SessionEndReason.USER_DELETED) if orphans else 0
                self.report.orphaned += count
                if not self._goes_on(count):
                    break
        self.report.seconds = time.monotonic() - self._start
        return self.report

    def orphans(self) -> Iterator[list[int]]:
        """Yield the ids of rows whose user is missing, a list for each chunk of rows."""
        users = get_user_model()._base_manager.using(router.db_for_write(get_user_model()))
        rows = (
            registry.sessions(self.model)
            .filter(user__isnull=False, created_at__lt=self.cutoff - ORPHAN_AGE)
            .order_by("id")
        )
        last = 0
        while chunk := list(
            self._timed(rows.filter(id__gt=last).values_list("id", "user_id")[:USERS_A_QUERY].all)
        ):
            last = chunk[-1][0]
            owners = {owner for _, owner in chunk}
            present = set(users.filter(pk__in=owners).values_list("pk", flat=True))
            yield [pk for pk, owner in chunk if owner not in present]

    def _expired_batches(self) -> Iterator[int]:
        rows = registry.sessions(self.model).expired(self.cutoff)
        while True:
            bound = self._timed(
                rows.order_by("expire_date", "id")
                .values_list("expire_date", "id")[self._size - 1 : self._size]
                .first
            )
            yield self._end(_up_to(rows, bound), SessionEndReason.EXPIRED)
            if bound is None:
                return
            # What lies before the bound is gone: do not walk over its remains again.
            rows = rows.filter(expire_date__gte=bound[0])

    def _end(self, rows: SessionQuerySet, reason: SessionEndReason) -> int:
        in_transaction = connections[rows.db].in_atomic_block
        for attempt in range(1, LOCK_TRIES + 1):
            try:
                return self._timed(lambda: registry.end(rows, reason=reason))
            except OperationalError:
                # A deadlock or a lock that was waited for too long: nothing was deleted.
                if in_transaction or attempt == LOCK_TRIES:
                    raise
                time.sleep(0.1 * attempt)
        raise AssertionError("unreachable")

    def _timed(self, statement: Callable[[], T]) -> T:
        start = time.monotonic()
        result = statement()
        seconds = time.monotonic() - start
        self.report.longest_statement = max(self.report.longest_statement, seconds)
        if seconds > STATEMENT_SECONDS:
            self._size = max(min(SMALLEST_BATCH_SIZE, self.batch_size), self._size // 2)
        elif seconds < STATEMENT_SECONDS / 4:
            self._size = min(self.batch_size, self._size * 2)
        return result

    def _goes_on(self, count: int) -> bool:
        self.report.batches += 1
        if self.on_batch:
            self.on_batch(count)
        spent = time.monotonic() - self._start
        if self.max_seconds is not None and spent >= self.max_seconds:
            self.report.is_complete = False
            return False
        if self.sleep:
            time.sleep(self.sleep)
        return True


def clear_expired(model: type[AbstractSession], **options: Any) -> CleanupReport:
    """Delete the rows of ``model`` that have ended; see ``Cleanup`` for the options."""
    return Cleanup(model, **options).run()


def _up_to(rows: SessionQuerySet, bound: tuple[datetime, int] | None) -> SessionQuerySet:
    """Return those of ``rows`` up to ``bound`` in (expire_date, id), all of them for None."""
    if bound is None:
        return rows
    expire_date, pk = bound
    return rows.filter(expire_date__lte=expire_date).exclude(
        Q(expire_date=expire_date), Q(pk__gt=pk)
    )
