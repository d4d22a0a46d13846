"""Reading a session out of the cookie that a browser presents.

The session key that browsers hold is a token: what it says is believed for a lease without asking
anybody. It holds the split key of the row, and when the row was last asked; that moment moves only
when the row is asked again, and is taken before.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_sessionkit.backends.apart import ApartStore, tolerance
from django_sessionkit.backends.contents import Content
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.tokens.errors import BadToken

#: Browsers drop a cookie whose name and value are longer, in bytes (RFC 6265bis, section 5.7).
COOKIE_SIZE = 4096

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR = 10**17  # microseconds; later than that nobody has asked a row

logger = logging.getLogger("django_sessionkit")
security_logger = logging.getLogger("django.security.SuspiciousSession")


class PresentedStore(ApartStore):
    """A store that believes a token for a lease."""

    # As the browser sent it, or as the last save made it; None: to be made.
    _token: str | None = None
    _is_opened = True
    # What it says, the split key in it, and its data until somebody has got them.
    _content: Content | None = None
    _own_key: str | None = None
    _unread: dict[str, Any] | None = None
    # The token that _content was read from, or written to.
    _source: str | None = None
    # When the row was last asked; see Content.
    _checked_at = 0
    # Whether somebody is signed in as the cookie has it, and who, if that fits the user model.
    _has_user = False
    _user_id: Any = None
    # aload() has found that nobody is to be asked.
    _is_decided = False

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__()
        self._token, self._is_opened = session_key, session_key is None
        # The row was asked, or written.
        self._was_asked = False
        # It was asked in a transaction, whose snapshot may be older.
        self._owes_check = False
        # When the row was last seen, if the cookie is the latest.
        self._last_known_seen: datetime | None = None
        # The end that was set since the cookie was made, for its data.
        self._end_set_since: str | None = None

    def _open_token(self, token: str) -> Content:
        """Return what the token says, be it that its session has ended.

        Raises BadToken if it is none of ours.
        """
        raise NotImplementedError

    def _token_of_now(self, data: dict[str, Any]) -> str:
        """Return a token of the session as it is now, saved or not."""
        raise NotImplementedError

    @property
    def session_key(self) -> str | None:
        if self._token is None and self._own_key is not None and hasattr(self, "_session_cache"):
            self._token = self._token_of_now(self._session_cache)
        return self._token

    @property
    def _session_key(self) -> str | None:
        """The split key that the token holds; the token itself is opened for it."""
        if not self._is_opened:
            self._open()
        return self._own_key

    @_session_key.setter
    def _session_key(self, value: str | None) -> None:
        content, key = self._content, SplitKey.parse(value)
        if content is None or key is None or key.public_id != content.public_id:
            self._content, self._unread, self._checked_at = None, None, 0
        self._own_key, self._token, self._is_opened = value, None, True

    def exists(self, session_key: str | None) -> bool:
        other = type(self)(session_key)
        content = other._presented()
        return content is not None and (content.is_visitors or super().exists(session_key))

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

    def _open(self) -> None:
        self._is_opened = True
        token, self._token = self._token, None
        # A browser sends no more; what is longer is not worth the work.
        if not isinstance(token, str) or len(token) > COOKIE_SIZE:
            return
        try:
            content = self._open_token(token)
        except BadToken as error:
            security_logger.info("A session cookie was refused: %s", error)
            return
        if content.expire_date <= timezone.now():
            self._is_stale = True
            return
        key = SplitKey(content.public_id, content.secret)
        if content.is_visitors:
            key = SplitKey.generate(content.public_id)
        self._own_key, self._token, self._source = key.session_key, token, token
        self._content, self._unread = content, content.data
        self._checked_at = content.checked_at
        # Now: whoever gets the data may change them.
        self._user_id, self._has_user = self._owner(content.data, self.model), content.has_user

    def _parse(self, session_key: object) -> SplitKey | None:
        token = session_key if isinstance(session_key, str) else None
        return SplitKey.parse(type(self)(token)._session_key)

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

    def _presented(self) -> Content | None:
        """Return what the cookie says, or None if that is nothing."""
        return None if self._session_key is None else self._content

    def _held_key(self) -> SplitKey | None:
        """Return the key that the row has as far as we know; cycle_key() may have made another."""
        content = self._content
        if content is None or content.is_visitors:
            return SplitKey.parse(self._session_key)
        return SplitKey(content.public_id, content.secret)

    def _is_rekeyed(self) -> bool:
        """Whether cycle_key() has made a key that no row has yet."""
        content, key = self._content, SplitKey.parse(self._own_key)
        if content is None or content.is_visitors or key is None:
            return False
        return not constant_time_compare(content.secret, key.secret)

    def _ask(self, key: SplitKey, content: Content) -> AbstractSession | None:
        """Return the row of that public id, whether or not the secret is right."""
        checked_at = now()
        row = self._rows().filter(public_id=key.public_id).first()
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
        if in_transaction(self._rows().db):
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
        if not self._owes_check or key is None or in_transaction(self._rows().db):
            return row
        found = self._find(key)
        if found is None or not key.proves(found.secret_hash):
            return None
        self._row = found
        return found

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        # Once: whoever gets them may change them.
        data, self._unread = self._unread, None
        return self._read_again() if data is None else data

    def _read_again(self) -> dict[str, Any]:
        """Return the data of the session as they were read, or written last."""
        if self._source is None:
            return {}
        data = self._open_token(self._source).data
        if self._end_set_since is not None:
            data["_session_expiry"] = self._end_set_since
        return data

    def _had_user(self) -> bool:
        return self._row is not None and self._has_user

    def _this(self, row: AbstractSession) -> SessionQuerySet:
        # Clients can read what a cookie holds, so the primary key is not in there.
        return self._rows().filter(public_id=row.public_id, secret_hash=row.secret_hash)


def now() -> int:
    """Return the time in microseconds since 1970, as Content counts it."""
    return time.time_ns() // 1000


def moment_of(checked_at: int) -> datetime:
    """Return the moment so many microseconds after 1970, naive if USE_TZ is off."""
    moment = EPOCH + timedelta(microseconds=min(max(checked_at, 0), FAR))
    return moment if settings.USE_TZ else timezone.make_naive(moment)
