"""The time of the cache, which can be moved, and what may happen to its keys.

A copy, a ticket or a voucher lives as long as Redis says. Taking some of the time that a key has
left is the same as letting that time pass.
"""

from __future__ import annotations

import struct
import time
import uuid
from typing import Any, cast

from django.core.cache import BaseCache

from django_sessionkit.conf import conf
from django_sessionkit.copies.format import FORMAT, STAMP, Kind
from django_sessionkit.copies.slots import copy_key, data_key, voucher_key
from tests.schedules.timing import HALF, UNITS

#: KEYS: all. ARGV: ms that pass. What has none left is deleted.
_PASS = """
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""


#: KEYS: copy, data, voucher. ARGV: another stamp, a voucher and its life in ms.
_FORGE = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 1) == 'C' then
  local forged = string.sub(held, 1, 2) .. ARGV[1] .. string.sub(held, 11)
  redis.call('SET', KEYS[1], forged, 'KEEPTTL')
end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) end
"""
#: A version that no row comes to.
FORGED = 2**40
#: The end of the row that it vouches for, in microseconds: the year 2200.
_END = 7_258_118_400_000_000


class CacheTime:
    """Time for the keys of some sessions."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache
        self._client: Any = cast(Any, cache).client.get_client()
        self.start()

    def start(self) -> None:
        """Forget the sessions, and start from 0."""
        self.now = 0
        self._keys: dict[uuid.UUID, list[str]] = {}
        self._snapshot: list[tuple[str, bytes, int]] | None = None
        self._taken_at = 0

    def watch(self, public_id: uuid.UUID) -> None:
        """Let time pass for this session too."""
        make_key = self._cache.make_key
        keys = (copy_key(public_id), data_key(public_id), voucher_key(public_id))
        self._keys[public_id] = [make_key(key) for key in keys]

    def tick(self) -> None:
        self.now += HALF
        keys = self._all()
        # Not by its digest: others may make the server forget its scripts at any time.
        self._client.eval(_PASS, len(keys), *keys, self._milliseconds(HALF))

    def held(self, public_id: uuid.UUID) -> list[bytes | None]:
        """Return what lies there: a copy, data, a voucher."""
        held: list[bytes | None] = self._client.mget(self._keys[public_id])
        return held

    def evict(self, public_id: uuid.UUID) -> None:
        """Delete what can be had again: a copy or a voucher, or the ticket for one."""
        copy, _, voucher = self._keys[public_id]
        self._client.delete(copy, voucher)

    def forge(self, public_id: uuid.UUID) -> None:
        """Let a copy look newer than all that are to come; vouch for data."""
        keys, stamp = self._keys[public_id], STAMP.pack(FORGED)
        told = struct.pack(">qqq", time.time_ns() // 1000, _END, 1)
        # Authenticated with nothing.
        voucher = Kind.VOUCHER.value + FORMAT + bytes(16) + told
        self._client.eval(_FORGE, 3, *keys, stamp, voucher, conf.lease * 1000)

    def lose(self, public_id: uuid.UUID) -> None:
        """Delete the data, which lie nowhere else."""
        self._client.delete(self._keys[public_id][1])

    def take_snapshot(self) -> None:
        self._taken_at = self.now
        self._snapshot = [
            (key, held, self._client.pttl(key))
            for key in self._all()
            if (held := self._client.get(key)) is not None
        ]

    def restore_snapshot(self) -> bool:
        """Put back what was there, but for what has expired meanwhile; False if there is none."""
        if self._snapshot is None:
            return False
        passed = self._milliseconds(self.now - self._taken_at)
        self._client.delete(*self._all())
        for key, held, left in self._snapshot:
            if left > passed:
                self._client.set(key, held, px=left - passed)
        return True

    def clean(self) -> None:
        self._client.delete(*self._all())

    def _milliseconds(self, units: int) -> int:
        return units * conf.lease * 1000 // UNITS

    def _all(self) -> list[str]:
        return [key for keys in self._keys.values() for key in keys]
