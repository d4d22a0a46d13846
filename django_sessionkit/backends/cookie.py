"""What the engines share whose sessions lie in the cookie: saving, renewing, and what fits.

Each save makes another token. Of two responses that carry one each, the browser keeps the later.
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

from django_sessionkit.backends.contents import Content
from django_sessionkit.backends.presented import COOKIE_SIZE, PresentedStore, now
from django_sessionkit.backends.rows import RowStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.exceptions import CookieTooLarge, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.signals import SessionEndReason

#: So many of the largest keys are named where a session does not fit.
LARGEST = 3

logger = logging.getLogger("django_sessionkit")


class CookieStore(PresentedStore):
    """A session in a token, which a row vouches for once somebody has signed in."""

    #: Revoking cannot take it back: it is believed until the lease ends.
    copies_are_out_of_reach = True

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        # Its secret was replaced in a transaction that may be taken back.
        self._must_write_row = False

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

    def _whole(self, row: AbstractSession | None) -> AbstractSession | None:
        """Return the row with all its columns where a store of the site's own may want them.

        None if there is no such row any more.
        """
        is_stock = type(self).create_model_instance is RowStore.create_model_instance
        if row is None or is_stock or row.entry.is_visitors or self._is_read(row):
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

    def _end_by_data(self, row: AbstractSession) -> datetime | None:
        content: Content | None = row.entry
        return None if content is None else content.expire_date

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
        self._checked_at = now() if is_new and not awaits_commit else 0
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
        obj = self.create_model_instance(data)
        return self._token_of(self._content_of(obj, data, obj.expire_date))

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
