"""What the repositories share that keep something in a cache."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from django_sessionkit.conf import conf
from django_sessionkit.copies.format import Entry
from django_sessionkit.copies.slots import Copies, Data
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction, is_touched
from django_sessionkit.storage.records import Coder, Once
from django_sessionkit.storage.serialization import from_bytes

logger = logging.getLogger("django_sessionkit")


class EntryData:
    """The data of an entry in the cache. See records.Payload.

    ``ends``: the end of the entry counts, not that of the row.
    """

    __slots__ = ("_ends", "_once", "entry")

    def __init__(self, entry: Entry, data: dict[str, Any] | None = None, *, ends: bool) -> None:
        self.entry, self._once, self._ends = entry, Once(data), ends

    @classmethod
    def read(cls, entry: Entry, coder: Coder, *, ends: bool) -> EntryData:
        """Return the data of an entry that was found.

        Raises BadEntry if they cannot be read: SESSION_SERIALIZER may be another by now.
        """
        return cls(entry, from_bytes(entry.data, coder), ends=ends)

    def peek(self) -> dict[str, Any]:
        """Return the data that were just read, to be looked at alone."""
        return self._once.data or {}

    @property
    def end(self) -> datetime | None:
        return self.entry.expire_date if self._ends else None

    def fresh(self, coder: Coder) -> dict[str, Any]:
        data = self._once.pop()
        return from_bytes(self.entry.data, coder) if data is None else data


def owner_of(entry: Entry, model: type[Model]) -> Any:
    """Return the primary key of the entry's user, or None.

    Raises BadEntry if it does not fit the user model of today.
    """
    if not entry.user:
        return None
    target = model._meta.get_field("user").target_field  # type: ignore[union-attr]
    try:
        return target.to_python(entry.user)
    except (ValidationError, TypeError, ValueError, OverflowError) as error:
        raise BadEntry("Its user does not fit AUTH_USER_MODEL.") from error


def may_believe(key: SplitKey, using: str, lease: int) -> bool:
    """Tell whether the cache is believed: not by a transaction that has changed the row itself."""
    return bool(lease) and not is_touched(key.public_id, using)


def may_fill(using: str, lease: int) -> bool:
    """Tell whether what was read may be put into the cache.

    Not within a transaction: its snapshot may be older than the ticket, and what it has written
    may be rolled back.
    """
    return bool(lease) and not in_transaction(using)


def drop(held: Copies | Data, public_ids: Collection[uuid.UUID]) -> bool:
    """Invalidate what the cache holds of these sessions; return False if it did not answer."""
    try:
        held.drop(public_ids)
    except CacheUnreachable as error:
        logger.error(
            "The cache did not answer; what it holds of %d sessions that ended, were saved or "
            "got a new key is believed for up to %d s more: %s",
            len(public_ids),
            conf.lease,
            error,
        )
        return False
    return True
