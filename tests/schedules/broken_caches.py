"""What keeps copies and data in Redis, with parts of its contract left out.

These are methods of the classes behind ``slots.Copies`` and ``slots.Data``, so that each is one
step as before, whatever store calls it.
"""

from __future__ import annotations

import dataclasses
import uuid

from django.db import connection

from django_sessionkit.copies.format import Kind, unpack
from django_sessionkit.copies.redis import RedisCopies, RedisData
from django_sessionkit.copies.slots import Fetched, Read, Swapped, voucher_key
from tests.schedules.seams import LEASE_MS, Switch, instead, together

#: In the place of a ticket that is taken when something is put there, not before the row is read.
LATE = object()

_fetch, _fill, _replace = RedisCopies.fetch, RedisCopies.fill, RedisCopies.replace
_read, _vouch, _swap = RedisData.read, RedisData.vouch, RedisData.swap


def _fetch_without_ticket(
    self: RedisCopies, public_id: uuid.UUID, *, wants_ticket: bool = True, bad: bytes = b""
) -> Fetched:
    fetched = _fetch(self, public_id, wants_ticket=False, bad=bad)
    if fetched.raw is not None or not wants_ticket:
        return fetched
    return dataclasses.replace(fetched, ticket=LATE)


def _fill_with_late_ticket(
    self: RedisCopies, public_id: uuid.UUID, ticket: object, raw: bytes
) -> None:
    late = _fetch(self, public_id).ticket
    if late is not None:
        _fill(self, public_id, late, raw)


def _read_without_ticket(
    self: RedisData, public_id: uuid.UUID, *, wants_ticket: bool = True
) -> Read:
    read = _read(self, public_id, wants_ticket=False)
    needs_voucher = read.raw is not None and read.raw[:1] == Kind.DATA.value
    if not needs_voucher or read.voucher is not None or not wants_ticket:
        return read
    return dataclasses.replace(read, ticket=LATE)


def _vouch_with_late_ticket(
    self: RedisData, public_id: uuid.UUID, ticket: object, voucher: bytes
) -> None:
    late = _read(self, public_id).ticket
    if late is not None:
        _vouch(self, public_id, late, voucher)


LATE_TICKETS = together(
    instead(RedisCopies, "fetch", _fetch_without_ticket),
    instead(RedisCopies, "fill", _fill_with_late_ticket),
    instead(RedisData, "read", _read_without_ticket),
    instead(RedisData, "vouch", _vouch_with_late_ticket),
)


def _fetch_with_ticket(
    self: RedisCopies, public_id: uuid.UUID, *, wants_ticket: bool = True, bad: bytes = b""
) -> Fetched:
    return _fetch(self, public_id, bad=bad)


TICKETS_ANYWHERE = instead(RedisCopies, "fetch", _fetch_with_ticket)


def _fill_out_of_transactions(
    self: RedisCopies, public_id: uuid.UUID, ticket: object, raw: bytes
) -> None:
    if not connection.in_atomic_block:
        _fill(self, public_id, ticket, raw)


def _replace_out_of_transactions(self: RedisCopies, public_id: uuid.UUID, raw: bytes) -> None:
    if not connection.in_atomic_block:
        _replace(self, public_id, raw)


NO_FILLS_IN_TRANSACTIONS = instead(RedisCopies, "fill", _fill_out_of_transactions)
NOTHING_REPLACED = instead(RedisCopies, "replace", lambda *_: None)


def _swap_under_old_secret(
    self: RedisData,
    public_id: uuid.UUID,
    stamp: int,
    raw: bytes,
    seconds: float,
    *,
    unvouch: bool = False,
) -> Swapped:
    """Put data under a new key as if they were still of the key before."""
    held = _read(self, public_id, wants_ticket=False).raw
    kinds = {raw[:1], b"" if held is None else held[:1]}
    if held is not None and kinds == {Kind.DATA.value}:
        secret_hash = unpack(held, public_id).secret_hash
        entry = dataclasses.replace(unpack(raw, public_id), secret_hash=secret_hash)
        raw = entry.pack(public_id)
    return _swap(self, public_id, stamp, raw, seconds, unvouch=unvouch)


KEYS_LEFT_IN_DATA = instead(RedisData, "swap", _swap_under_old_secret)


def vouching_swaps() -> Switch:
    """Save, and put the last voucher there for another lease, without having asked the row."""
    vouchers: dict[uuid.UUID, bytes] = {}

    def vouch(self: RedisData, public_id: uuid.UUID, ticket: object, voucher: bytes) -> None:
        vouchers[public_id] = voucher
        _vouch(self, public_id, ticket, voucher)

    def swap(
        self: RedisData,
        public_id: uuid.UUID,
        stamp: int,
        raw: bytes,
        seconds: float,
        *,
        unvouch: bool = False,
    ) -> Swapped:
        swapped = _swap(self, public_id, stamp, raw, seconds, unvouch=unvouch)
        if swapped.is_done and raw[:1] == Kind.DATA.value and public_id in vouchers:
            with self._keys.client() as client:
                name = self._keys.cache.make_key(voucher_key(public_id))
                client.set(name, vouchers[public_id], px=LEASE_MS)
        return swapped

    return together(instead(RedisData, "vouch", vouch), instead(RedisData, "swap", swap))
