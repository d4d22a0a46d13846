"""What the engines share that keep something in a cache."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import BaseCache, caches

from django_sessionkit.backends import db
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction, is_touched

logger = logging.getLogger("django_sessionkit")


class CopiedStore(db.SessionStore):
    """A store that believes a cache for a lease. SESSION_CACHE_ALIAS names the cache."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache: BaseCache = caches[settings.SESSION_CACHE_ALIAS]
        # The cache has vouched for the row, so there is no lease to renew.
        self._is_leased = False
        # The row was read where nothing may be put into the cache, within a transaction.
        self._owes_copy = False

    @property
    def cache_key(self) -> str | None:
        """The key in the cache, before that adds its prefix and version; made of the public id."""
        raise NotImplementedError

    async def acache_key(self) -> str | None:
        """See cache_key."""
        return self.cache_key

    def lease_has_run_out(self) -> bool:
        return self._owes_copy or self._has_row_lease_run_out()

    def renew_lease(self) -> None:
        if self._has_row_lease_run_out():
            super().renew_lease()
        key = SplitKey.parse(self.session_key)
        if self._owes_copy and key is not None and not in_transaction(self._rows().db):
            try:
                self._find(key)
            except CacheUnreachable:
                logger.warning("The cache did not answer; session %s has no copy.", key)

    def _has_row_lease_run_out(self) -> bool:
        return not self._is_leased and super().lease_has_run_out()

    def _may_believe(self, key: SplitKey) -> bool:
        """Whether the cache is believed: not by a transaction that has changed the row itself."""
        return bool(conf.lease) and not is_touched(key.public_id, self._rows().db)

    def _may_fill(self) -> bool:
        """Whether what was read may be put into the cache.

        Not within a transaction: its snapshot may be older than the ticket, and what it has
        written may be taken back.
        """
        return bool(conf.lease) and not in_transaction(self._rows().db)

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        # Where a save has followed, the row's own data are the newer.
        if row.entry is None or row.__dict__.get("data") is not None:
            return super()._decoded(row)
        # Its MAC has been checked, so nobody else has written it.
        if self._encodes_by_itself():
            return self.decode(row.entry.data.decode())
        data: dict[str, Any] = self.serializer().loads(row.entry.data)
        return data

    def _to_bytes(self, data: dict[str, Any]) -> bytes:
        """Return the data as they lie in the cache: what the serializer makes of them.

        A signature there is already. A store that encodes in a way of its own (which may encrypt)
        has that in the cache too.
        """
        if self._encodes_by_itself():
            return self.encode(data).encode()
        serialized: bytes = self.serializer().dumps(data)
        return serialized

    def _encodes_by_itself(self) -> bool:
        cls = type(self)
        return cls.encode is not SessionBase.encode or cls.decode is not SessionBase.decode
