"""Entries in Redis or Valkey, through the raw connection of django-redis.

Each act is one script, so that nothing comes in between. A key of copies or vouchers holds nothing,
an entry, or a ticket: the right to put an entry there, taken before the row was read. Whoever
changes the row takes the ticket away, so nobody puts what they read before that.

Needs Redis 6 (``SET … KEEPTTL``) or Valkey. A script touches the keys of one session alone, which
share a hash tag, so that it runs on a cluster too.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.core.cache import BaseCache

from django_sessionkit.copies.format import FORMAT, STAMP, Kind
from django_sessionkit.copies.scripts import FETCH, FILL, READ, REPLACE, SWAP
from django_sessionkit.copies.slots import Fetched, Read, Swapped, copy_key, data_key, voucher_key
from django_sessionkit.exceptions import CacheUnreachable

try:
    from redis.exceptions import RedisClusterException, RedisError, ResponseError
except ImportError:  # the extra "redis" is not installed, and nothing here is called
    RedisClusterException = RedisError = ResponseError = CacheUnreachable  # type: ignore[assignment,misc]

TICKET = b"T"
#: How many keys one round trip takes away.
KEYS_A_TRIP = 1000


class RedisKeys:
    """A cache of django-redis, and what its entries cost: a lease, in seconds."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self.cache = cache
        self.lease = lease

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Give the connection to the server that is written to.

        Raises CacheUnreachable, also for what is done with it, if the server fails to serve.
        """
        try:
            # No replica: it may lag behind a revoke.
            yield cast(Any, self.cache).client.get_client(write=True)
        except (RedisError, RedisClusterException, OSError, RuntimeError) as error:
            # RuntimeError: redis-py changes its map of a cluster while other threads walk over it.
            raise CacheUnreachable(f"Redis: {error}") from error

    def delete(self, keys: Collection[str]) -> None:
        """Delete the keys, a thousand a round trip."""
        names = [self.cache.make_key(key) for key in keys]
        with self.client() as client:
            for start in range(0, len(names), KEYS_A_TRIP):
                some = names[start : start + KEYS_A_TRIP]
                try:
                    if not hasattr(client, "nodes_manager"):
                        client.delete(*some)
                        continue
                except ResponseError:
                    # A cluster of one node, reached as if it were none, and whatever else refuses.
                    pass
                # A cluster takes the keys of one slot in a command, and many commands in a trip.
                pipeline = client.pipeline(transaction=False)
                for name in some:
                    pipeline.delete(name)
                pipeline.execute()

    def fill(self, key: str, ticket: object, raw: bytes) -> None:
        """Put an entry over the ticket, if that is still there."""
        with self.client() as client:
            FILL.run(client, [self.cache.make_key(key)], [cast(bytes, ticket), raw])

    def milliseconds(self, wants_ticket: bool) -> int:
        """Return how long a ticket lives; 0 for none."""
        return self.lease * 1000 if wants_ticket else 0


class RedisCopies:
    """Copies of rows. The methods are told in ``slots.Copies``."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self._keys = RedisKeys(cache, lease)

    def fetch(
        self, public_id: uuid.UUID, *, wants_ticket: bool = True, bad: bytes = b""
    ) -> Fetched:
        ticket = _new_ticket()
        with self._keys.client() as client:
            held = FETCH.run(
                client,
                [self._keys.cache.make_key(copy_key(public_id))],
                [ticket, self._keys.milliseconds(wants_ticket), Kind.COPY.value + FORMAT, bad],
            )
        if isinstance(held, bytes):
            return Fetched(raw=held)
        return Fetched(ticket=ticket if held else None, was_foreign=held == 2)

    def fill(self, public_id: uuid.UUID, ticket: object, raw: bytes) -> None:
        self._keys.fill(copy_key(public_id), ticket, raw)

    def replace(self, public_id: uuid.UUID, raw: bytes) -> None:
        with self._keys.client() as client:
            REPLACE.run(
                client,
                [self._keys.cache.make_key(copy_key(public_id))],
                [raw, Kind.COPY.value + FORMAT],
            )

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        self._keys.delete([copy_key(public_id) for public_id in public_ids])


class RedisData:
    """Data that lies nowhere else, and vouchers of rows. See ``slots.Data``."""

    def __init__(self, cache: BaseCache, lease: int) -> None:
        self._keys = RedisKeys(cache, lease)

    def read(self, public_id: uuid.UUID, *, wants_ticket: bool = True) -> Read:
        ticket = _new_ticket()
        with self._keys.client() as client:
            found = READ.run(
                client,
                self._names(public_id),
                [
                    ticket,
                    self._keys.milliseconds(wants_ticket),
                    Kind.DATA.value + FORMAT,
                    Kind.VOUCHER.value + FORMAT,
                ],
            )
        raw, second = [*found, None, None][:2]
        if isinstance(second, bytes):
            return Read(raw=raw, voucher=second)
        return Read(raw=raw, ticket=ticket if second else None)

    def vouch(self, public_id: uuid.UUID, ticket: object, voucher: bytes) -> None:
        self._keys.fill(voucher_key(public_id), ticket, voucher)

    def create(self, public_id: uuid.UUID, raw: bytes, seconds: float) -> bool:
        with self._keys.client() as client:
            name = self._names(public_id)[0]
            return bool(client.set(name, raw, nx=True, px=_life(seconds)))

    def swap(
        self,
        public_id: uuid.UUID,
        stamp: int,
        raw: bytes,
        seconds: float,
        *,
        unvouch: bool = False,
    ) -> Swapped:
        with self._keys.client() as client:
            held = SWAP.run(
                client,
                self._names(public_id),
                [STAMP.pack(stamp), raw, _life(seconds), int(unvouch)],
            )
        if isinstance(held, bytes):
            return Swapped(theirs=held)
        return Swapped(is_done=bool(held))

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        self._keys.delete(
            [key(public_id) for public_id in public_ids for key in (data_key, voucher_key)]
        )

    def unvouch(self, public_ids: Collection[uuid.UUID]) -> None:
        self._keys.delete([voucher_key(public_id) for public_id in public_ids])

    def missing(self, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        with self._keys.client() as client:
            pipeline = client.pipeline(transaction=False)
            for public_id in public_ids:
                pipeline.exists(self._names(public_id)[0])
            counts = pipeline.execute() if public_ids else []
        return {one for one, count in zip(public_ids, counts, strict=True) if not count}

    def _names(self, public_id: uuid.UUID) -> list[str]:
        make_key = self._keys.cache.make_key
        return [make_key(data_key(public_id)), make_key(voucher_key(public_id))]


def _new_ticket() -> bytes:
    return TICKET + secrets.token_bytes(16)


def _life(seconds: float) -> int:
    """Return milliseconds; what has expired goes at once."""
    return max(1, int(seconds * 1000))
