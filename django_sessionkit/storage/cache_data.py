"""Data in a cache alone; a row without data vouches for them once a lease.

A visitor has no row. A login puts the data under a new public id, inserts the row, and retires the
visitor's data. Data that are not there are a session that has ended: a save compares etags (stamps)
and never creates. A cache that does not answer is an error (``CacheUnreachable``; the middleware
answers 503), since nobody knows then whose session this is: nobody is forgotten.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.core.cache import caches
from django.db import DatabaseError
from django.utils import timezone

from django_sessionkit.conf import conf
from django_sessionkit.copies import data_in
from django_sessionkit.copies.format import (
    Entry,
    Kind,
    new_stamp,
)
from django_sessionkit.copies.slots import Data, Swapped, data_key
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.storage import apart
from django_sessionkit.storage.cached import EntryData, drop
from django_sessionkit.storage.columns import (
    failed_renewals_logged,
    insertable,
    secret_changes,
    seen_columns,
)
from django_sessionkit.storage.entries import (
    entry_in,
    new_entry,
    reached,
    record_of,
    retired_key,
    seconds_left,
)
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Conflict,
    Draft,
    EndCause,
    Found,
    Freshness,
    Gone,
    KeyInUse,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
)
from django_sessionkit.storage.retired import RETIRED_FOR, ReplacedKey
from django_sessionkit.storage.rows import Rows
from django_sessionkit.storage.vouchers import Vouchers
from django_sessionkit.storage.wrapper import RowsWrapper

logger = logging.getLogger("django_sessionkit")


class CacheData(RowsWrapper):
    """Sessions whose data lie in a cache. The methods are told in protocol.Repository."""

    is_transactional = False

    def __init__(self, rows: Rows, alias: str) -> None:
        super().__init__(rows)
        self._alias = alias
        self._vouchers = Vouchers(rows, alias)

    def _data(self) -> Data:
        return data_in(caches[self._alias], conf.lease)

    # ---- Finding ----

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        return self._vouchers.find(asked, coder, facts)

    def exists(self, asked: MustAsk | Record, coder: Coder) -> bool:
        found = self.find(MustAsk(asked.key), coder, RequestFacts())
        return isinstance(found, Record)

    # ---- Writing ----

    def row_data(self, data: dict[str, Any], coder: Coder) -> str | None:
        return None

    def insert(self, draft: Draft, coder: Coder) -> Saved | KeyInUse:
        columns = Columns({"id": None, **draft.changes})
        entry = new_entry(draft, columns, coder, has_row=AUTH_USER_ID in draft.data)
        public_id = draft.key.public_id
        with reached():
            if not self._data().create(public_id, entry.pack(public_id), seconds_left(entry)):
                return KeyInUse()
        if entry.kind is Kind.VISITOR:
            return Saved(record_of(draft.key, columns, entry), wrote_row=False)
        inserted = self._rows.insert_row(draft)
        if inserted is None:
            return KeyInUse()
        return Saved(record_of(draft.key, inserted, entry))

    def update(
        self, base: Record, draft: Draft, coder: Coder, *, at_once: bool = False
    ) -> Saved | Conflict | Gone:
        changes = {**draft.changes, **secret_changes(base, draft)}
        wrote_row, columns = False, Columns({**base.columns, **changes})
        columns.user = base.columns.user
        if base.has_row:
            is_due = self._is_row_due(base)
            urgent = apart.urgent_changes(base, changes, is_due=is_due, at_once=at_once)
            wrote_row = bool(urgent)
            if not wrote_row:
                columns["expire_date"] = base.end
            elif gone := apart.write(self._rows, base, self._rows.this(base).active(), urgent):
                return gone
        has_row = base.has_row or AUTH_USER_ID in draft.data
        end = changes.get("expire_date", base.end)
        entry = new_entry(draft, {**columns, "expire_date": end}, coder, has_row=has_row)
        swapped = self._swap(base, entry, unvouch=wrote_row)
        if not swapped.is_done:
            if wrote_row:
                base = base._replace(freshness=Freshness.FRESH)
            return self._conflict(base, columns, swapped, entry, coder)
        if has_row and not base.has_row:
            row = draft._replace(changes=insertable(columns), row=None)
            inserted = self._rows.insert_row(row)
            if inserted is None:
                return Gone()
            return Saved(record_of(draft.key, inserted, entry))
        is_own_key = base.is_own_key or draft.key is not base.key
        saved = record_of(draft.key, columns, entry)
        saved = saved._replace(is_own_key=is_own_key, freshness=base.freshness)
        return Saved(saved, wrote_row=wrote_row)

    def _conflict(
        self, base: Record, columns: Columns, swapped: Swapped, ours: Entry, coder: Coder
    ) -> Conflict | Gone:
        """Tell what lies in the cache in place of the data of ``base``."""
        theirs = entry_in(swapped.theirs, base.public_id)
        if theirs is None:
            return Gone()
        known = (base.key.secret_hash, ours.secret_hash)
        if theirs.kind is Kind.RETIRED or theirs.secret_hash not in known:
            return Gone(is_replaced=True)
        payload = EntryData.read(theirs, coder, ends=True)
        return Conflict(base._replace(columns=columns, payload=payload))

    def _swap(self, base: Record, entry: Entry, *, unvouch: bool = False) -> Swapped:
        """Put the entry in place of the data of ``base``. See Data.swap()."""
        held: Any = base.payload
        public_id = base.public_id
        raw, seconds = entry.pack(public_id), seconds_left(entry)
        with reached():
            return self._data().swap(public_id, held.entry.stamp, raw, seconds, unvouch=unvouch)

    def recover(
        self, base: Record, before: Record | None, coder: Coder, *, inserted: bool
    ) -> Record | Conflict | Gone:
        if inserted:
            return self._rows.inserted_again(base)
        if before is None or in_transaction(self.using):
            return base
        # The row is as it was, and the data are as they were saved: a cache rolls nothing back.
        return before._replace(payload=base.payload)

    def close(self, visitor: Record, by: Record) -> Conflict | None:
        end = timezone.now() + RETIRED_FOR
        held: Any = visitor.payload
        retired = Entry(Kind.RETIRED, new_stamp(), end, held.entry.secret_hash)
        swapped = self._swap(visitor, retired)
        if swapped.is_done or swapped.theirs is None:
            return None
        theirs = entry_in(swapped.theirs, visitor.public_id)
        if theirs is None or theirs.kind is not Kind.VISITOR:
            return None
        return Conflict(visitor._replace(payload=EntryData(theirs, ends=True)))

    # ---- Ending ----

    def delete(self, held: Record | MustAsk, cause: EndCause, coder: Coder) -> int:
        key = held.key
        if isinstance(held, Record) and isinstance(held.payload, EntryData):
            entry: Entry | None = held.payload.entry
        else:
            entry = self._entry_of(key.public_id)
        if entry is None or entry.kind is Kind.RETIRED:
            return 0
        if entry.kind is Kind.DATA:
            return self._rows.delete(held, cause, coder)
        return self._end_visitor(key, entry)

    def _end_visitor(self, key: SplitKey, entry: Entry) -> int:
        """End a session without a row; return 0 if somebody has ended it, or signed in from it."""
        over = Entry(Kind.RETIRED, new_stamp(), timezone.now())
        theirs: Entry | None = entry
        while theirs is not None and theirs.kind is Kind.VISITOR and key.proves(theirs.secret_hash):
            raw = over.pack(key.public_id)
            with reached():
                swapped = self._data().swap(key.public_id, theirs.stamp, raw, seconds_left(over))
            if swapped.is_done:
                return 1
            theirs = entry_in(swapped.theirs, key.public_id)
        return 0

    def drop_visitor(self, visitor: Record) -> None:
        with reached():
            self._data().drop([visitor.public_id])

    def judge(
        self, held: Record | MustAsk, coder: Coder, facts: RequestFacts
    ) -> ReplacedKey | None:
        if isinstance(held, Record) and held.has_row:
            return self._rows.judge(held, coder, facts)
        entry = self._entry_of(held.public_id)
        is_retired = entry is not None and entry.kind is Kind.RETIRED
        if entry is not None and is_retired and held.key.proves(entry.secret_hash):
            return retired_key(entry, held.key, facts)
        return None if isinstance(held, Record) else self._rows.judge(held, coder, facts)

    def _entry_of(self, public_id: uuid.UUID) -> Entry | None:
        with reached():
            read = self._data().read(public_id, wants_ticket=False)
        return entry_in(read.raw, public_id)

    # ---- Renewing ----

    def is_due(self, record: Record) -> bool:
        return record.freshness is Freshness.OWES_FILL or self._is_row_due(record)

    def _is_row_due(self, record: Record) -> bool:
        is_read = record.freshness is not Freshness.FRESH
        return is_read and self._rows.is_due(record)

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        if self._is_row_due(record):
            end, changes = record.payload.end, {"last_seen_at": timezone.now()}
            changes |= seen_columns(facts)
            if end is not None:
                changes["expire_date"] = apart.moved_end(record, end)
            with failed_renewals_logged(record):
                self._rows.renew_row(record, changes)
        if record.freshness is Freshness.OWES_FILL and not in_transaction(self.using):
            try:
                self.find(MustAsk(record.key), coder, facts)
            except (CacheUnreachable, DatabaseError):
                # The response is ready; no voucher is worth losing it.
                logger.warning("Could not vouch for session %s", record.key, exc_info=True)
        return record

    # ---- Data and vouchers, without any store ----

    def drop_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        return drop(self._data(), public_ids)

    def doubt_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        try:
            self._data().unvouch(public_ids)
        except CacheUnreachable as error:
            logger.error("The cache did not answer: %s", error)
            return False
        return True

    def lost(self, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        return self._data().missing(public_ids)

    def cache_key(self, public_id: uuid.UUID) -> str:
        return data_key(public_id)
