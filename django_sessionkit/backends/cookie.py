"""What the engines share whose sessions lie in the cookie.

The session key that browsers hold is a token: what it says is believed for a lease without asking
anybody. It holds the split key of the row, and when the row was last asked; that moment moves only
when the row is asked again, and is taken before. Each save makes another token.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError
from django.db import DatabaseError
from django.utils import timezone

from django_sessionkit.backends.apart import ApartStore
from django_sessionkit.backends.contents import Content
from django_sessionkit.backends.rows import RowStore
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import CookieTooLarge, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.moments import microseconds
from django_sessionkit.recall import in_transaction
from django_sessionkit.signals import SessionEndReason
from django_sessionkit.tokens.errors import BadToken

#: Browsers drop a cookie whose name and value are longer, in bytes (RFC 6265bis, section 5.7).
COOKIE_SIZE = 4096
#: So many of the largest keys are named where a session does not fit.
LARGEST = 3

logger = logging.getLogger("django_sessionkit")
security_logger = logging.getLogger("django.security.SuspiciousSession")


class CookieStore(ApartStore):
    """A session in a token, which a row vouches for once somebody has signed in."""

    #: Revoking cannot take it back: it is believed until the lease ends.
    copies_are_out_of_reach = True

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
        # Its secret was replaced in a transaction that may be taken back.
        self._must_write_row = False

    @classmethod
    def check_keys(cls) -> None:
        """Raise ValueError if the settings have no keys to make tokens with."""
        raise NotImplementedError

    def _make_token(self, content: Content) -> str:
        """Return the token that says so."""
        raise NotImplementedError

    def _open_token(self, token: str) -> Content:
        """Return what the token says, be it that its session has ended.

        Raises BadToken if it is none of ours.
        """
        raise NotImplementedError

    @property
    def session_key(self) -> str | None:
        if self._token is None and self._own_key is not None and hasattr(self, "_session_cache"):
            data = self._session_cache
            obj = self.create_model_instance(data)
            self._token = self._token_of(self._content_of(obj, data, obj.expire_date))
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

    def save(self, must_create: bool = False) -> None:
        super().save(must_create)
        # The response has to carry it, as with Django's own cookie engine.
        self.modified = True

    def flush(self) -> None:
        was_believed = self._is_believed()
        super().flush()
        if was_believed and not self.is_retired:
            # It had ended, and its cookie did not say so yet: whoever signs out must see to that.
            self.is_flushed = True

    def cycle_key(self) -> None:
        super().cycle_key()
        if self._has_authenticated:
            self._start_over_if_gone()

    def mark_authenticated(self) -> None:
        super().mark_authenticated()
        self._start_over_if_gone()

    def _start_over_if_gone(self) -> None:
        """Let a login start another session where its cookie did not say yet that it had ended."""
        if self._is_gone and self._is_believed():
            self._session_key = self._get_new_session_key()
            self._is_deferred, self._is_gone = True, False

    def get_cookie_age(self) -> int:
        if self._content is None:
            return super().get_cookie_age()
        return math.ceil((self._content.expire_date - timezone.now()).total_seconds())

    def lease_has_run_out(self) -> bool:
        return self._owes_cookie or self._owes_check or self._has_row_lease_run_out()

    def renew_lease(self) -> None:
        row, key = self._current_row(), SplitKey.parse(self._session_key)
        if row is None or key is None:
            return
        try:
            row = self._ask_again(row, key)
        except DatabaseError:
            # The response is ready; the row is asked again at the next request.
            logger.warning("Could not ask the row of session %s", key, exc_info=True)
            return
        if row is None:
            return
        if self._has_row_lease_run_out() and self._renew(row):
            row.expire_date = row.entry.expire_date
        if self._owes_cookie and self._token is not None:
            self._issue_anew(row)

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

    def _whole(self, row: AbstractSession | None) -> AbstractSession | None:
        """Return the row with all its columns where a store of the site's own may want them.

        None if there is no such row any more.
        """
        if row is None or row.entry.is_visitors or row.pk is not None:
            return row
        if type(self).create_model_instance is RowStore.create_model_instance:
            return row
        whole = self._this(row).first()
        if whole is not None:
            whole.entry = row.entry
        return whole

    def _issue_anew(self, row: AbstractSession) -> None:
        """Make a token of what was loaded: what the view has changed was not to be saved."""
        content: Content = dataclasses.replace(
            row.entry, data=self._decoded(row), row_expire_date=row.expire_date
        )
        try:
            self._token = self._token_of(content)
        except CookieTooLarge as error:
            logger.warning("Session %s cannot be renewed: %s", row, error)
            return
        self._content, self._owes_cookie, self.has_new_cookie = content, False, True

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
        # What claims to come from the future may have been made by a clock that is wrong.
        age = microseconds(timezone.now()) - content.checked_at
        return 0 <= age < conf.lease * 1_000_000

    def _is_believed(self) -> bool:
        """Whether this store holds a session that the row was not asked about."""
        if self._session_key is None or self._content is None or self._content.is_visitors:
            return False
        if self._row is None:
            return self._asks_nobody(self._content)
        return "last_seen_at" not in self._row.__dict__

    def _ask(self, key: SplitKey, content: Content) -> AbstractSession | None:
        """Return the row of that public id, whether or not the secret is right."""
        checked_at = microseconds(timezone.now())
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

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        # Once: whoever gets them may change them.
        data, self._unread = self._unread, None
        if data is None and self._token is not None:
            data = self._open_token(self._token).data
        return data or {}

    def _had_user(self) -> bool:
        return self._row is not None and self._row.entry.has_user

    def _end_by_data(self, row: AbstractSession) -> datetime | None:
        content: Content | None = row.entry
        return None if content is None else content.expire_date

    def _this(self, row: AbstractSession) -> SessionQuerySet:
        # Clients can read what a cookie holds, so the primary key is not in there.
        return self._rows().filter(public_id=row.public_id, secret_hash=row.secret_hash)

    def _replace_secret(self, row: AbstractSession, new: SplitKey) -> bool:
        # A visitor's goes on under another public id.
        if row.entry.is_visitors or not super()._replace_secret(row, new):
            return False
        self._must_write_row = in_transaction(self._rows().db)
        return True

    def _end(self, key: SplitKey, reason: SessionEndReason, actor: Any = None) -> int:
        row = self._current_row()
        if row is not None and row.public_id == key.public_id and row.entry.is_visitors:
            return 1
        return super()._end(key, reason, actor)

    def _insert(self, data: dict[str, Any]) -> None:
        if self._content is not None:
            raise CreateError("The session key is in use.")
        self._save_as(self.create_model_instance(data), data, is_new=True)

    def _update(self, data: dict[str, Any]) -> None:
        base, key = self._current_row(), SplitKey.parse(self._session_key)
        if base is not None and key is not None:
            base = self._ask_again(base, key)
            base = self._whole(base)
        if base is None:
            raise SessionGone("The session has ended.")
        obj = self._changed(base, data)
        if base.entry.is_visitors:
            self._save_as(obj, data, is_new=AUTH_USER_ID in data)
            return
        if self._awaits_commit and not in_transaction(self._rows().db):
            self._awaits_commit = False
            if not self._this(base).exists():
                # It did not come: the row was taken back, and the login is saved once more.
                obj.pk = None
                self._save_as(obj, data, is_new=True)
                return
        changes = self._urgent_changes(base, obj, at_once=self._must_write_row)
        self._must_write_row = False
        content = self._content_of(obj, data, changes.get("expire_date", base.expire_date))
        token = self._token_of(content)
        self._write_row(base, changes)
        self._keep(obj, content, token)

    def _save_as(self, obj: AbstractSession, data: dict[str, Any], *, is_new: bool) -> None:
        """Save a session that has no row; give it one if it ``is_new`` and somebody signs in."""
        is_new = is_new and AUTH_USER_ID in data
        awaits_commit = in_transaction(self._rows().db)
        self._checked_at = microseconds(timezone.now()) if is_new and not awaits_commit else 0
        content = self._content_of(obj, data, obj.expire_date)
        token = self._token_of(content)
        if is_new:
            self._insert_row(obj)
            self._awaits_commit = awaits_commit
        self._keep(obj, content, token)

    def _keep(self, obj: AbstractSession, content: Content, token: str) -> None:
        obj.entry, obj.expire_date = content, content.row_expire_date or content.expire_date
        self._remember(obj)
        self._content, self._token, self._unread = content, token, None
        self._is_leased, self._owes_cookie = content.is_visitors, False

    def _content_of(
        self, obj: AbstractSession, data: dict[str, Any], row_expire_date: datetime
    ) -> Content:
        """Return what the cookie is to say of the row ``obj`` and the data."""
        key = SplitKey.parse(self._session_key)
        was_tracked = self._content is not None and not self._content.is_visitors
        if key is None or not (was_tracked or AUTH_USER_ID in data):
            return Content(obj.public_id, obj.expire_date, data)
        authenticated_at = None if self._content is None else self._content.authenticated_at
        if (moment := obj.__dict__.get("authenticated_at")) is not None:
            authenticated_at = microseconds(moment) // 1_000_000
        return Content(
            obj.public_id,
            obj.expire_date,
            data,
            secret=key.secret,
            checked_at=self._checked_at,
            row_expire_date=row_expire_date,
            authenticated_at=authenticated_at if AUTH_USER_ID in data else None,
        )

    def _token_of(self, content: Content) -> str:
        """Return the token; raise CookieTooLarge if a browser would not keep it."""
        token = self._make_token(content)
        name = settings.SESSION_COOKIE_NAME
        if (size := len(name.encode()) + len(token)) <= COOKIE_SIZE:
            return token
        dumps = self.serializer().dumps
        sizes = {str(key): len(dumps({key: value})) for key, value in content.data.items()}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST]
        raise CookieTooLarge(size, COOKIE_SIZE, {key: sizes[key] for key in largest})
