"""Entries in a real Redis: their names, their bytes, and scripts that the server has forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from django.utils import timezone

from django_sessionkit.copies.format import Entry, Kind
from django_sessionkit.copies.redis import RedisCopies, RedisData

pytestmark = pytest.mark.redis

PUBLIC_ID = uuid.uuid4()
LEASE = 60


def entry(stamp: int, kind: Kind = Kind.COPY) -> bytes:
    expire_date = timezone.now() + timedelta(hours=1)
    return Entry(kind, stamp, expire_date, bytes(32), data=b"{}").pack(PUBLIC_ID)


@pytest.fixture(
    params=[{}, {"KEY_PREFIX": "site", "VERSION": 3}, {"KEY_FUNCTION": f"{__name__}.key_function"}],
    ids=["plain", "prefix", "function"],
)
def cache(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The cache under several names; what a test has put there goes with it."""
    entries = {**settings.CACHES, "sessions": {**settings.CACHES["redis"], **request.param}}
    with override_settings(CACHES=entries):
        cache = caches["sessions"]
        yield cache
        RedisCopies(cache, LEASE).drop([PUBLIC_ID])
        RedisData(cache, LEASE).drop([PUBLIC_ID])


def key_function(key: str, prefix: str, version: int) -> str:
    return f"mine/{version}/{prefix}/{key}"


def names(cache: Any) -> list[str]:
    """Return the keys of this session, as the server knows them."""
    client = cache.client.get_client()
    return sorted(key.decode() for key in client.scan_iter(f"*{PUBLIC_ID.hex}*"))


def held(cache: Any, name: str) -> bytes | None:
    value: bytes | None = cache.client.get_client().get(name)
    return value


def test_a_copy_lies_under_the_aliass_own_name_as_it_was_given(cache: Any) -> None:
    copies = RedisCopies(cache, LEASE)
    raw = entry(1)
    copies.fill(PUBLIC_ID, copies.fetch(PUBLIC_ID).ticket, raw)
    name = cache.make_key(f"sk:{PUBLIC_ID.hex}")
    assert names(cache) == [name]
    assert held(cache, name) == raw
    assert copies.fetch(PUBLIC_ID).raw == raw


def test_data_and_voucher_lie_beside_each_other(cache: Any) -> None:
    data = RedisData(cache, LEASE)
    raw = entry(1, Kind.DATA)
    assert data.create(PUBLIC_ID, raw, 100)
    read = data.read(PUBLIC_ID)
    data.vouch(PUBLIC_ID, read.ticket, b"M\x01" + bytes(32))
    name = cache.make_key(f"sk:{{{PUBLIC_ID.hex}}}")
    assert names(cache) == [name, f"{name}m"]
    assert data.read(PUBLIC_ID).voucher == b"M\x01" + bytes(32)
    assert data.missing([PUBLIC_ID]) == set()
    data.drop([PUBLIC_ID])
    assert names(cache) == []
    assert data.missing([PUBLIC_ID]) == {PUBLIC_ID}


def test_scripts_that_the_server_has_forgotten_are_sent_again(cache: Any) -> None:
    copies, client = RedisCopies(cache, LEASE), cache.client.get_client()
    older, newer = entry(1), entry(2)
    client.script_flush()
    ticket = copies.fetch(PUBLIC_ID).ticket
    client.script_flush()
    copies.fill(PUBLIC_ID, ticket, older)
    client.script_flush()
    copies.replace(PUBLIC_ID, newer)
    assert copies.fetch(PUBLIC_ID).raw == newer


def test_a_fill_keeps_the_life_of_its_ticket(cache: Any) -> None:
    copies, client = RedisCopies(cache, LEASE), cache.client.get_client()
    ticket = copies.fetch(PUBLIC_ID).ticket
    name = cache.make_key(f"sk:{PUBLIC_ID.hex}")
    client.pexpire(name, 30_000)
    copies.fill(PUBLIC_ID, ticket, entry(1))
    copies.replace(PUBLIC_ID, entry(2))
    assert 20_000 < client.pttl(name) <= 30_000


def test_one_ticket_at_a_time_and_none_but_its_holder_fills(cache: Any) -> None:
    copies = RedisCopies(cache, LEASE)
    first, second = copies.fetch(PUBLIC_ID), copies.fetch(PUBLIC_ID)
    assert first.ticket is not None
    assert second.ticket is None
    copies.fill(PUBLIC_ID, b"T" + bytes(16), entry(1))
    assert copies.fetch(PUBLIC_ID).raw is None
    copies.fill(PUBLIC_ID, first.ticket, entry(1))
    assert copies.fetch(PUBLIC_ID).raw is not None


@pytest.mark.parametrize("numbers", [(1, 2), (255, 256), (2**53 - 1, 2**53), (2**40, 2**40 + 1)])
def test_the_newer_of_two_copies_stays(cache: Any, numbers: tuple[int, int]) -> None:
    older, newer = map(entry, numbers)
    copies = RedisCopies(cache, LEASE)
    copies.fill(PUBLIC_ID, copies.fetch(PUBLIC_ID).ticket, older)
    copies.replace(PUBLIC_ID, newer)
    copies.replace(PUBLIC_ID, older)
    assert copies.fetch(PUBLIC_ID).raw == newer


def test_a_replacement_creates_nothing_and_takes_a_ticket_away(cache: Any) -> None:
    copies = RedisCopies(cache, LEASE)
    copies.replace(PUBLIC_ID, entry(1))
    ticket = copies.fetch(PUBLIC_ID).ticket
    assert ticket is not None
    copies.replace(PUBLIC_ID, entry(2))
    copies.fill(PUBLIC_ID, ticket, entry(1))
    assert names(cache) == []


@pytest.mark.parametrize("kind", ["string", "list"])
def test_what_is_not_ours_gives_way(cache: Any, kind: str) -> None:
    copies, client = RedisCopies(cache, LEASE), cache.client.get_client()
    name = cache.make_key(f"sk:{PUBLIC_ID.hex}")
    if kind == "string":
        client.set(name, "foreign")
    else:
        client.lpush(name, "foreign")
    fetched = copies.fetch(PUBLIC_ID)
    assert fetched.was_foreign
    copies.fill(PUBLIC_ID, fetched.ticket, entry(1))
    assert copies.fetch(PUBLIC_ID).raw is not None


def test_a_swap_needs_the_stamp_and_something_to_replace(cache: Any) -> None:
    data = RedisData(cache, LEASE)
    one, two, three = (entry(number, Kind.DATA) for number in (1, 2, 3))
    assert not data.swap(PUBLIC_ID, 1, two, 100).is_done
    assert names(cache) == []
    assert data.create(PUBLIC_ID, one, 100)
    assert not data.create(PUBLIC_ID, two, 100)
    assert data.swap(PUBLIC_ID, 1, two, 100).is_done
    assert data.swap(PUBLIC_ID, 1, three, 100).theirs == two
    # Sent again because the answer was lost.
    assert data.swap(PUBLIC_ID, 1, two, 100).is_done
    assert data.read(PUBLIC_ID).raw == two


def test_a_visitors_data_take_no_ticket(cache: Any) -> None:
    data = RedisData(cache, LEASE)
    data.create(PUBLIC_ID, entry(1, Kind.VISITOR), 100)
    assert data.read(PUBLIC_ID).ticket is None
    assert len(names(cache)) == 1
