"""Rows with a copy of each in a cache.

Inside its lease a copy is believed without a query; the row stays the truth. What a copy does not
confirm (another secret, bytes that are not ours, a session at its end) is asked of the row, and a
cache that fails is logged and bypassed.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from django.core.cache import caches
from django.db import DatabaseError
from django.utils import timezone

from django_sessionkit.conf import conf
from django_sessionkit.copies import copies_in
from django_sessionkit.copies.format import Entry, Kind, unpack
from django_sessionkit.copies.slots import Copies, copy_key
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import Recall, in_transaction
from django_sessionkit.storage.cached import EntryData, drop, may_believe, may_fill, owner_of
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Conflict,
    Draft,
    Found,
    Freshness,
    Gone,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
    Source,
    Unknown,
)
from django_sessionkit.storage.row_queries import RowData
from django_sessionkit.storage.rows import Rows
from django_sessionkit.storage.serialization import to_bytes
from django_sessionkit.storage.wrapper import RowsWrapper

#: For how many seconds reading bypasses a cache that has not answered: else each request would
#: wait for the cache. What takes copies back tries each time.
PAUSE = 1.0

#: Until when (by time.monotonic()), by the alias of the cache.
_paused_until: dict[str, float] = {}

logger = logging.getLogger("django_sessionkit")


class CachedRows(RowsWrapper):
    """Rows, and copies of them in a cache. The methods are told in protocol.Repository."""

    def __init__(self, rows: Rows, alias: str) -> None:
        super().__init__(rows)
        self._alias = alias

    def _copies(self) -> Copies:
        return copies_in(caches[self._alias], conf.lease)

    # ---- Finding ----

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        key, lease, using = asked.key, conf.lease, self.using
        if not may_believe(key, using, lease):
            return self._rows.find(asked, coder, facts)
        if time.monotonic() < _paused_until.get(self._alias, 0):
            return self._rows.find(asked, coder, facts)
        fills = may_fill(using, lease)
        copies = copies_in(caches[self._alias], lease)
        try:
            found, ticket = self._fetched(copies, key, coder, wants_ticket=fills, lease=lease)
        except CacheUnreachable as error:
            _paused_until[self._alias] = time.monotonic() + PAUSE
            _log_bypassed(key, error)
            return self._rows.find(asked, coder, facts)
        if found is not None:
            return found
        columns = self._rows.active(key.public_id, with_user=facts.wants_user)
        data = None
        if columns is not None and ticket is not None:
            # Whoever asks: a wrong secret must not keep the right one from a copy for a lease.
            data = self._filled(copies, columns, ticket, coder)
        if columns is None or not key.proves(columns["secret_hash"]):
            return self._rows.replaced_key(columns, key.mark, facts) or Unknown()
        freshness = Freshness.REVALIDATED if fills else Freshness.OWES_FILL
        return Record(key, columns, RowData(columns["data"], data), Source.ROW, freshness)

    def exists(self, asked: MustAsk | Record, coder: Coder) -> bool:
        found = self.find(MustAsk(asked.key), coder, RequestFacts())
        return isinstance(found, Record)

    def _fetched(
        self, copies: Copies, key: SplitKey, coder: Coder, *, wants_ticket: bool, lease: int
    ) -> tuple[Record | None, object]:
        """Return the record if a copy confirms the key, else a ticket to put a copy there with."""
        fetched = copies.fetch(key.public_id, wants_ticket=wants_ticket)
        if fetched.raw is not None:
            try:
                return self._record(unpack(fetched.raw, key.public_id), key, coder, lease), None
            except BadEntry as error:
                _log_foreign(key, error)
            fetched = copies.fetch(key.public_id, wants_ticket=wants_ticket, bad=fetched.raw)
        elif fetched.was_foreign:
            _log_foreign(key, "it does not look like one.")
        return None, fetched.ticket

    def _record(self, entry: Entry, key: SplitKey, coder: Coder, lease: int) -> Record | None:
        """Return the record of a copy; None if the copy does not confirm the key, or has ended.

        Raises BadEntry if the copy is too old, or cannot be read.
        """
        if not entry.is_within(lease):
            raise BadEntry("It is too old.")
        if not key.proves(entry.secret_hash) or entry.expire_date <= timezone.now():
            return None
        columns = Columns(
            id=entry.pk,
            public_id=key.public_id,
            secret_hash=entry.secret_hash,
            user_id=owner_of(entry, self._rows.model),
            expire_date=entry.expire_date,
            version=entry.stamp,
        )
        payload = EntryData.read(entry, coder, ends=False)
        return Record(key, columns, payload, Source.COPY, Freshness.FRESH)

    def _filled(
        self, copies: Copies, columns: Columns, ticket: object, coder: Coder
    ) -> dict[str, Any]:
        """Put a copy of the row over the ticket; return the data of the row."""
        data = RowData(columns["data"]).fresh(coder)
        # Data that cannot be read here are not copied: others may be able to read them.
        if data:
            public_id = columns["public_id"]
            try:
                copies.fill(public_id, ticket, _copy_of(columns, data, coder))
            except CacheUnreachable as error:
                _log_bypassed(public_id, error)
        return data

    # ---- Writing ----

    def update(
        self, base: Record, draft: Draft, coder: Coder, *, at_once: bool = False
    ) -> Saved | Conflict | Gone:
        outcome = self._rows.update(base, draft, coder)
        if isinstance(outcome, Saved):
            self._replace_copy(outcome.record, draft.data, coder)
        elif isinstance(outcome, Gone):
            self._invalidate_replaced(base, outcome)
        return outcome

    def update_locked(
        self, base: Record, merged: Callable[[Record], Draft | Gone], coder: Coder
    ) -> Saved | Gone:
        # By our own update(), which sees a transaction and invalidates the copy after the commit.
        update = partial(self.update, coder=coder)
        outcome = self._rows.updated_under_lock(base, merged, update)
        if isinstance(outcome, Gone):
            self._invalidate_replaced(base, outcome)
        return outcome

    def recover(
        self, base: Record, before: Record | None, coder: Coder, *, inserted: bool
    ) -> Record | Conflict | Gone:
        recovered = self._rows.recover(base, before, coder, inserted=inserted)
        if isinstance(recovered, Gone):
            self._invalidate_replaced(base, recovered)
        return recovered

    def _invalidate_replaced(self, base: Record, gone: Gone) -> None:
        """Take back a copy that confirms a secret which the row has no more.

        The request was let in by that copy. Others would be too, and lose what they save, until the
        lease of the copy ends.
        """
        if gone.is_replaced:
            Recall([base.public_id], self).schedule(self.using)

    def _replace_copy(self, record: Record, data: dict[str, Any], coder: Coder) -> None:
        """Replace the copy, if the UPDATE has committed; else invalidate it after the commit.

        Then the save may return.
        """
        using = self.using
        if in_transaction(using):
            Recall([record.public_id], self).schedule(using)
            return
        try:
            copy = _copy_of(record.columns, data, coder)
            self._copies().replace(record.public_id, copy)
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; a copy of session %s from before it was saved may be "
                "read for up to %d s more: %s",
                record.key,
                conf.lease,
                error,
            )

    # ---- Ending and renewing ----

    def is_due(self, record: Record) -> bool:
        if record.freshness is Freshness.FRESH:
            return False
        return record.freshness is Freshness.OWES_FILL or self._rows.is_due(record)

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        if self._rows.is_due(record):
            record = self._rows.renew(record, coder, facts)
        if record.freshness is Freshness.OWES_FILL and not in_transaction(self.using):
            try:
                self.find(MustAsk(record.key), coder, facts)
            except DatabaseError:
                # The response is ready; no copy is worth losing it.
                logger.warning("Could not copy session %s", record.key, exc_info=True)
        return record

    # ---- Copies, without any store ----

    def drop_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        return drop(self._copies(), public_ids)

    def doubt_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        return self.drop_copies(public_ids)

    def cache_key(self, public_id: uuid.UUID) -> str:
        return copy_key(public_id)


def _copy_of(columns: Columns, data: dict[str, Any], coder: Coder) -> bytes:
    user_id = columns["user_id"]
    entry = Entry(
        kind=Kind.COPY,
        stamp=columns["version"],
        expire_date=columns["expire_date"],
        secret_hash=bytes(columns["secret_hash"]),
        pk=columns["id"],
        user="" if user_id is None else str(user_id),
        data=to_bytes(data, coder),
    )
    return entry.pack(columns["public_id"])


def _log_foreign(key: SplitKey, why: object) -> None:
    logger.warning("What lies in the cache for session %s is no copy of it: %s", key, why)


def _log_bypassed(key: SplitKey | uuid.UUID, why: object) -> None:
    logger.warning("The cache did not answer; session %s is read from its row: %s", key, why)
