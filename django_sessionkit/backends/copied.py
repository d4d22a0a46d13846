"""What the engines share that keep something in a cache."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.utils.functional import cached_property

from django_sessionkit.backends.encoded import EncodedStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.copies.format import Entry
from django_sessionkit.copies.slots import Copies, Data
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction, is_touched

logger = logging.getLogger("django_sessionkit")


class CopiedStore(EncodedStore):
    """A store that believes a cache for a lease. SESSION_CACHE_ALIAS names the cache."""

    # The row was read where nothing may be put into the cache, within a transaction.
    _owes_copy = False

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._alias: str = settings.SESSION_CACHE_ALIAS

    @cached_property
    def _cache(self) -> BaseCache:
        return caches[self._alias]

    @classmethod
    def _held(cls) -> Copies | Data:
        """Return what the cache holds for this engine."""
        raise NotImplementedError

    @classmethod
    def drop_copies(cls, public_ids: Collection[uuid.UUID]) -> bool:
        """Take back what the cache holds of these sessions; return False if it did not answer."""
        try:
            cls._held().drop(public_ids)
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; what it holds of %d sessions that ended, were saved or "
                "got a new key is believed for up to %d s more: %s",
                len(public_ids),
                conf.lease,
                error,
            )
            return False
        return True

    @property
    def cache_key(self) -> str | None:
        """The key in the cache, before that adds its prefix and version; made of the public id."""
        raise NotImplementedError

    async def acache_key(self) -> str | None:
        """See cache_key."""
        return self.cache_key

    def exists(self, session_key: str | None) -> bool:
        key = SplitKey.parse(session_key)
        if key is None:
            return False
        try:
            row = type(self)(session_key)._find(key)
        except CacheUnreachable:
            self.is_unavailable = True
            raise
        return row is not None and key.proves(row.secret_hash)

    def lease_has_run_out(self) -> bool:
        return self._owes_copy or self._has_row_lease_run_out()

    def renew_lease(self) -> None:
        if self._has_row_lease_run_out():
            super().renew_lease()
        key = SplitKey.parse(self.session_key)
        if self._owes_copy and key is not None and not in_transaction(self._using):
            try:
                self._find(key)
            except (CacheUnreachable, DatabaseError):
                # The response is ready; no copy is worth losing it.
                logger.warning("Could not make a copy of session %s", key, exc_info=True)

    def _may_believe(self, key: SplitKey) -> bool:
        """Whether the cache is believed: not by a transaction that has changed the row itself."""
        return bool(conf.lease) and not is_touched(key.public_id, self._using)

    def _may_fill(self) -> bool:
        """Whether what was read may be put into the cache.

        Not within a transaction: its snapshot may be older than the ticket, and what it has
        written may be taken back.
        """
        return bool(conf.lease) and not in_transaction(self._using)

    def _put(self, entry: Entry, row: AbstractSession) -> AbstractSession:
        """Return the row with the entry that it was made from, or that is of it.

        Raises BadEntry if the data cannot be read: SESSION_SERIALIZER may be another by now.
        """
        row.entry = entry
        row.entry_data = self._from_bytes(entry.data)
        return row

    def _user_id(self, entry: Entry) -> Any:
        """Return the primary key of the entry's user, or None.

        Raises BadEntry if it does not fit the user model of today.
        """
        if not entry.user:
            return None
        target = self.model._meta.get_field("user").target_field
        try:
            return target.to_python(entry.user)
        except (ValidationError, TypeError, ValueError, OverflowError) as error:
            raise BadEntry("Its user does not fit AUTH_USER_MODEL.") from error

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        # Where a save has followed, the row's own data are the newer.
        if row.entry is None or row.__dict__.get("data") is not None:
            return super()._decoded(row)
        # Once: whoever gets them may change them.
        data: dict[str, Any] | None = row.__dict__.pop("entry_data", None)
        return self._from_bytes(row.entry.data) if data is None else data
