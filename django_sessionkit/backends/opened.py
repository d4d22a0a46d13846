"""The token that a browser presents in place of a session key, and what it says.

It holds the split key of the row, the session's data, and when the row was last asked.
"""

from __future__ import annotations

import logging
from typing import Any

from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_sessionkit.backends.apart import ApartStore
from django_sessionkit.backends.contents import Content
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.keys import SplitKey
from django_sessionkit.tokens.errors import BadToken

#: Browsers drop a cookie whose name and value are longer, in bytes (RFC 6265bis, section 5.7).
COOKIE_SIZE = 4096

security_logger = logging.getLogger("django.security.SuspiciousSession")


class OpenedStore(ApartStore):
    """A store whose session key is a token."""

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
    # The end that was set since the cookie was made, for its data.
    _end_set_since: str | None = None

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__()
        self._token, self._is_opened = session_key, session_key is None

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
