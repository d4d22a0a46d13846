"""Entries in any cache of Django's, which knows no scripts: locmem, memcached, a table, files.

A fill is an ``add()``; whoever changes a row puts a barrier there for a lease, which no ``add()``
overwrites. Data are compared and swapped under a lock, which is a key as well. That keeps the
promises of ``redis`` while the cache evicts nothing and its ``add()`` is atomic.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import cast

from django.core.cache import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from django_sessionkit.copies.format import HEAD, STAMP, Kind
from django_sessionkit.copies.slots import Fetched, Read, Swapped, copy_key, data_key, voucher_key
from django_sessionkit.exceptions import CacheUnreachable

BARRIER = b"B"
#: Memcached counts whole seconds, and may end one early.
SLACK = 2
#: Other processes may still have another lease, while a site is brought up to date.
MIN_BARRIER = 60
#: How long the lock of a session's data is held at most, and waited for, in seconds.
LOCK_SECONDS = 5


class GenericCopies:
    """Copies of rows. The methods are told in ``slots.Copies``."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self._slots = _Slots(cache, lease)

    def fetch(
        self, public_id: uuid.UUID, *, wants_ticket: bool = True, bad: bytes = b""
    ) -> Fetched:
        key = copy_key(public_id)
        start = time.monotonic()
        with _reached():
            held = self._slots.cache.get(key)
        return self._slots.fetched(key, held, start, wants_ticket, bad)

    def fill(self, public_id: uuid.UUID, ticket: object, raw: bytes) -> None:
        self._slots.fill(copy_key(public_id), ticket, raw)

    def replace(self, public_id: uuid.UUID, raw: bytes) -> None:
        self.drop([public_id])

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        self._slots.bar([copy_key(public_id) for public_id in public_ids])


class GenericData:
    """Data that lies nowhere else, and vouchers of rows. See ``slots.Data``."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self._slots = _Slots(cache, lease)

    def read(self, public_id: uuid.UUID, *, wants_ticket: bool = True) -> Read:
        key, start = voucher_key(public_id), time.monotonic()
        with _reached():
            found = self._slots.cache.get_many([data_key(public_id), key])
        raw = found.get(data_key(public_id))
        if not isinstance(raw, bytes):
            return Read()
        if raw[:1] != Kind.DATA.value:
            return Read(raw=raw)
        voucher = self._slots.fetched(
            key, found.get(key), start, wants_ticket, kind=Kind.VOUCHER.value
        )
        return Read(raw=raw, voucher=voucher.raw, ticket=voucher.ticket)

    def vouch(self, public_id: uuid.UUID, ticket: object, voucher: bytes) -> None:
        self._slots.fill(voucher_key(public_id), ticket, voucher)

    def create(self, public_id: uuid.UUID, raw: bytes, seconds: float) -> bool:
        with _reached():
            return bool(self._slots.cache.add(data_key(public_id), raw, _life(seconds)))

    def swap(
        self,
        public_id: uuid.UUID,
        stamp: int,
        raw: bytes,
        seconds: float,
        *,
        unvouch: bool = False,
    ) -> Swapped:
        key = data_key(public_id)
        with _reached(), self._locked(key):
            held = self._slots.cache.get(key)
            if not isinstance(held, bytes):
                return Swapped()
            if held[HEAD - STAMP.size : HEAD] != STAMP.pack(stamp):
                return Swapped(theirs=held)
            self._slots.cache.set(key, raw, _life(seconds))
            if self._slots.cache.get(key) != raw:
                # Memcached drops what is too big for it, and what was there before.
                self._slots.cache.set(key, held, _life(seconds))
                raise CacheUnreachable(f"The cache refused {len(raw)} bytes.")
        if unvouch:
            self.unvouch([public_id])
        return Swapped(is_done=True)

    def unvouch(self, public_ids: Collection[uuid.UUID]) -> None:
        self._slots.bar([voucher_key(public_id) for public_id in public_ids])

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        # A save that holds the lock may put data back: no row vouches for them any more.
        self.unvouch(public_ids)
        with _reached():
            self._slots.cache.delete_many([data_key(public_id) for public_id in public_ids])

    def missing(self, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        if isinstance(self._slots.cache, LocMemCache | FileBasedCache | DummyCache):
            return set()  # What others hold may not be seen from this process or machine.
        keys = {data_key(public_id): public_id for public_id in public_ids}
        with _reached():
            found = self._slots.cache.get_many(list(keys))
        return {public_id for key, public_id in keys.items() if key not in found}

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        lock, mine = f"{key}lock", secrets.token_hex(8)
        deadline = time.monotonic() + LOCK_SECONDS
        while not self._slots.cache.add(lock, mine, LOCK_SECONDS):
            if time.monotonic() > deadline:
                raise CacheUnreachable("The lock of the session's data was not given back.")
            time.sleep(0.005)
        try:
            yield
        finally:
            if self._slots.cache.get(lock) == mine:
                self._slots.cache.delete(lock)


class _Slots:
    """Keys that hold nothing, an entry, or a barrier."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self.cache = cache
        self.lease = lease

    def fetched(
        self,
        key: str,
        held: object,
        start: float,
        wants_ticket: bool,
        bad: bytes = b"",
        kind: bytes = Kind.COPY.value,
    ) -> Fetched:
        """Say what ``held``, which was asked for at ``start``, is good for."""
        if held == BARRIER:
            return Fetched()
        if held is not None:
            if isinstance(held, bytes) and held != bad and held[:1] == kind:
                return Fetched(raw=held)
            # What is no good gives way to a barrier: nobody knows since when it has lain there.
            self.bar([key])
            return Fetched(was_foreign=True)
        return Fetched(ticket=start if wants_ticket else None)

    def fill(self, key: str, ticket: object, raw: bytes) -> None:
        """Add an entry for what is left of the lease since the ticket; nothing if it is over."""
        left = cast(float, ticket) + self.lease - time.monotonic()
        if left > 0:
            with _reached():
                self.cache.add(key, raw, left)

    def bar(self, keys: Collection[str]) -> None:
        """Keep everybody from adding there what they read before now."""
        with _reached():
            seconds = max(self.lease, MIN_BARRIER) + SLACK
            failed = self.cache.set_many(dict.fromkeys(keys, BARRIER), seconds)
        if failed:
            raise CacheUnreachable(f"The cache refused {len(failed)} of {len(keys)} keys.")


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except CacheUnreachable:
        raise
    except Exception as error:
        # Django's caches have no common error for a server that fails; each raises its driver's.
        raise CacheUnreachable(f"{type(error).__name__}: {error}") from error


def _life(seconds: float) -> int:
    """Return whole seconds, as memcached counts them; what has expired goes at once."""
    return max(1, int(seconds))
