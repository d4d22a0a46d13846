"""Faults in what a cache holds, and in the scripts that keep its promises."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="a fill does not need its ticket where the key is empty",
        file="copies/scripts.py",
        old="if held ~= ARGV[1] or not set(KEYS[1], ARGV[2], 'KEEPTTL') then return 0 end",
        new="if held and held ~= ARGV[1] or not set(KEYS[1], ARGV[2], 'KEEPTTL') then return 0 end",
        tests=("tests/copies/test_redis.py",),
    ),
    Mutant(
        name="a save creates a copy where there was none",
        file="copies/scripts.py",
        old="if not held then return 0 end\nif string.sub(held, 1, 2) == ARGV[2]",
        new="if not held then set(KEYS[1], ARGV[1], 'PX', 60000) return 1 end\n"
        "if string.sub(held, 1, 2) == ARGV[2]",
        tests=("tests/copies/test_redis.py",),
    ),
    Mutant(
        name="a late save replaces a newer copy by its older one",
        file="copies/scripts.py",
        old="if number(held) >= number(ARGV[1]) or set(",
        new="if held == ARGV[1] or set(",
        tests=("tests/copies/test_redis.py",),
    ),
    Mutant(
        name="a save creates data that a revoke has deleted",
        file="copies/scripts.py",
        old="if not held then return 0 end\nif held ~= ARGV[2] and",
        new="if held and held ~= ARGV[2] and",
        tests=("tests/copies/test_redis.py",),
    ),
    Mutant(
        name="the MAC of an entry leaves out the public id",
        file="copies/format.py",
        old="text = head + public_id.bytes + body",
        new="text = head + body",
        tests=("tests/copies/test_format.py",),
    ),
    Mutant(
        name="the age of a voucher is not checked",
        file="copies/format.py",
        old="    if not _is_within(moment(written_at), lease):",
        new="    if lease < 0:",
        tests=("tests/copies/test_format.py",),
    ),
    Mutant(
        name="the MAC of a voucher leaves out the user",
        file="copies/format.py",
        old="return entry.secret_hash + entry.user.encode()",
        new="return entry.secret_hash",
        tests=("tests/copies/test_format.py",),
    ),
    Mutant(
        name="on a cache without scripts, a fill overwrites the barrier of a revoke",
        file="copies/generic.py",
        old="self.cache.add(key, raw, left)",
        new="self.cache.set(key, raw, left)",
        tests=("tests/copies/test_generic.py",),
    ),
)
