"""Entries in a cache that has no scripts: barriers, a lease by the own clock, a lock."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone

from django_sessionkit.copies.format import Entry, Kind
from django_sessionkit.copies.generic import BARRIER, LOCK_SECONDS, GenericCopies, GenericData
from django_sessionkit.copies.slots import copy_key, data_key
from django_sessionkit.exceptions import CacheUnreachable

PUBLIC_ID = uuid.uuid4()


class BrokenCache(LocMemCache):
    """Fails as a memcached does that is down."""

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        raise ConnectionRefusedError("nobody there")


class SmallCache(LocMemCache):
    """Drops what is too big for it, and what was there before, as Django's memcached does."""

    def set(self, key: Any, value: Any, timeout: Any = 300, version: Any = None) -> None:
        if isinstance(value, bytes) and len(value) > 1000:
            self.delete(key, version)
        else:
            super().set(key, value, timeout, version)


class DeafCache(LocMemCache):
    """Answers, but takes nothing."""

    def set_many(self, data: Any, timeout: Any = 300, version: Any = None) -> list[Any]:
        return list(data)


@pytest.fixture
def cache() -> LocMemCache:
    return LocMemCache(str(uuid.uuid4()), {})


def entry(stamp: int, kind: Kind = Kind.COPY, data: bytes = b"{}") -> bytes:
    expire_date = timezone.now() + timedelta(hours=1)
    return Entry(kind, stamp, expire_date, bytes(32), data=data).pack(PUBLIC_ID)


def test_a_copy_is_added_by_who_read_the_row_and_replaced_by_a_barrier(cache: LocMemCache) -> None:
    copies = GenericCopies(cache, 60)
    early, late = copies.fetch(PUBLIC_ID), copies.fetch(PUBLIC_ID)
    copies.fill(PUBLIC_ID, late.ticket, entry(1))
    assert copies.fetch(PUBLIC_ID).raw is not None
    copies.replace(PUBLIC_ID, entry(2))
    copies.fill(PUBLIC_ID, early.ticket, entry(1))
    fetched = copies.fetch(PUBLIC_ID)
    assert (fetched.raw, fetched.ticket) == (None, None)


@pytest.mark.slow
def test_a_barrier_outlives_every_fill_that_began_before_it(cache: LocMemCache) -> None:
    copies = GenericCopies(cache, 1)
    ticket = copies.fetch(PUBLIC_ID).ticket
    copies.drop([PUBLIC_ID])
    time.sleep(1.1)
    assert cache.get(copy_key(PUBLIC_ID)) == BARRIER
    copies.fill(PUBLIC_ID, ticket, entry(1))
    cache.delete(copy_key(PUBLIC_ID))
    # Its lease is over, barrier or not.
    copies.fill(PUBLIC_ID, ticket, entry(1))
    assert cache.get(copy_key(PUBLIC_ID)) is None


@pytest.mark.slow
def test_the_life_of_a_copy_counts_from_before_its_row_was_read(cache: LocMemCache) -> None:
    copies = GenericCopies(cache, 2)
    ticket = copies.fetch(PUBLIC_ID).ticket
    time.sleep(1)
    copies.fill(PUBLIC_ID, ticket, entry(1))
    assert copies.fetch(PUBLIC_ID).raw is not None
    time.sleep(1.1)
    assert copies.fetch(PUBLIC_ID).raw is None


@pytest.mark.parametrize("foreign", ["text", 7, b"", b"\x80bytes", {"a": 1}])
def test_what_is_not_ours_gives_way_to_a_barrier(cache: LocMemCache, foreign: object) -> None:
    cache.set(copy_key(PUBLIC_ID), foreign)
    fetched = GenericCopies(cache, 60).fetch(PUBLIC_ID)
    assert (fetched.raw, fetched.ticket, fetched.was_foreign) == (None, None, True)
    assert cache.get(copy_key(PUBLIC_ID)) == BARRIER


def test_of_many_swaps_at_once_each_is_made_from_the_one_before(cache: LocMemCache) -> None:
    data = GenericData(cache, 60)
    data.create(PUBLIC_ID, entry(0, Kind.DATA), 100)
    count, lost = 8, []

    def swap(number: int) -> None:
        stamp = 0
        while not (swapped := data.swap(PUBLIC_ID, stamp, entry(number, Kind.DATA), 100)).is_done:
            assert swapped.theirs is not None
            stamp = int.from_bytes(swapped.theirs[2:10])
        lost.append(stamp)

    threads = [threading.Thread(target=swap, args=[number]) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(lost)) == count


@pytest.mark.slow
def test_a_lock_that_is_not_given_back_is_an_outage_and_ends_by_itself(cache: LocMemCache) -> None:
    data = GenericData(cache, 60)
    data.create(PUBLIC_ID, entry(1, Kind.DATA), 100)
    cache.set(f"{data_key(PUBLIC_ID)}lock", "somebody", 2 * LOCK_SECONDS)
    with pytest.raises(CacheUnreachable, match="lock"):
        data.swap(PUBLIC_ID, 1, entry(2, Kind.DATA), 100)
    cache.touch(f"{data_key(PUBLIC_ID)}lock", 0.1)
    assert data.swap(PUBLIC_ID, 1, entry(2, Kind.DATA), 100).is_done


def test_data_that_the_cache_does_not_take_leave_the_old_ones_there() -> None:
    cache = SmallCache(str(uuid.uuid4()), {})
    data = GenericData(cache, 60)
    old = entry(1, Kind.DATA)
    data.create(PUBLIC_ID, old, 100)
    large = entry(2, Kind.DATA, uuid.uuid4().bytes * 10 + bytes(range(256)) * 20)
    large += bytes(2000 - len(large)) if len(large) < 2000 else b""
    with pytest.raises(CacheUnreachable, match="refused"):
        data.swap(PUBLIC_ID, 1, large, 100)
    assert data.read(PUBLIC_ID).raw == old


def test_errors_of_any_driver_say_that_the_cache_is_unreachable() -> None:
    copies = GenericCopies(BrokenCache("broken", {}), 60)
    with pytest.raises(CacheUnreachable, match="ConnectionRefusedError: nobody there"):
        copies.fetch(PUBLIC_ID)
    with pytest.raises(CacheUnreachable, match="refused 1 of 1"):
        GenericCopies(DeafCache("deaf", {}), 60).drop([PUBLIC_ID])
