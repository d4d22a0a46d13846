"""What the engines share whose data lie apart from the row.

The row tells whose session it is, and until when. It appears at login; what a save inside of the
lease changes of it, and can wait, follows with the next renewal.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, F, Value, When
from django.utils import timezone

from django_sessionkit.backends.encoded import EncodedStore
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import KeyReplaced, SessionGone

#: What a save inside the lease leaves to the next renewal.
LATER = frozenset({"id", "version", "data", "last_seen_at", "ip_address", "user_agent"})
#: What it never writes.
APART = frozenset({"id", "version", "data"})


class ApartStore(EncodedStore):
    """A store with a row that holds no data."""

    # Its row was inserted in a transaction that may be taken back.
    _awaits_commit = False

    def _row_data(self, data: dict[str, Any]) -> str | None:
        return None

    def _end_by_data(self, row: AbstractSession) -> datetime | None:
        """Return when the session ends by what lies apart from the row, if that is known."""
        raise NotImplementedError

    def _renewed(self, row: AbstractSession) -> dict[str, Any]:
        renewed = super()._renewed(row)
        if (end := self._end_by_data(row)) is not None:
            # Unless somebody has moved it since it was read.
            moved = When(expire_date=row.expire_date, then=Value(end))
            renewed["expire_date"] = Case(moved, default=F("expire_date"))
        return renewed

    def _urgent_changes(
        self, base: AbstractSession, obj: AbstractSession, *, at_once: bool = False
    ) -> dict[str, Any]:
        """Return the columns to write so that ``base`` is as ``obj``; {} if they can wait.

        ``at_once``: they cannot, whatever they are.
        """
        changes = self._changes(base, obj)
        delay = abs(obj.expire_date - base.expire_date)
        urgent = changes.keys() - LATER - {"expire_date"}
        is_late = delay > tolerance(obj) or self._has_row_lease_run_out()
        if not (at_once or urgent or is_late):
            return {}
        return {name: value for name, value in changes.items() if name not in APART}

    def _write_row(self, base: AbstractSession, changes: dict[str, Any]) -> None:
        """Write the columns.

        Raises SessionGone if there is no such row any more, or its end has been reached, and
        KeyReplaced if it has another secret.
        """
        if not changes:
            return
        written = dict(changes)
        if "secret_hash" in changes:
            written["version"] = F("version") + 1
        if not self._living(base).update(**written):
            raise self._gone(base)

    def _living(self, base: AbstractSession) -> SessionQuerySet:
        """Return the rows that are ``base``, and have not reached their end: one, or none."""
        return self._this(base).active()

    def _gone(self, base: AbstractSession) -> SessionGone:
        """Return the error that says what became of ``base``, whose row is not as it was."""
        if self._rows().active().filter(public_id=base.public_id).exists():
            return KeyReplaced("The key of the session was replaced meanwhile.")
        return SessionGone("The session was revoked meanwhile.")


def tolerance(row: AbstractSession) -> timedelta:
    """Return how far the end of the row may lie from that of the data.

    Every save moves the end, and the row follows once a lease; sooner where a session is short.
    """
    left = row.expire_date - timezone.now()
    return min(timedelta(seconds=2 * conf.lease + 1), left / 20)
