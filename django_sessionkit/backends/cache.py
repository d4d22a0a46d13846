"""Sessions whose data lie in a cache alone; a row without data vouches for them once a lease.

Who has not signed in has no row. A login puts the data under a new public id, inserts the row, and
retires the visitor's data. Data that are not there are a session that has ended: a save compares
stamps and never creates. A cache that does not answer is an error (``CacheUnreachable``; the
middleware answers 503), since it is then not known whose session this is: nobody is forgotten.

All access runs in the sync methods; the async twins take one thread hop for a method as a whole.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.utils import timezone

from django_sessionkit.backends.apart import ApartStore
from django_sessionkit.backends.data import DataStore, is_visitors, seconds_left
from django_sessionkit.backends.replaced import RETIRED_FOR
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.copies.format import Entry, Kind, new_stamp
from django_sessionkit.exceptions import CacheUnreachable, KeyReplaced, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.recall import after_commit, in_transaction
from django_sessionkit.signals import SessionEndReason

#: How often a save is made again because another one was faster; each time one has succeeded.
TRIES = 1000
#: From this try on it rests in between.
HURRIED_TRIES = 5


class SessionStore(DataStore, ApartStore):
    """A session whose data lie in the cache."""

    saves_roll_back = False
    # The visitor's session that cycle_key() goes on from, until the save retires it.
    _superseded: AbstractSession | None = None

    def flush(self) -> None:
        superseded = self._superseded
        super().flush()
        self._superseded = None
        if superseded is not None:
            with self._reached():
                self._data.drop([superseded.public_id])
            self.is_flushed = True

    def _end_by_data(self, row: AbstractSession) -> datetime | None:
        return None if row.entry is None else row.entry.expire_date

    def _insert(self, data: dict[str, Any]) -> None:
        obj = self.create_model_instance(data)
        self._enter(obj, data)
        with self._reached():
            raw = obj.entry.pack(obj.public_id)
            if not self._data.create(obj.public_id, raw, seconds_left(obj.entry)):
                raise CreateError("The session key is in use.")
        self._remember(obj)
        self._is_leased = True
        if obj.entry.kind is Kind.DATA:
            self._sign_in(obj, data)
        else:
            self._retire(data)

    def _sign_in(self, obj: AbstractSession, data: dict[str, Any]) -> None:
        """Insert the row; if that is taken back, the visitor's session goes on."""
        using = self._using
        self._insert_row(obj)
        self._awaits_commit = in_transaction(using)
        after_commit(partial(self._retire, data), using)

    def _retire(self, data: dict[str, Any]) -> None:
        """End the visitor's session that this one goes on from, if any."""
        self._awaits_commit = False
        old, self._superseded = self._superseded, None
        if old is not None:
            try:
                self._take_over(old, data)
            except CacheUnreachable:
                # Noted. What others do after this commit must not be stopped by it.
                return

    def _take_over(self, old: AbstractSession, data: dict[str, Any]) -> None:
        """Retire the visitor's session, and take along what it has got meanwhile."""
        expire_date = timezone.now() + RETIRED_FOR
        retired = Entry(Kind.RETIRED, new_stamp(), expire_date, old.entry.secret_hash)
        before = old
        for _ in _tries():
            swapped = self._swap_entry(old.public_id, before.entry.stamp, retired)
            if swapped.is_done or swapped.theirs is None:
                return
            entry = self._entry(swapped.theirs, old.public_id)
            if entry is None or entry.kind is not Kind.VISITOR:
                return
            theirs = self.model(public_id=old.public_id, expire_date=entry.expire_date)
            self._put(entry, theirs)
            if (new := self._current_row()) is None:
                return
            data = merge(
                self._decoded(before), data, self._decoded(theirs), self.serializer().dumps
            )
            data = self._save_over(new, data)
            self._adopt(data)
            before = theirs

    def _update(self, data: dict[str, Any]) -> None:
        base = self._current_row()
        if base is None or base.entry is None:
            raise SessionGone("The session has ended.")
        is_first_login = is_visitors(base) and AUTH_USER_ID in data
        if self._awaits_commit and not in_transaction(self._using):
            # It did not come: the row was taken back, and the login is saved once more.
            self._awaits_commit = False
            if not self._this(base).exists():
                base.pk = None
                self._sign_in(base, data)
        changes = {}
        if not is_visitors(base):
            changes = self._urgent_changes(base, self._changed(base, data))
            self._write_row(base, changes)
        has_written = bool(changes)
        merged = self._save_over(base, data, unvouch=has_written)
        row = self._current_row()
        if is_first_login and row is not None:
            self._insert_row(row)
        elif has_written and merged is not data and row is not None:
            # The row has the end that was to be before the merge.
            self._this(row).update(expire_date=row.expire_date)
        self._adopt(merged)

    def _save_over(
        self, base: AbstractSession, data: dict[str, Any], *, unvouch: bool = False
    ) -> dict[str, Any]:
        """Put the data in place of those of ``base``, merged with what others put there since.

        Returns what was put. Raises SessionGone as ``_swap()`` does.
        """
        tries = _tries()
        while (theirs := self._swap(base, data, unvouch=unvouch)) is not None:
            next(tries)
            data, base = self._merge(base, data, theirs), theirs
        return data

    def _swap(
        self, base: AbstractSession, data: dict[str, Any], *, unvouch: bool = False
    ) -> AbstractSession | None:
        """Put the data in place of those of ``base``; return what lies there if they moved.

        Raises SessionGone if there are none, or others than of this session and key.
        """
        obj = self._changed(base, data)
        self._enter(obj, data)
        swapped = self._swap_entry(obj.public_id, base.entry.stamp, obj.entry, unvouch=unvouch)
        if swapped.is_done:
            self._row = obj
            return None
        entry = self._entry(swapped.theirs, obj.public_id)
        if entry is None:
            raise SessionGone("The session was revoked meanwhile.")
        ours = (bytes(base.secret_hash), bytes(obj.secret_hash))
        if entry.kind is Kind.RETIRED or entry.secret_hash not in ours:
            raise KeyReplaced("The key of the session was replaced meanwhile.")
        return self._put(entry, copy.copy(base))

    def _keeps_public_id(self, row: AbstractSession) -> bool:
        # Without a row nothing would tell a visitor's old secret from the new one.
        return not is_visitors(row)

    def _defer(self, left: AbstractSession | None = None) -> None:
        super()._defer(left)
        self._superseded = left

    def _end(self, key: SplitKey, reason: SessionEndReason, actor: Any = None) -> int:
        if (row := self._row) is not None and row.public_id == key.public_id:
            entry = row.entry
        else:
            with self._reached():
                read = self._data.read(key.public_id, wants_ticket=False)
            entry = self._entry(read.raw, key.public_id)
        if entry is None or entry.kind is Kind.RETIRED:
            return 0
        if entry.kind is Kind.DATA:
            return super()._end(key, reason, actor)
        return self._end_visitors(key, entry)

    def _end_visitors(self, key: SplitKey, entry: Entry) -> int:
        """End a session without a row; return 0 if somebody has ended it, or signed in from it."""
        over = Entry(Kind.RETIRED, new_stamp(), timezone.now())
        theirs: Entry | None = entry
        for _ in _tries():
            if (
                theirs is None
                or theirs.kind is not Kind.VISITOR
                or not key.proves(theirs.secret_hash)
            ):
                return 0
            swapped = self._swap_entry(key.public_id, theirs.stamp, over)
            if swapped.is_done:
                return 1
            theirs = self._entry(swapped.theirs, key.public_id)
        return 0


def _tries() -> Iterator[int]:
    """Count the tries; raise UpdateError when there are no more."""
    for number in range(TRIES):
        if number >= HURRIED_TRIES:
            time.sleep(0.001)
        yield number
    raise UpdateError("Others save this session all the time.")
