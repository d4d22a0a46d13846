"""Rows of sessions whose data lie apart from the row.

The row tells whose session it is, and until when. It appears at login; what a save inside of the
lease changes of the row, and can wait, follows with the next renewal.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, F, Value, When
from django.utils import timezone

from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.moments import DatabaseMoment
from django_sessionkit.storage.records import Gone, Record
from django_sessionkit.storage.rows import Rows

#: What a save inside the lease leaves to the next renewal.
LATER = frozenset({"id", "version", "data", "last_seen_at", "ip_address", "user_agent"})
#: What no save writes: the key of the row, and what lies apart from it.
APART = frozenset({"id", "version", "data"})


def urgent_changes(
    base: Record, changes: dict[str, Any], *, is_due: bool, at_once: bool
) -> dict[str, Any]:
    """Return the columns that a save has to write now; {} if they can wait.

    ``is_due``: the lease has run out. ``at_once``: none can wait.
    """
    end = changes.get("expire_date", base.end)
    is_late = is_due or abs(end - base.end) > tolerance(end)
    if not (at_once or is_late or changes.keys() - LATER - {"expire_date"}):
        return {}
    return {name: value for name, value in changes.items() if name not in APART}


def write(
    rows: Rows, base: Record, living: SessionQuerySet, changes: dict[str, Any]
) -> Gone | None:
    """Write the columns to the row of ``base``, if that is among the ``living``.

    Else tell what became of the session.
    """
    written = dict(changes)
    if "secret_hash" in changes:
        written |= {"version": F("version") + 1, "replaced_at": DatabaseMoment()}
    if living.update(**written):
        return None
    return gone(rows, base)


def gone(rows: Rows, base: Record) -> Gone:
    """Tell what became of ``base``, whose row is not as it was."""
    goes_on = rows.rows().active().filter(public_id=base.public_id).exists()
    return Gone(is_replaced=goes_on)


def moved_end(record: Record, end: datetime) -> Any:
    """Return an expression: ``end``, unless another request has moved the end of the row."""
    return Case(When(expire_date=record.end, then=Value(end)), default=F("expire_date"))


def tolerance(end: datetime) -> timedelta:
    """Return how far the end of a row may lie from ``end``, when its data say that they end.

    Every save moves the end, and the row follows once a lease; sooner where a session is short.
    """
    left = end - timezone.now()
    return min(timedelta(seconds=2 * conf.lease + 1), left / 20)
