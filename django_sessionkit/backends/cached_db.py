"""Sessions in the database, with a copy of the row in a cache.

Inside its lease a copy is believed without a query; the row stays the truth. What a copy does not
confirm (another secret, bytes that are not ours, a session at its end) is asked of the row, and a
cache that fails is logged and passed by.

All access runs in the sync methods; the async twins take one thread hop for a method as a whole.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessionkit.backends.copied import CopiedStore
from django_sessionkit.backends.saving import MergingStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.copies import copies_in
from django_sessionkit.copies.format import Entry, Kind, unpack
from django_sessionkit.copies.slots import Copies, copy_key
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import Recall, in_transaction

#: For how many seconds reading passes by a cache that has not answered: else each request would
#: wait for it. What takes copies back tries each time.
PAUSE = 1.0

#: Until when (by time.monotonic()), by the alias of the cache.
_paused_until: dict[str, float] = {}

logger = logging.getLogger("django_sessionkit")


class SessionStore(CopiedStore, MergingStore):
    """A session in one row, read from a copy while that has its lease."""

    @cached_property
    def _copies(self) -> Copies:
        return copies_in(self._cache, conf.lease)

    @property
    def cache_key(self) -> str | None:
        key = SplitKey.parse(self.session_key)
        return None if key is None else copy_key(key.public_id)

    @classmethod
    def _held(cls) -> Copies:
        return copies_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease)

    @classmethod
    def doubt_copies(cls, public_ids: Collection[uuid.UUID]) -> None:
        """Let the rows be asked, where it is not known whether they change."""
        cls.drop_copies(public_ids)

    def _find(self, key: SplitKey) -> AbstractSession | None:
        self._is_leased = self._owes_copy = False
        if not self._may_believe(key) or time.monotonic() < _paused_until.get(self._alias, 0):
            return super()._find(key)
        may_fill = self._may_fill()
        try:
            row, ticket = self._fetch(key, may_fill)
        except CacheUnreachable as error:
            _paused_until[self._alias] = time.monotonic() + PAUSE
            _log_passed_by(key, error)
            return super()._find(key)
        if row is not None:
            self._is_leased = True
            return row
        row = super()._find(key)
        self._owes_copy = row is not None and not may_fill
        # What cannot be read is no copy for others, who may be able to read it.
        if row is not None and ticket is not None and (data := self._decoded(row)):
            try:
                self._copies.fill(key.public_id, ticket, self._copy_of(row, data))
            except CacheUnreachable as error:
                _log_passed_by(key, error)
        return row

    def _fetch(
        self, key: SplitKey, wants_ticket: bool
    ) -> tuple[AbstractSession | None, object | None]:
        """Return the row if a copy confirms the key, else what it takes to put a copy there."""
        fetched = self._copies.fetch(key.public_id, wants_ticket=wants_ticket)
        if fetched.raw is not None:
            try:
                return self._row_of(unpack(fetched.raw, key.public_id), key), None
            except BadEntry as error:
                _log_foreign(key, error)
            fetched = self._copies.fetch(key.public_id, wants_ticket=wants_ticket, bad=fetched.raw)
        elif fetched.was_foreign:
            _log_foreign(key, "it does not look like one.")
        return None, fetched.ticket

    def _has_written(self, row: AbstractSession, data: dict[str, Any], using: str) -> None:
        if in_transaction(using):
            Recall([row.public_id], type(self)).schedule(using)
            return
        try:
            self._copies.replace(row.public_id, self._copy_of(row, data))
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; a copy of session %s from before it was saved may be "
                "read for up to %d s more: %s",
                row,
                conf.lease,
                error,
            )

    def _doubt(self, row: AbstractSession) -> None:
        Recall([row.public_id], type(self)).schedule(self._using)

    def _copy_of(self, row: AbstractSession, data: dict[str, Any]) -> bytes:
        entry = Entry(
            kind=Kind.COPY,
            stamp=row.version,
            expire_date=row.expire_date,
            secret_hash=bytes(row.secret_hash),
            pk=row.pk,
            user="" if row.user_id is None else str(row.user_id),
            data=self._to_bytes(data),
        )
        return entry.pack(row.public_id)

    def _row_of(self, entry: Entry, key: SplitKey) -> AbstractSession | None:
        """Return the row that the copy is of; None if it does not confirm the key, or has ended.

        Raises BadEntry if the copy is too old, or cannot be read.
        """
        if not entry.is_within(conf.lease):
            raise BadEntry("It is too old.")
        if not key.proves(entry.secret_hash) or entry.expire_date <= timezone.now():
            return None
        values = {
            "id": entry.pk,
            "public_id": key.public_id,
            "secret_hash": entry.secret_hash,
            "user_id": self._user_id(entry),
            "expire_date": entry.expire_date,
            "version": entry.stamp,
        }
        return self._put(entry, self._deferred(values))


def _log_foreign(key: SplitKey, why: object) -> None:
    logger.warning("What lies in the cache for session %s is no copy of it: %s", key, why)


def _log_passed_by(key: SplitKey, why: object) -> None:
    logger.warning("The cache did not answer; session %s is read from its row: %s", key, why)
