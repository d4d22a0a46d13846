"""The columns of a row, by attribute name: what a save or a renewal makes of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.keys import MARK_BYTES
from django_sessionkit.storage.records import Columns, Draft, Record, RequestFacts
from django_sessionkit.storage.retired import KEPT_FOR

logger = logging.getLogger("django_sessionkit")


def columns_of(row: AbstractSession) -> Columns:
    """Return the columns of a model instance, but for those that are deferred."""
    have = row.__dict__
    names = [field.attname for field in row._meta.concrete_fields]
    return Columns({name: have[name] for name in names if name in have})


def differing(columns: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the columns that are not as in ``base``, or were not read there."""
    return {
        name: value for name, value in columns.items() if not (name in base and base[name] == value)
    }


def insertable(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that was not inserted, or is inserted again."""
    return {name: value for name, value in columns.items() if name != "id"}


def identity(record: Record) -> dict[str, Any]:
    """Return what ``filter()`` finds the row of the record by, as long as it has its secret."""
    secret_hash = record.columns["secret_hash"]
    pk = record.columns.get("id")
    if pk is None:
        # Clients can read what a cookie holds, so the primary key is not in there.
        return {"public_id": record.public_id, "secret_hash": secret_hash}
    return {"id": pk, "secret_hash": secret_hash}


def seen_columns(facts: RequestFacts) -> dict[str, Any]:
    """Return the columns that the client of a request fills; {} outside of requests."""
    client = facts.client()
    if client is None:
        return {}
    return {"ip_address": client.ip_address, "user_agent": client.user_agent}


def secret_changes(base: Record, draft: Draft) -> dict[str, Any]:
    """Return the columns that the draft's key changes: the hash, and the mark of the key before.

    ``replaced_at`` is by this server's clock; in its place the database writes the time by its own.
    """
    if draft.key is base.key or draft.key.proves(base.columns["secret_hash"]):
        return {}
    changes: dict[str, Any] = {
        "secret_hash": draft.key.secret_hash,
        "replaced_at": time.time_ns() // 1000,
    }
    if not base.is_own_key:
        # Else no response has carried the key before: browsers hold the one before that.
        owner = draft.changes.get("user_id", base.user_id)
        changes["previous_mark"] = bytes(base.columns["secret_hash"])[:MARK_BYTES]
        changes["previous_was_users"] = base.user_id is not None and base.user_id == owner
    return changes


def has_new_secret(columns: Mapping[str, Any]) -> bool:
    """Tell whether the row got its secret less than ``KEPT_FOR`` ago."""
    if columns["replaced_at"] is None:
        return bool(columns["created_at"] > timezone.now() - KEPT_FOR)
    # True microseconds since 1970, where moments.py counts by the wall if USE_TZ is off.
    return bool(columns["replaced_at"] > (time.time() - KEPT_FOR.total_seconds()) * 1_000_000)


@contextmanager
def failed_renewals_logged(record: Record) -> Iterator[None]:
    """Log an error of the database: the response is ready, and no renewal is worth losing it."""
    try:
        yield
    except DatabaseError:
        logger.warning("Could not renew the lease of session %s", record.key, exc_info=True)
