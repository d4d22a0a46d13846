"""The scripts of ``copies.scripts`` put together again, with the parts that are rules left open.

In full, and without what they do on a server that refuses: rules are to be seen here, and must not
depend on how the real scripts are written.
"""

from __future__ import annotations

from unittest import mock

from django_sessionkit.copies import redis
from django_sessionkit.copies.scripts import Script
from tests.schedules.seams import LEASE_MS, Switch

KEPT, NEW_LEASE = "'KEEPTTL'", f"'PX', {LEASE_MS}"
#: The copy that lies there is older than the one that is to be put there.
OLDER = "string.sub(held, 3, 10) < string.sub(ARGV[1], 3, 10)"
#: Both are of the same key: the hash of the secret (``copies.format``) is the same.
SAME_KEY = "string.sub(held, 51, 82) == string.sub(ARGV[1], 51, 82)"
#: The data that lie there are others than those that were read.
MOVED = "held ~= ARGV[2] and string.sub(held, 3, 10) ~= ARGV[1]"
#: A login puts it in place of a visitor's data. What a visitor has ended lives for no time at all.
RETIRES = "string.sub(ARGV[2], 1, 1) == 'R' and tonumber(ARGV[3]) > 1"


def fill(*, mine: str = "held == ARGV[1]", life: str = KEPT) -> Switch:
    """Put a copy or a voucher over ``mine``, with a life."""
    return _instead(
        "FILL",
        f"""
        local held = redis.call('GET', KEYS[1])
        if not ({mine}) then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], {life})
        return 1
        """,
    )


def replace(
    *,
    absent: str = "return 0",
    ticket: str = "redis.call('DEL', KEYS[1])",
    older: str = OLDER,
    life: str = KEPT,
) -> Switch:
    """Put a copy over an older one; say what becomes of nothing and of a ticket."""
    return _instead(
        "REPLACE",
        f"""
        local held = redis.call('GET', KEYS[1])
        if not held then {absent} end
        if string.sub(held, 1, 2) ~= ARGV[2] then
          {ticket}
        elseif {older} then
          redis.call('SET', KEYS[1], ARGV[1], {life})
        end
        return 1
        """,
    )


def swap(
    *,
    absent: str = "return 0",
    ignored: str = "false",
    moved: str = MOVED,
    voucher: str = "",
) -> Switch:
    """Put data over those that have not ``moved``, unless ignored; do something to the voucher."""
    return _instead(
        "SWAP",
        f"""
        local held = redis.call('GET', KEYS[1])
        if {ignored} then return 1 end
        if not held then {absent} elseif {moved} then return held end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        {voucher}
        if ARGV[4] == '1' then redis.call('DEL', KEYS[2]) end
        return 1
        """,
    )


def _instead(name: str, source: str) -> Switch:
    return lambda: mock.patch.object(redis, name, Script(source))


FILL_WITHOUT_TICKET = fill(mine="true", life=NEW_LEASE)
FILL_WITH_NEW_LEASE = fill(life=NEW_LEASE)
