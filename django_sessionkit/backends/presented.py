"""Believing what a cookie says for a lease, and asking the row past it.

When the row was last asked moves only when it is asked again, and is taken before. The row keeps
that moment too, as the time last seen, and so tells which cookie is the latest.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from django_sessionkit.backends.apart import tolerance
from django_sessionkit.backends.contents import Content
from django_sessionkit.backends.opened import OpenedStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR = 10**17  # microseconds; later than that nobody has asked a row

logger = logging.getLogger("django_sessionkit")


class PresentedStore(OpenedStore):
    """A store that believes a token for a lease."""

    # aload() has found that nobody is to be asked.
    _is_decided = False

    # The row was asked, or written.
    _was_asked = False
    # It was asked in a transaction, whose snapshot may be older.
    _owes_check = False
    # When the row was last seen, if the cookie is the latest.
    _last_known_seen: datetime | None = None

    def load(self) -> dict[str, Any]:
        if self._is_rekeyed():
            return self._read_again()
        return super().load()

    async def aload(self) -> dict[str, Any]:
        content = self._presented()
        if content is not None and not self._asks_nobody(content):
            return await super().aload()
        # Nothing in it waits, so it needs no thread: not even if the lease ends right now.
        self._is_decided = True
        try:
            return self.load()
        finally:
            self._is_decided = False

    def _find(self, key: SplitKey) -> AbstractSession | None:
        content = self._content
        if content is None:
            return None
        self._was_asked = self._owes_check = False
        self._is_leased = content.is_visitors
        if content.is_visitors:
            row = self.model(
                public_id=key.public_id,
                secret_hash=key.secret_hash,
                expire_date=content.expire_date,
            )
        elif self._asks_nobody(content):
            values = {
                "id": None,  # not in the cookie
                "public_id": key.public_id,
                "secret_hash": key.secret_hash,
                "user_id": self._user_id,
                "expire_date": content.row_expire_date,
                "data": None,
            }
            row = self._deferred(values)
        else:
            return self._ask(key, content)
        row.entry = content
        return row

    def _asks_nobody(self, content: Content) -> bool:
        """Whether the cookie is believed as it stands."""
        if content.is_visitors or self._is_decided:
            return True
        # What claims to come from the future may have been made by a clock that is wrong. And not
        # longer than others believe it, so that who is refused there gets another cookie here.
        return content.checked_at <= now() < content.believed_until(conf.lease) * 1_000_000

    def _is_believed(self) -> bool:
        """Whether this store holds a session that the row was not asked about."""
        content = self._presented()
        if content is None or content.is_visitors or self._was_asked:
            return False
        return self._row is not None or self._asks_nobody(content)

    def _ask(self, key: SplitKey, content: Content) -> AbstractSession | None:
        """Return the row of that public id, whether or not the secret is right."""
        checked_at = now()
        row = self._first(key)
        # Its end may lag behind: a save within the lease has moved that of the cookie alone.
        lags = row is not None and row.expire_date == content.row_expire_date
        if row is None or not (row.is_active or lags):
            return None
        if not key.proves(row.secret_hash):
            return row if row.is_active else None
        if row.user_id != self._user_id:
            logger.warning("The data of session %s are not those of its user.", key)
            return None
        self._was_asked = True
        if in_transaction(self._using):
            self._owes_check = bool(conf.lease)
        else:
            self._checked_at = checked_at
            self._last_known_seen = moment_of(content.checked_at)
        end = content.expire_date
        if not lags:
            # Another request has moved it, so an older cookie does not tell. Where that has made
            # it earlier, the data have to say so: else the next save would move it back.
            if self._unread is not None and end - row.expire_date > tolerance(row):
                self._end_set_since = row.expire_date.isoformat()
                content.data["_session_expiry"] = self._end_set_since
            end = row.expire_date
        content = dataclasses.replace(content, checked_at=self._checked_at, expire_date=end)
        self._content = row.entry = content
        return row

    def _ask_again(self, row: AbstractSession) -> AbstractSession | None:
        """Return the row as it is outside of the transaction in which it was asked.

        None if the session has ended meanwhile.
        """
        key = self._held_key()
        if not self._owes_check or key is None or in_transaction(self._using):
            return row
        found = self._find(key)
        if found is None or not key.proves(found.secret_hash):
            return None
        self._row = found
        return found

    def _identity(self, row: AbstractSession) -> dict[str, Any]:
        # Clients can read what a cookie holds, so the primary key is not in there.
        return {"public_id": row.public_id, "secret_hash": row.secret_hash}


def now() -> int:
    """Return the time in microseconds since 1970, as Content counts it."""
    return time.time_ns() // 1000


def moment_of(checked_at: int) -> datetime:
    """Return the moment so many microseconds after 1970, naive if USE_TZ is off."""
    moment = EPOCH + timedelta(microseconds=min(max(checked_at, 0), FAR))
    return moment if settings.USE_TZ else timezone.make_naive(moment)
