"""Sessions in the database, with a copy of the row in a cache.

Inside its lease a copy is believed without a query; the row stays the truth. What a copy does not
confirm (another secret, bytes that are not ours, a session at its end) is asked of the row, and a
cache that fails is logged and passed by. SESSION_CACHE_ALIAS names the cache.

All access runs in the sync methods; the async twins take one thread hop for a method as a whole.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches
from django.utils import timezone

from django_sessionkit.backends import db
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.copies import copies_in
from django_sessionkit.copies.format import Entry, Kind, unpack
from django_sessionkit.copies.slots import copy_key
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import Recall, in_transaction, is_touched

logger = logging.getLogger("django_sessionkit")


class SessionStore(db.SessionStore):
    """A session in one row, read from a copy while that has its lease."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._copies = copies_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease)
        # The copy has vouched for the row, so there is no lease to renew.
        self._is_leased = False
        # The row was read where no copy may be made, within a transaction.
        self._owes_copy = False

    @property
    def cache_key(self) -> str | None:
        """The key of the copy, before the cache adds its prefix and version; not the secret."""
        key = SplitKey.parse(self.session_key)
        return None if key is None else copy_key(key.public_id)

    async def acache_key(self) -> str | None:
        return self.cache_key

    @classmethod
    def drop_copies(cls, public_ids: Collection[uuid.UUID]) -> bool:
        """Take copies back from the cache, now; return False if it did not answer."""
        try:
            copies_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease).drop(public_ids)
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; copies of %d sessions that ended or got a new key are "
                "believed for up to %d s more: %s",
                len(public_ids),
                conf.lease,
                error,
            )
            return False
        return True

    def lease_has_run_out(self) -> bool:
        return self._owes_copy or (not self._is_leased and super().lease_has_run_out())

    def renew_lease(self) -> None:
        if super().lease_has_run_out():
            super().renew_lease()
        key = SplitKey.parse(self.session_key)
        if self._owes_copy and key is not None and not in_transaction(self._rows().db):
            self._owes_copy = False
            self._find(key)

    def _find(self, key: SplitKey) -> AbstractSession | None:
        self._is_leased = False
        using = self._rows().db
        if not conf.lease or is_touched(key.public_id, using):
            return super()._find(key)
        # A snapshot may be older than the ticket, and what is written be taken back.
        may_fill = not in_transaction(using)
        ticket = None
        try:
            fetched = self._copies.fetch(key.public_id, wants_ticket=may_fill)
            if fetched.raw is not None:
                try:
                    row = self._row_of(unpack(fetched.raw, key.public_id), key)
                except BadEntry as error:
                    _log_foreign(key, error)
                    fetched = self._copies.fetch(
                        key.public_id, wants_ticket=may_fill, bad=fetched.raw
                    )
                else:
                    if row is not None:
                        self._is_leased = True
                        return row
            elif fetched.was_foreign:
                _log_foreign(key, "It does not look like a copy.")
            ticket = fetched.ticket
        except CacheUnreachable as error:
            _log_passed_by(key, error)
        row = super()._find(key)
        self._owes_copy = not may_fill and row is not None
        if row is not None and ticket is not None:
            try:
                self._copies.fill(key.public_id, ticket, self._copy_of(row))
            except CacheUnreachable as error:
                _log_passed_by(key, error)
        return row

    def _has_written(self, row: AbstractSession, using: str) -> None:
        if in_transaction(using):
            Recall([row.public_id]).schedule(using)
            return
        try:
            self._copies.replace(row.public_id, self._copy_of(row))
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; a copy of session %s from before it was saved may be "
                "read for up to %d s more: %s",
                row,
                conf.lease,
                error,
            )

    def _replace_secret(self, row: AbstractSession, new: SplitKey) -> bool:
        if not super()._replace_secret(row, new):
            return False
        # What else was saved meanwhile is not known here, so there is nothing to put instead.
        Recall([row.public_id]).schedule(self._rows().db)
        return True

    def _copy_of(self, row: AbstractSession) -> bytes:
        entry = Entry(
            kind=Kind.COPY,
            stamp=row.version,
            expire_date=row.expire_date,
            secret_hash=bytes(row.secret_hash),
            pk=row.pk,
            user="" if row.user_id is None else str(row.user_id),
            data=self._to_bytes(row),
        )
        return entry.pack(row.public_id)

    def _row_of(self, entry: Entry, key: SplitKey) -> AbstractSession | None:
        """Return the row that the copy is of; None if it does not confirm the key, or has ended.

        Columns that a copy does not hold are read when they are asked for (they are deferred).
        """
        if not key.proves(entry.secret_hash) or entry.expire_date <= timezone.now():
            return None
        target = self.model._meta.get_field("user").target_field
        values = {
            "id": entry.pk,
            "public_id": key.public_id,
            "secret_hash": entry.secret_hash,
            "user_id": target.to_python(entry.user) if entry.user else None,
            "expire_date": entry.expire_date,
            "version": entry.stamp,
        }
        row = self.model.from_db(self._rows().db, list(values), list(values.values()))
        row.copied_data = entry.data
        return row

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        if "data" in row.__dict__:
            return super()._decoded(row)
        # Its MAC has been checked, so nobody else has written it.
        if self._encodes_by_itself():
            return self.decode(row.copied_data.decode())
        data: dict[str, Any] = self.serializer().loads(row.copied_data)
        return data

    def _to_bytes(self, row: AbstractSession) -> bytes:
        """Return the data as a copy holds them: what the serializer makes of them.

        Signature and timestamp are left to the row. A store that encodes in a way of its own
        (which may encrypt) finds that in the copy too.
        """
        if row.data is None:
            return b""
        if self._encodes_by_itself():
            return row.data.encode()
        data: bytes = self.serializer().dumps(super()._decoded(row))
        return data

    def _encodes_by_itself(self) -> bool:
        cls = type(self)
        return cls.encode is not SessionBase.encode or cls.decode is not SessionBase.decode


def _log_foreign(key: SplitKey, why: object) -> None:
    logger.warning("What lies in the cache for session %s is no copy of it: %s", key, why)


def _log_passed_by(key: SplitKey, why: object) -> None:
    logger.warning("The cache did not answer; session %s is read from its row: %s", key, why)
