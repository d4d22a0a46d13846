"""Reading sessions whose data lie in a cache alone, and which a row vouches for."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.core.cache import caches
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessionkit.backends.copied import CopiedStore
from django_sessionkit.backends.replaced import RETIRED_FOR, ReplacedKey
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
from django_sessionkit.copies.slots import Data, Read, Swapped, data_key
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey

logger = logging.getLogger("django_sessionkit")


class DataStore(CopiedStore):
    """A store that reads its data from the cache, and asks the row about them once a lease."""

    # The key that was looked for is that of a visitor whose data a login has retired.
    _retired: ReplacedKey | None = None

    @cached_property
    def _data(self) -> Data:
        return data_in(self._cache, conf.lease)

    @property
    def cache_key(self) -> str | None:
        key = SplitKey.parse(self.session_key)
        return None if key is None else data_key(key.public_id)

    @classmethod
    def _held(cls) -> Data:
        return data_in(caches[settings.SESSION_CACHE_ALIAS], conf.lease)

    @classmethod
    def doubt_copies(cls, public_ids: Collection[uuid.UUID]) -> None:
        """Let the rows be asked, where it is not known whether they change."""
        try:
            cls._held().unvouch(public_ids)
        except CacheUnreachable as error:
            logger.error("The cache did not answer: %s", error)

    @classmethod
    def lost(cls, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those whose data the cache has lost, which have ended thereby.

        Raises CacheUnreachable if it does not answer.
        """
        return cls._held().missing(public_ids)

    def _find(self, key: SplitKey) -> AbstractSession | None:
        self._is_leased = self._owes_copy = False
        self._retired = None
        may_fill = self._may_fill()
        with self._reached():
            read = self._data.read(key.public_id, wants_ticket=may_fill)
        try:
            return self._found(read, key, may_fill)
        except BadEntry as error:
            _log_foreign(key.public_id, error)
            return None

    def _found(self, read: Read, key: SplitKey, may_fill: bool) -> AbstractSession | None:
        entry = self._entry(read.raw, key.public_id)
        if entry is None or entry.kind is Kind.RETIRED:
            if entry is not None and key.proves(entry.secret_hash):
                self._retired = self._retired_key(entry, key)
            return None
        if entry.kind is Kind.VISITOR:
            row = self._visitor(entry, key)
            self._is_leased = row is not None
            return row
        if self._may_believe(key) and (row := self._vouched_for(entry, read, key)) is not None:
            self._is_leased = True
            return row
        row = super()._find(key)
        if row is None:
            return None
        is_its = entry.user == _user_of(row) and entry.secret_hash == bytes(row.secret_hash)
        if is_its and read.ticket is not None:
            # Whoever asks: a wrong secret must not keep the right one from being vouched for.
            with self._reached():
                voucher = pack_voucher(entry, key.public_id, row.expire_date, row.pk)
                self._data.vouch(key.public_id, read.ticket, voucher)
        if not key.proves(row.secret_hash):
            return row
        if entry.user != _user_of(row):
            logger.warning("The data of session %s are not those of its user.", key)
            return None
        self._owes_copy = bool(conf.lease) and not may_fill
        return self._put(entry, row)

    def _entry(self, raw: bytes | None, public_id: uuid.UUID) -> Entry | None:
        """Return what ``raw`` is, if that is a session that goes on.

        What is not ours is left where it is: it may be this process that has the wrong SECRET_KEY.
        """
        if raw is None:
            return None
        try:
            entry = unpack(raw, public_id)
        except BadEntry as error:
            _log_foreign(public_id, error)
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
            expire_date, pk = unpack_voucher(read.voucher, entry, key.public_id, conf.lease)
        except BadEntry as error:
            logger.warning("The voucher of session %s is none: %s", key, error)
            with self._reached():
                self._data.unvouch([key.public_id])
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
        return self._put(entry, self._deferred(values))

    def _replaced_key(self, row: AbstractSession | None, mark: bytes) -> ReplacedKey | None:
        return self._retired or super()._replaced_key(row, mark)

    def _retired_key(self, entry: Entry, key: SplitKey) -> ReplacedKey:
        """Tell when a visitor's key was retired that has no row: by the clocks of the servers."""
        age = RETIRED_FOR - (entry.expire_date - timezone.now()) - self._elapsed()
        return ReplacedKey(key.public_id, None, age, was_users=False)

    def _judge_held_key(self, key: SplitKey) -> None:
        if self._row is None:
            self._find(key)  # a visitor's key has no row
            if self._retired is not None:
                self._judge(self._retired)
                return
        if self._row is None or not is_visitors(self._row):
            super()._judge_held_key(key)
            return
        with self._reached():
            read = self._data.read(key.public_id, wants_ticket=False)
        entry, self._retired = self._entry(read.raw, key.public_id), None
        if (
            entry is not None
            and entry.kind is Kind.RETIRED
            and entry.secret_hash == self._row.entry.secret_hash
        ):
            self._retired = self._retired_key(entry, key)
        self._judge(self._retired)

    def _enter(self, row: AbstractSession, data: dict[str, Any]) -> None:
        """Give the row a new entry that holds the data."""
        has_row = AUTH_USER_ID in data or (row.entry is not None and not is_visitors(row))
        row.__dict__.pop("entry_data", None)
        row.entry = Entry(
            kind=Kind.DATA if has_row else Kind.VISITOR,
            stamp=new_stamp(),
            expire_date=row.expire_date,
            secret_hash=bytes(row.secret_hash),
            user=_user_of(row),
            data=self._to_bytes(data),
        )

    def _swap_entry(
        self, public_id: uuid.UUID, stamp: int, entry: Entry, *, unvouch: bool = False
    ) -> Swapped:
        """Put the entry in place of the one under ``stamp``. See ``Data.swap()``."""
        raw, seconds = entry.pack(public_id), seconds_left(entry)
        with self._reached():
            return self._data.swap(public_id, stamp, raw, seconds, unvouch=unvouch)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Note and say it when the cache does not answer."""
        try:
            yield
        except CacheUnreachable as error:
            self.is_unavailable = True
            logger.error("The cache that holds the sessions did not answer: %s", error)
            raise


def is_visitors(row: AbstractSession) -> bool:
    """Whether there is no row of it in the database."""
    return row.entry is not None and row.entry.kind is Kind.VISITOR


def seconds_left(entry: Entry) -> float:
    """Return how many seconds the session has left; below 0 if it has ended."""
    return (entry.expire_date - timezone.now()).total_seconds()


def _log_foreign(public_id: uuid.UUID, why: object) -> None:
    logger.warning("What lies in the cache for session %s is not its data: %s", public_id, why)


def _user_of(row: AbstractSession) -> str:
    return "" if row.user_id is None else str(row.user_id)
