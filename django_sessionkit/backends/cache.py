"""Sessions whose data lie in a cache alone; a row without data vouches for them once a lease.

Who has not signed in has no row. A login puts the data under a new public id, inserts the row, and
retires the visitor's data. Data that are not there are a session that has ended: a save compares
stamps and never creates. A cache that does not answer is an error (``CacheUnreachable``; the
middleware answers 503), since it is then not known whose session this is: nobody is forgotten.

All access runs in the sync methods; the async twins take one thread hop for a method as a whole.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.cache import caches
from django.utils import timezone

from django_sessionkit.backends.copied import CopiedStore
from django_sessionkit.backends.rows import retirement
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.copies import data_in
from django_sessionkit.copies.format import (
    Entry,
    Kind,
    new_stamp,
    pack_voucher,
    unpack,
    unpack_voucher,
)
from django_sessionkit.copies.slots import Read, data_key
from django_sessionkit.exceptions import BadEntry, CacheUnreachable, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.recall import after_commit
from django_sessionkit.signals import SessionEndReason

#: How often a save is made again because another one was faster; each time one has succeeded.
TRIES = 1000
#: From this try on it rests in between.
HURRIED_TRIES = 5

#: What a save inside the lease leaves to the next renewal.
LATER = frozenset({"id", "version", "data", "last_seen_at", "ip_address", "user_agent"})

logger = logging.getLogger("django_sessionkit")


class SessionStore(CopiedStore):
    """A session whose data lie in the cache."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._data = data_in(self._cache, conf.lease)
        # The visitor's session that cycle_key() goes on from, until the save retires it.
        self._superseded: AbstractSession | None = None
        # The key belongs to data that a login has retired.
        self._is_superseded = False

    @property
    def cache_key(self) -> str | None:
        key = SplitKey.parse(self.session_key)
        return None if key is None else data_key(key.public_id)

    @classmethod
    def drop_copies(cls, public_ids: Collection[uuid.UUID]) -> bool:
        """Delete the data of sessions that have ended; return False if the cache is down."""
        try:
            data_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease).drop(public_ids)
        except CacheUnreachable as error:
            logger.error(
                "The cache did not answer; %d sessions that ended are believed for up to %d s "
                "more: %s",
                len(public_ids),
                conf.lease,
                error,
            )
            return False
        return True

    @classmethod
    def lost(cls, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those whose data the cache has lost, which have ended thereby.

        Raises CacheUnreachable if it does not answer.
        """
        return data_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease).missing(public_ids)

    def exists(self, session_key: str | None) -> bool:
        key = SplitKey.parse(session_key)
        if key is None:
            return False
        row = type(self)(session_key)._find(key)
        return row is not None and key.proves(row.secret_hash)

    def flush(self) -> None:
        superseded = self._superseded
        super().flush()
        self._superseded = None
        if superseded is not None:
            with self._reached():
                self._data.drop([superseded.public_id])
            self.is_flushed = True

    # Reading

    def _find(self, key: SplitKey) -> AbstractSession | None:
        self._is_leased = self._owes_copy = self._is_superseded = False
        may_fill = self._may_fill()
        with self._reached():
            read = self._data.read(key.public_id, wants_ticket=may_fill)
        try:
            return self._found(read, key, may_fill)
        except BadEntry as error:
            _log_foreign(key, error)
            return None

    def _found(self, read: Read, key: SplitKey, may_fill: bool) -> AbstractSession | None:
        entry = self._entry(read.raw, key)
        if entry is None or entry.kind is Kind.RETIRED:
            self._is_superseded = entry is not None and key.proves(entry.secret_hash)
            return None
        if entry.kind is Kind.VISITOR:
            row = self._visitor(entry, key)
            self._is_leased = row is not None
            return row
        if self._may_believe(key) and (row := self._vouched_for(entry, read, key)) is not None:
            self._is_leased = True
            return row
        row = super()._find(key)
        if row is None or not key.proves(row.secret_hash):
            return row
        if entry.user != _user_of(row):
            logger.warning("The data of session %s are not those of its user.", key)
            return None
        if may_fill and read.ticket is not None and entry.secret_hash == bytes(row.secret_hash):
            with self._reached():
                voucher = pack_voucher(entry, key.public_id, row.expire_date, row.pk)
                self._data.vouch(key.public_id, read.ticket, voucher)
        self._owes_copy = bool(conf.lease) and not may_fill
        return self._put(entry, row)

    def _entry(self, raw: bytes | None, key: SplitKey) -> Entry | None:
        """Return what ``raw`` is, if that is a session that goes on.

        What is not ours is left where it is: it may be this process that has the wrong SECRET_KEY.
        """
        if raw is None:
            return None
        try:
            entry = unpack(raw, key.public_id)
        except BadEntry as error:
            _log_foreign(key, error)
            return None
        is_known = entry.kind in (Kind.DATA, Kind.VISITOR, Kind.RETIRED)
        return entry if is_known and entry.expire_date > timezone.now() else None

    def _visitor(self, entry: Entry, key: SplitKey) -> AbstractSession | None:
        row = self.model(
            public_id=key.public_id,
            secret_hash=entry.secret_hash,
            expire_date=entry.expire_date,
        )
        # Nobody is signed in without a row.
        if AUTH_USER_ID in self._put(entry, row).entry_data:
            return None
        return row if key.proves(entry.secret_hash) else None

    def _vouched_for(self, entry: Entry, read: Read, key: SplitKey) -> AbstractSession | None:
        """Return the row if a voucher confirms the key; what it does not tell is deferred."""
        if read.voucher is None or not key.proves(entry.secret_hash):
            return None
        try:
            expire_date, pk = unpack_voucher(read.voucher, entry, key.public_id)
        except BadEntry:
            return None
        if expire_date <= timezone.now():
            return None
        values = {
            "id": pk,
            "public_id": key.public_id,
            "secret_hash": entry.secret_hash,
            "user_id": self._user_id(entry),
            "expire_date": expire_date,
            "data": None,
        }
        row = self.model.from_db(self._rows().db, list(values), list(values.values()))
        return self._put(entry, row)

    def _has_replaced_key(self, row: AbstractSession | None) -> bool:
        return self._is_superseded or super()._has_replaced_key(row)

    def _goes_on(self, key: SplitKey) -> bool:
        other = type(self)(key.session_key)
        row = other._find(key)
        return other._is_superseded or (row is not None and not _is_visitors(row))

    # Writing

    def _row_data(self, data: dict[str, Any]) -> str | None:
        return None

    def _renewed(self, row: AbstractSession) -> dict[str, Any]:
        renewed = super()._renewed(row)
        if row.entry is not None:
            renewed["expire_date"] = row.entry.expire_date
        return renewed

    def _insert(self, data: dict[str, Any]) -> None:
        obj = self.create_model_instance(data)
        self._enter(obj, data)
        with self._reached():
            raw = obj.entry.pack(obj.public_id)
            if not self._data.create(obj.public_id, raw, _left(obj.entry)):
                raise CreateError("The session key is in use.")
        if obj.entry.kind is Kind.DATA:
            self._insert_row(obj)
        self._remember(obj)
        self._is_leased = True
        if self._superseded is not None:
            # If the row is taken back, the visitor's session goes on.
            retire = partial(self._retire, self._superseded, obj, data)
            if obj.entry.kind is Kind.DATA:
                after_commit(retire, self._rows().db)
            else:
                retire()
            self._superseded = None

    def _retire(self, old: AbstractSession, new: AbstractSession, data: dict[str, Any]) -> None:
        """End the visitor's session that ``new`` goes on from, with what it has got meanwhile."""
        expire_date = timezone.now() + retirement()
        retired = Entry(Kind.RETIRED, new_stamp(), expire_date, old.entry.secret_hash)
        raw, life = retired.pack(old.public_id), retirement().total_seconds()
        before = old
        for _ in _tries():
            with self._reached():
                swapped = self._data.swap(old.public_id, before.entry.stamp, raw, life)
            if swapped.is_done or swapped.theirs is None:
                return
            key = SplitKey(old.public_id, "")
            entry = self._entry(swapped.theirs, key)
            if entry is None or entry.kind is not Kind.VISITOR:
                return
            theirs = self.model(public_id=old.public_id, expire_date=entry.expire_date)
            self._put(entry, theirs)
            data = merge(
                self._decoded(before), data, self._decoded(theirs), self.serializer().dumps
            )
            self._swap(new, data)
            self._adopt(data)
            before = theirs

    def _update(self, data: dict[str, Any]) -> None:
        base = self._current_row()
        if base is None or base.entry is None:
            raise SessionGone("The session has ended.")
        is_first_login = _is_visitors(base) and AUTH_USER_ID in data
        has_written = not _is_visitors(base) and self._update_row(base, data)
        for _ in _tries():
            theirs = self._swap(base, data, unvouch=has_written)
            if theirs is None:
                break
            data, base = self._merge(base, data, theirs), theirs
        if is_first_login and (row := self._current_row()) is not None:
            self._insert_row(row)
        self._adopt(data)

    def _update_row(self, base: AbstractSession, data: dict[str, Any]) -> bool:
        """Write what has changed of the row; return whether that could not wait.

        Raises SessionGone if there is no such row any more, or it has another secret.
        """
        obj = self.create_model_instance(data)
        changes = {
            field.attname: obj.__dict__[field.attname]
            for field in self.model._meta.concrete_fields
            if field.attname in obj.__dict__
            and obj.__dict__[field.attname] != base.__dict__.get(field.attname)
        }
        delay = abs(obj.expire_date - base.expire_date)
        urgent = changes.keys() - LATER - {"expire_date"}
        if not (urgent or delay > _tolerance(obj) or self._has_row_lease_run_out()):
            return False
        for name in ("id", "version", "data"):
            changes.pop(name, None)
        if changes and not self._this(base).update(**changes):
            raise SessionGone("The session was revoked, or its key replaced, meanwhile.")
        return True

    def _swap(
        self, base: AbstractSession, data: dict[str, Any], *, unvouch: bool = False
    ) -> AbstractSession | None:
        """Put the data in place of those of ``base``; return what lies there if they moved.

        Raises SessionGone if there are none, or others than of this session and key.
        """
        loaded, self._row = self._row, base
        try:
            obj = self.create_model_instance(data)
        finally:
            self._row = loaded
        self._enter(obj, data)
        with self._reached():
            swapped = self._data.swap(
                obj.public_id,
                base.entry.stamp,
                obj.entry.pack(obj.public_id),
                _left(obj.entry),
                unvouch=unvouch,
            )
        if swapped.is_done:
            self._row = obj
            return None
        entry = self._entry(swapped.theirs, SplitKey(obj.public_id, ""))
        has_other_key = entry is None or entry.secret_hash != bytes(obj.secret_hash)
        if entry is None or entry.kind is Kind.RETIRED or has_other_key:
            raise SessionGone("The session was revoked, or its key replaced, meanwhile.")
        return self._put(entry, copy.copy(base))

    def _replace_secret(self, row: AbstractSession, new: SplitKey) -> bool:
        if _is_visitors(row):
            # It goes on under another public id: without a row, nothing tells an old secret.
            self._superseded = row
            return False
        old = bytes(row.secret_hash)
        if not super()._replace_secret(row, new):
            return False
        after_commit(partial(self._rekey, row, old), self._rows().db)
        return True

    def _rekey(self, row: AbstractSession, old: bytes) -> None:
        """Give the data the row's new secret, so that nobody saves them with the old one."""
        entry = row.entry
        for _ in _tries():
            rekeyed = dataclasses.replace(
                entry, stamp=new_stamp(), secret_hash=bytes(row.secret_hash)
            )
            raw = rekeyed.pack(row.public_id)
            with self._reached():
                swapped = self._data.swap(
                    row.public_id, entry.stamp, raw, _left(entry), unvouch=True
                )
            if swapped.is_done:
                if entry is row.entry:
                    row.entry = rekeyed
                return
            theirs = self._entry(swapped.theirs, SplitKey(row.public_id, ""))
            if theirs is None or theirs.secret_hash != old:
                break
            entry = theirs
        with self._reached():
            self._data.unvouch([row.public_id])

    def _end(self, key: SplitKey, reason: SessionEndReason, actor: Any = None) -> int:
        if (row := self._row) is not None and row.public_id == key.public_id:
            entry = row.entry
        else:
            with self._reached():
                read = self._data.read(key.public_id, wants_ticket=False)
            entry = self._entry(read.raw, key)
        if entry is None or entry.kind is Kind.RETIRED:
            return 0
        if entry.kind is Kind.DATA:
            return super()._end(key, reason, actor)
        if not key.proves(entry.secret_hash):
            return 0
        with self._reached():
            self._data.drop([key.public_id])
        return 1

    def _enter(self, row: AbstractSession, data: dict[str, Any]) -> None:
        """Give the row a new entry that holds the data."""
        has_row = AUTH_USER_ID in data or (row.entry is not None and not _is_visitors(row))
        row.__dict__.pop("entry_data", None)
        row.entry = Entry(
            kind=Kind.DATA if has_row else Kind.VISITOR,
            stamp=new_stamp(),
            expire_date=row.expire_date,
            secret_hash=bytes(row.secret_hash),
            user=_user_of(row),
            data=self._to_bytes(data),
        )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Note and say it when the cache does not answer."""
        try:
            yield
        except CacheUnreachable as error:
            self.is_unavailable = True
            logger.error("The cache that holds the sessions did not answer: %s", error)
            raise


def _is_visitors(row: AbstractSession) -> bool:
    """Whether there is no row of it in the database."""
    return row.entry is not None and row.entry.kind is Kind.VISITOR


def _log_foreign(key: SplitKey, why: object) -> None:
    logger.warning("What lies in the cache for session %s is not its data: %s", key, why)


def _user_of(row: AbstractSession) -> str:
    return "" if row.user_id is None else str(row.user_id)


def _left(entry: Entry) -> float:
    """Return how many seconds the session has left; below 0 if it has ended."""
    return (entry.expire_date - timezone.now()).total_seconds()


def _tolerance(row: AbstractSession) -> timedelta:
    """Return how far the end of the row may lie from that of the data.

    Every save moves the end, and the row follows once a lease; sooner where a session is short.
    """
    left = row.expire_date - timezone.now()
    return min(timedelta(seconds=2 * conf.lease + 1), left / 20)


def _tries() -> Iterator[int]:
    """Count the tries; raise UpdateError when there are no more."""
    for number in range(TRIES):
        if number >= HURRIED_TRIES:
            time.sleep(0.001)
        yield number
    raise UpdateError("Others save this session all the time.")
