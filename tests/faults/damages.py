"""What may become of an entry in a cache, short of being one."""

from __future__ import annotations

from collections.abc import Callable

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda entry: b"",
    "garbage": lambda entry: b"\xff\x00garbage",
    "a pickle": lambda entry: b"\x80\x05K\x01.",
    "truncated at the end": lambda entry: entry[:-1],
    "truncated to the head": lambda entry: entry[:10],
    "truncated to two bytes": lambda entry: entry[:2],
    "prolonged": lambda entry: entry + b"\x00",
    "changed at the end": lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
    "a later version": lambda entry: entry[:2] + b"\x7f" + b"\xff" * 7 + entry[10:],
    "another kind": lambda entry: b"V" + entry[1:],
    "an unknown format": lambda entry: entry[:1] + b"\xfe" + entry[2:],
}
