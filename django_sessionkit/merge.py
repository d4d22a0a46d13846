"""Three-way merge of session dictionaries, so that parallel requests lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_ABSENT = object()


def merge(
    base: Mapping[str, Any],
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    dumps: Callable[[Any], bytes],
) -> dict[str, Any]:
    """Apply what ``mine`` changed since ``base`` onto ``theirs``, by top-level key.

    ``base`` is what was loaded, ``mine`` what this request made of it, ``theirs`` what another
    request has saved meanwhile. A key that both changed goes to ``mine``, the later save.
    ``dumps`` is the session serializer's: values are compared as they would be stored, since
    ``1 == True == 1.0`` for Python, a tuple comes back as a list, and NaN differs from itself.
    """

    def same(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        left, right = one.get(key, _ABSENT), other.get(key, _ABSENT)
        if left is _ABSENT or right is _ABSENT:
            return left is right
        # Not under its key: a serializer may write an object that stands twice as a reference.
        return left is right or dumps({"": left}) == dumps({"": right})

    # Where nobody changed a value, mine is kept: the view may hold a reference into it.
    merged = {
        key: mine[key] if key in mine and same(key, mine, theirs) else value
        for key, value in theirs.items()
    }
    for key in [*mine, *(key for key in base if key not in mine)]:
        if same(key, base, mine):
            continue
        if key in mine:
            merged[key] = mine[key]
        else:
            merged.pop(key, None)
    return merged
