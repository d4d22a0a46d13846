"""What the engines share whose sessions lie in the cookie: saving, and what fits.

Each save makes another token. Of two responses that carry one each, the browser keeps the later.
"""

from __future__ import annotations

import dataclasses
import math
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone

from django_sessionkit.backends.contents import Content
from django_sessionkit.backends.opened import COOKIE_SIZE
from django_sessionkit.backends.presented import moment_of, now
from django_sessionkit.backends.renewed import RenewingStore
from django_sessionkit.backends.rows import RowStore
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.exceptions import CookieTooLarge, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import after_commit, in_transaction
from django_sessionkit.signals import SessionEndReason

#: So many of the largest keys are named where a session does not fit.
LARGEST = 3


class CookieStore(RenewingStore):
    """A session in a token, which a row vouches for once somebody has signed in."""

    #: Revoking cannot take it back: it is believed until the lease ends.
    copies_are_out_of_reach = True

    # The row as it was before this store wrote to it in a transaction that may be taken back.
    _taken_back: AbstractSession | None = None

    @classmethod
    def check_keys(cls) -> None:
        """Raise ValueError if the settings have no keys to make tokens with."""
        raise NotImplementedError

    def _make_token(self, content: Content) -> str:
        """Return the token that says so."""
        raise NotImplementedError

    def save(self, must_create: bool = False) -> None:
        super().save(must_create)
        # The response has to carry it, as with Django's own cookie engine.
        self.modified = True

    def flush(self) -> None:
        was_believed = self._is_believed()
        super().flush()
        self._settle()
        if was_believed and not self.is_retired:
            # It had ended, and its cookie did not say so yet: whoever signs out must see to that.
            self.is_flushed = True

    def delete(self, session_key: str | None = None) -> None:
        store = type(self)(session_key) if session_key else self
        content = store._presented()
        # Of a visitor's there is nothing to delete.
        if content is None or not content.is_visitors:
            super().delete(session_key)

    def get_cookie_age(self) -> int:
        if self._content is None:
            return super().get_cookie_age()
        return math.ceil((self._content.expire_date - timezone.now()).total_seconds())

    def _whole(self, row: AbstractSession | None) -> AbstractSession | None:
        """Return the row with all its columns where a store of the site's own may want them.

        None if there is no such row any more.
        """
        is_stock = type(self).create_model_instance is RowStore.create_model_instance
        if row is None or is_stock or row.entry.is_visitors or self._is_read(row):
            return row
        whole = self._this(row).first()
        if whole is not None:
            whole.entry, self._was_asked = row.entry, True
        return whole

    def _keeps_public_id(self, row: AbstractSession) -> bool:
        # A visitor has no row whose secret could be another.
        return not row.entry.is_visitors

    def _end(self, key: SplitKey, reason: SessionEndReason, actor: Any = None) -> int:
        content, held = self._content, self._held_key()
        if content is not None and held is not None and key.public_id == content.public_id:
            if content.is_visitors:
                return 1
            key = held
        return super()._end(key, reason, actor)

    def _insert(self, data: dict[str, Any]) -> None:
        if self._content is not None:
            raise CreateError("The session key is in use.")
        self._save_as(self.create_model_instance(data), data)

    def _update(self, data: dict[str, Any]) -> None:
        base = self._base()
        obj, key = self._changed(base, data), SplitKey.parse(self._session_key)
        if base.entry.is_visitors or key is None:
            self._save_as(obj, data)
            return
        using = self._using
        if self._awaits_commit and not in_transaction(using):
            self._awaits_commit = False
            if not self._this(base).exists():
                # It did not come: the row was taken back, and the login is saved once more.
                obj.pk = None
                self._save_as(obj, data)
                return
        self._set_last_seen(base, obj)
        changes = self._urgent_changes(base, obj, at_once=self._taken_back is not None)
        content = self._content_of(obj, data, changes.get("expire_date", base.expire_date))
        token = self._token_of(content)
        self._write_row(base, changes)
        if changes and in_transaction(using):
            self._taken_back = self._taken_back or base
            after_commit(self._settle, using)
        elif not in_transaction(using):
            self._settle()
        self._keep(obj, content, token)

    def _base(self) -> AbstractSession:
        """Return the row to save over. Raises SessionGone if the session has ended."""
        base = self._current_row()
        if base is not None:
            base = self._ask_again(base)
        if self._taken_back is not None and not in_transaction(self._using):
            base = base and self._taken_back
        if base is not None:
            base = self._whole(base)
        if base is None:
            raise SessionGone("The session has ended.")
        return base

    def _write_row(self, base: AbstractSession, changes: dict[str, Any]) -> None:
        if not changes:
            return
        written = dict(changes)
        if (end := changes.get("expire_date")) is not None:
            # Where another request has moved it since, it is only made earlier.
            written["expire_date"] = Case(
                When(Q(expire_date=base.expire_date) | Q(expire_date__gt=end), then=Value(end)),
                default=F("expire_date"),
            )
        super()._write_row(base, written)

    def _living(self, base: AbstractSession) -> SessionQuerySet:
        # Its end may lag behind that of the cookie, but must not have been set since.
        lives = Q(expire_date__gt=timezone.now()) | Q(expire_date=base.expire_date)
        return self._this(base).filter(lives)

    def _save_as(self, obj: AbstractSession, data: dict[str, Any]) -> None:
        """Save a session that has no row; give it one if somebody has signed in."""
        is_new, using = AUTH_USER_ID in data, self._using
        is_open = in_transaction(using)
        self._checked_at = now() if is_new and not is_open else 0
        content = self._content_of(obj, data, obj.expire_date)
        token = self._token_of(content)
        if is_new:
            if self._checked_at:
                obj.last_seen_at = moment_of(self._checked_at)
            self._insert_row(obj)
            self._was_asked = self._awaits_commit = True
            after_commit(self._settle, using)
        self._keep(obj, content, token)

    def _settle(self) -> None:
        """Note that what was written has been committed."""
        self._awaits_commit, self._taken_back = False, None

    def _keep(self, obj: AbstractSession, content: Content, token: str) -> None:
        obj.entry, obj.expire_date = content, content.row_expire_date or content.expire_date
        self._remember(obj)
        self._content, self._token, self._source, self._unread = content, token, token, None
        self._is_leased, self._end_set_since = content.is_visitors, None
        self._last_known_seen = None
        self._has_user, self._user_id = content.has_user, obj.user_id

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
            authenticated_at = int(moment.timestamp())
        return Content(
            obj.public_id,
            obj.expire_date,
            data,
            secret=key.secret,
            checked_at=self._checked_at,
            row_expire_date=row_expire_date,
            authenticated_at=authenticated_at if AUTH_USER_ID in data else None,
        )

    def _token_of_now(self, data: dict[str, Any]) -> str:
        row = self._row
        if row is not None and (whole := self._whole(row)) is not None:
            self._row = whole
        obj = self.create_model_instance(data)
        # Nobody is to believe it before it is saved.
        content = self._content_of(obj, data, obj.expire_date)
        return self._token_of(dataclasses.replace(content, checked_at=0))

    def _token_of(self, content: Content) -> str:
        token = self._make_token(content)
        size = len(settings.SESSION_COOKIE_NAME.encode()) + len(token)
        if size <= COOKIE_SIZE:
            return token
        del token  # error pages show what a function holds
        dumps = self.serializer().dumps
        sizes = {str(key): len(dumps({key: value})) for key, value in content.data.items()}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST]
        raise CookieTooLarge(size, COOKIE_SIZE, {key: sizes[key] for key in largest})
