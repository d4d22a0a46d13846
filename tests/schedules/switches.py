"""Switching a rule off, so as to see that the search misses it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from django_sessionkit import ending, prepared
from django_sessionkit.backends import rows
from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.copies import format as entries
from django_sessionkit.deletion import delete_unread
from django_sessionkit.events import InForce
from django_sessionkit.recall import Recall

#: Keeps a rule switched off while it is entered.
Switch = Callable[[], AbstractContextManager[object]]

LEASE_MS = conf.lease * 1000


def instead(owner: object, name: str, new: object) -> Switch:
    """Put something else in the place of a method or a function."""
    return lambda: mock.patch.object(owner, name, new)


NOTHING_AUTHENTICATED = instead(entries, "_is_authentic", lambda *_: True)


class _Leaving(Recall):
    """Takes nothing back, and says that it has."""

    def schedule(self, using: str, added: Iterable[uuid.UUID] | None = None) -> None:
        self.in_force = InForce.NOW


ENDS_LEAVE_COPIES = instead(ending, "Recall", _Leaving)


def _end_after_drop(plan: ending._Plan) -> int:
    plan.recall.public_ids.update(plan.public_ids or ())
    plan.recall._act(plan.using)
    return delete_unread(plan.rows)


DROP_BEFORE_DELETE = instead(ending, "_end_unread", _end_after_drop)


def written_without(condition: str) -> Switch:
    """Write to rows whether or not this condition holds."""

    class Careless(SessionQuerySet):
        def filter(self, *args: Any, **kwargs: Any) -> Any:
            if "id" in kwargs:
                kwargs.pop(condition, None)
            return super().filter(*args, **kwargs)

    def all_rows(self: rows.RowStore) -> SessionQuerySet:
        return Careless(self.model)

    real = prepared.update

    def update(model: Any, was: Mapping[str, Any], changes: Mapping[str, Any], using: str) -> int:
        kept = {name: value for name, value in was.items() if name != condition}
        return real(model, kept, changes, using)

    @contextmanager
    def switch() -> Iterator[None]:
        with instead(rows.RowStore, "_rows", all_rows)(), instead(prepared, "update", update)():
            yield

    return switch
