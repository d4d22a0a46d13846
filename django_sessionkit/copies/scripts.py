"""The Lua scripts: each act on the keys of one session, with nothing in between.

Their arguments that are constants (the heads of entries) come from ``format``, as everything that
knows the bytes does.
"""

from __future__ import annotations

import hashlib
from typing import Any

try:
    from redis.exceptions import NoScriptError
except ImportError:  # the extra "redis" is not installed, and nothing here is run
    NoScriptError = Exception  # type: ignore[assignment,misc]


class Script:
    """A Lua script, sent in full only to a server that does not know it yet."""

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        # What EVALSHA calls it by; nothing is protected by it.
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: list[str], arguments: list[bytes | int]) -> Any:
        """Run it on the server that holds the keys."""
        try:
            # What evalsha() does, but for its look at deprecated arguments, a tenth of the call.
            return client.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.source, len(keys), *keys, *arguments)


# 'held' is what lies under the key; what is not a string is as foreign as foreign bytes.
_HELD = """
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'string' then held = held and '' end
"""
# A server that is full takes nothing more, but can be read and have keys deleted. Any other refusal
# is told: it may come from a server that is no longer the one to write to.
_SET = """
local function set(...)
  local answer = redis.pcall('SET', ...)
  if type(answer) ~= 'table' or not answer.err then return true end
  if string.find(answer.err, 'OOM', 1, true) then return false end
  return redis.call('SET', ...)
end
"""
_NUMBER = """
local function number(entry)
  local sum = 0
  for place = 3, 10 do sum = sum * 256 + string.byte(entry, place) end
  return sum
end
"""

#: KEYS: copy. ARGV: ticket, its life in ms (0: take none), head of a copy, bytes that are no good.
#: Returns the copy; 1 with the ticket taken; 2 the same over foreign bytes; 0 without a ticket.
FETCH = Script(
    _HELD
    + _SET
    + """
local foreign = 1
if held then
  if held ~= ARGV[4] and string.sub(held, 1, 2) == ARGV[3] then return held end
  if string.sub(held, 1, 1) == 'T' and #held == 17 then return 0 end
  foreign = 2
end
if ARGV[2] == '0' or not set(KEYS[1], ARGV[1], 'PX', ARGV[2]) then return 0 end
return foreign
"""
)
#: KEYS: copy or voucher. ARGV: ticket, entry. Puts the entry over the own ticket, with its life.
FILL = Script(
    _HELD
    + _SET
    + """
if held ~= ARGV[1] or not set(KEYS[1], ARGV[2], 'KEEPTTL') then return 0 end
return 1
"""
)
#: KEYS: copy. ARGV: entry, head of a copy. An older copy is replaced, a ticket taken away.
REPLACE = Script(
    _HELD
    + _SET
    + _NUMBER
    + """
if not held then return 0 end
if string.sub(held, 1, 2) == ARGV[2] and #held >= 10 then
  if number(held) >= number(ARGV[1]) or set(KEYS[1], ARGV[1], 'KEEPTTL') then return 1 end
end
redis.call('DEL', KEYS[1])
return 1
"""
)
#: KEYS: data, voucher. ARGV: ticket, its life in ms (0: take none), heads of data and of a voucher.
#: Returns the data, and the voucher or 1 for the ticket taken.
READ = Script(
    _HELD
    + _SET
    + """
if not held then return {} end
if string.sub(held, 1, 2) ~= ARGV[3] then return {held} end
local voucher = redis.pcall('GET', KEYS[2])
if type(voucher) == 'string' then
  if string.sub(voucher, 1, 2) == ARGV[4] then return {held, voucher} end
  if string.sub(voucher, 1, 1) == 'T' and #voucher == 17 then return {held} end
end
if ARGV[2] == '0' or not set(KEYS[2], ARGV[1], 'PX', ARGV[2]) then return {held} end
return {held, 1}
"""
)
#: KEYS: data, voucher. ARGV: stamp, entry, its life in ms, 1 to take the voucher away.
#: Returns 1; 0 if there is nothing; else what lies there under another stamp.
SWAP = Script(
    _HELD
    + """
if not held then return 0 end
if held ~= ARGV[2] and string.sub(held, 3, 10) ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == '1' then redis.call('DEL', KEYS[2]) end
return 1
"""
)
