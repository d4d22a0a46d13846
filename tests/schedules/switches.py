"""Switching a rule off, so as to see that the search misses it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from django_sessionkit import ending
from django_sessionkit.backends import rows
from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.copies import format as entries
from django_sessionkit.copies import redis
from django_sessionkit.copies.scripts import Script
from django_sessionkit.recall import Recall

#: Keeps a rule switched off while it is entered.
Switch = Callable[[], AbstractContextManager[object]]

LEASE_MS = conf.lease * 1000


def instead(owner: object, name: str, new: object) -> Switch:
    """Put something else in the place of a method or a function."""
    return lambda: mock.patch.object(owner, name, new)


def script(name: str, *changes: tuple[str, str]) -> Switch:
    """Change the source of a script of ``copies.redis``."""

    def switch() -> AbstractContextManager[object]:
        source = getattr(redis, name).source.decode()
        for before, after in changes:
            assert source.count(before) == 1, f"{before} in {source}"
            source = source.replace(before, after)
        return mock.patch.object(redis, name, Script(source))

    return switch


_PUT = "redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')"
_PUT_ANEW = f"redis.call('SET', KEYS[1], ARGV[2], 'PX', {LEASE_MS})"

FILL_WITHOUT_TICKET = script(
    "FILL",
    ("if held ~= ARGV[1] then return 0 end\n", ""),
    (_PUT, f"if held then {_PUT} else {_PUT_ANEW} end"),
)
FILL_WITH_NEW_LEASE = script("FILL", (_PUT, _PUT_ANEW))

NOTHING_AUTHENTICATED = instead(entries, "_is_authentic", lambda *_: True)


class _Leaving(Recall):
    """Takes nothing back, and says that it has."""

    def schedule(self, using: str) -> None:
        self.at_once = True


ENDS_LEAVE_COPIES = instead(ending, "Recall", _Leaving)


def _end_after_drop(
    chosen: SessionQuerySet, public_ids: Iterable[uuid.UUID], recall: Recall
) -> int:
    recall.public_ids.update(public_ids)
    recall._act()
    return int(chosen._raw_delete(chosen.db))


DROP_BEFORE_DELETE = instead(ending, "_end_unread", _end_after_drop)


def written_without(condition: str) -> Switch:
    """Write to rows whether or not this condition holds."""

    class Careless(SessionQuerySet):
        def filter(self, *args: Any, **kwargs: Any) -> Any:
            if "pk" in kwargs:
                kwargs.pop(condition, None)
            return super().filter(*args, **kwargs)

    def all_rows(self: rows.RowStore) -> SessionQuerySet:
        return Careless(self.model)

    return instead(rows.RowStore, "_rows", all_rows)
