"""Entries of a cache that hold the data of sessions."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from django_sessionkit.copies.format import Entry, Kind, new_stamp, unpack
from django_sessionkit.exceptions import BadEntry, CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.cached import EntryData
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Draft,
    Freshness,
    Record,
    RequestFacts,
    Source,
)
from django_sessionkit.storage.retired import RETIRED_FOR, ReplacedKey
from django_sessionkit.storage.serialization import to_bytes

logger = logging.getLogger("django_sessionkit")


def entry_in(raw: bytes | None, public_id: uuid.UUID) -> Entry | None:
    """Return the entry of a session that goes on, or did a moment ago.

    What is not ours is left where it is: this process may be the one with a wrong SECRET_KEY.
    """
    if raw is None:
        return None
    try:
        entry = unpack(raw, public_id)
    except BadEntry as error:
        log_foreign(public_id, error)
        return None
    is_known = entry.kind in (Kind.DATA, Kind.VISITOR, Kind.RETIRED)
    return entry if is_known and entry.expire_date > timezone.now() else None


def new_entry(draft: Draft, columns: Mapping[str, Any], coder: Coder, *, has_row: bool) -> Entry:
    return Entry(
        kind=Kind.DATA if has_row else Kind.VISITOR,
        stamp=new_stamp(),
        expire_date=columns["expire_date"],
        secret_hash=bytes(columns["secret_hash"]),
        user=text_of(columns["user_id"]),
        data=to_bytes(draft.data, coder),
    )


def record_of(key: SplitKey, columns: Columns, entry: Entry) -> Record:
    """Return the record of what was just written."""
    is_visitors = entry.kind is Kind.VISITOR
    source = Source.VISITOR if is_visitors else Source.ROW
    return Record(key, columns, EntryData(entry, ends=True), source, Freshness.FRESH)


def retired_key(entry: Entry, key: SplitKey, facts: RequestFacts) -> ReplacedKey:
    """Tell when a visitor's key was retired that has no row: by the clocks of the servers."""
    age = RETIRED_FOR - (entry.expire_date - timezone.now()) - facts.elapsed()
    return ReplacedKey(key.public_id, None, age, was_users=False)


def seconds_left(entry: Entry) -> float:
    """Return how many seconds the session has left; below 0 if it has ended."""
    return (entry.expire_date - timezone.now()).total_seconds()


@contextmanager
def reached() -> Iterator[None]:
    """Log that the cache does not answer."""
    try:
        yield
    except CacheUnreachable as error:
        logger.error("The cache that holds the sessions did not answer: %s", error)
        raise


def log_foreign(public_id: uuid.UUID, why: object) -> None:
    logger.warning("What lies in the cache for session %s is not its data: %s", public_id, why)


def text_of(user_id: Any) -> str:
    return "" if user_id is None else str(user_id)
