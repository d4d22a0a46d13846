"""Reading a session out of the cookie that a browser presents.

The session key that browsers hold is a token: what it says is believed for a lease without asking
anybody. It holds the split key of the row, and when the row was last asked; that moment moves only
when the row is asked again, and is taken before.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from django.utils import timezone

from django_sessionkit.backends.apart import ApartStore
from django_sessionkit.backends.contents import Content
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.tokens.errors import BadToken

#: Browsers drop a cookie whose name and value are longer, in bytes (RFC 6265bis, section 5.7).
COOKIE_SIZE = 4096

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
    # When the row was last asked; see Content.
    _checked_at = 0

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__()
        self._token, self._is_opened = session_key, session_key is None
        # The row was asked, and the cookie does not say so yet.
        self._owes_cookie = False
        # It was asked in a transaction, whose snapshot may be older.
        self._owes_check = False

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
        if content is not None and key is not None and key.public_id == content.public_id:
            self._content = dataclasses.replace(content, secret=key.secret)
        else:
            self._content, self._unread, self._checked_at = None, None, 0
        self._own_key, self._token, self._is_opened = value, None, True

    def exists(self, session_key: str | None) -> bool:
        other = type(self)(session_key)
        content = None if other._session_key is None else other._content
        return content is not None and (content.is_visitors or super().exists(session_key))

    async def aload(self) -> dict[str, Any]:
        if self._session_key is None or self._content is None or self._asks_nobody(self._content):
            return self.load()  # Nothing in it waits, so it needs no thread.
        return await super().aload()

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
        self._own_key, self._token = key.session_key, token
        self._content, self._unread = content, content.data
        self._checked_at = content.checked_at

    def _parse(self, session_key: object) -> SplitKey | None:
        token = session_key if isinstance(session_key, str) else None
        return SplitKey.parse(type(self)(token)._session_key)

    def _find(self, key: SplitKey) -> AbstractSession | None:
        content = self._content
        if content is None:
            return None
        self._owes_cookie = self._owes_check = False
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
                "user_id": self._owner(content.data, self.model),
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
        if content.is_visitors:
            return True
        # What claims to come from the future may have been made by a clock that is wrong. And not
        # longer than others believe it, so that who is refused there gets another cookie here.
        return content.checked_at <= now() < content.believed_until(conf.lease) * 1_000_000

    def _is_believed(self) -> bool:
        """Whether this store holds a session that the row was not asked about."""
        if self._session_key is None or self._content is None or self._content.is_visitors:
            return False
        if self._row is None:
            return self._asks_nobody(self._content)
        return not self._is_read(self._row)

    def _ask(self, key: SplitKey, content: Content) -> AbstractSession | None:
        """Return the row of that public id, whether or not the secret is right."""
        checked_at = now()
        row = super()._find(key)
        if row is None or not key.proves(row.secret_hash):
            return row
        if row.user_id != self._owner(content.data, self.model):
            logger.warning("The data of session %s are not those of its user.", key)
            return None
        if in_transaction(self._rows().db):
            self._owes_check = bool(conf.lease)
        else:
            self._owes_cookie = bool(conf.lease)
            self._checked_at = checked_at
        end = content.expire_date
        if row.expire_date != content.row_expire_date:
            # Another request has moved it, so an older cookie does not tell.
            end = row.expire_date
        content = dataclasses.replace(content, checked_at=self._checked_at, expire_date=end)
        self._content = row.entry = content
        return row

    def _ask_again(self, row: AbstractSession, key: SplitKey) -> AbstractSession | None:
        """Return the row as it is outside of the transaction in which it was asked.

        None if the session has ended meanwhile.
        """
        if not self._owes_check or in_transaction(self._rows().db):
            return row
        found = self._find(key)
        if found is None or not key.proves(found.secret_hash):
            return None
        self._row = found
        return found

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        # Once: whoever gets them may change them.
        data, self._unread = self._unread, None
        if data is None and self._token is not None:
            data = self._open_token(self._token).data
        return data or {}

    def _had_user(self) -> bool:
        return self._row is not None and self._row.entry.has_user

    def _this(self, row: AbstractSession) -> SessionQuerySet:
        # Clients can read what a cookie holds, so the primary key is not in there.
        return self._rows().filter(public_id=row.public_id, secret_hash=row.secret_hash)


def now() -> int:
    """Return the time in microseconds since 1970, as Content counts it."""
    return time.time_ns() // 1000
