"""Saving a row so that overlapping requests lose nothing.

A save is one UPDATE that names the version it was made from and the hash of the secret that this
request holds. When it finds no row, either the session has ended, or another request has saved
meanwhile: then the row is read again and both changes are merged.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import F

from django_sessionkit import prepared
from django_sessionkit.backends.tracked import TrackedStore
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.exceptions import KeyReplaced, SessionGone
from django_sessionkit.races import again_after_races, lost_a_race

OPTIMISTIC_TRIES = 3


class MergingStore(TrackedStore):
    """A store that saves over the version it has loaded, and merges where that has moved on."""

    # The row as it was before this store wrote to it in a transaction that may be taken back.
    _before_transaction: AbstractSession | None = None

    def _remember(self, row: AbstractSession | None) -> None:
        super()._remember(row)
        self._settle()

    def _update(self, data: dict[str, Any]) -> None:
        if (base := self._current_row()) is None:
            raise SessionGone("The session has ended.")
        if self._before_transaction is not None:
            data, base = self._after_transaction(self._before_transaction, data, base)
        for _ in range(OPTIMISTIC_TRIES):
            if self._write(base, data):
                return self._adopt(data)
            theirs = self._reread(self._rows(), base)
            if theirs.version == base.version:
                break  # The snapshot of a transaction hides what the UPDATE has met.
            data, base = self._merge(base, data, theirs), theirs
        locked = partial(self._update_locked, data, base)
        return self._adopt(again_after_races(locked, self._using))

    def _update_locked(self, data: dict[str, Any], base: AbstractSession) -> dict[str, Any]:
        """Merge and write under a lock of the row; return what was written.

        Under REPEATABLE READ a plain SELECT never shows the new version; a locking one does.
        """
        rows = self._rows()
        with transaction.atomic(using=rows.db):
            if not connections[rows.db].features.has_select_for_update:
                # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
                rows.filter(pk=base.pk).update(version=F("version"))
            theirs = self._reread(rows.select_for_update(), base)
            data = self._merge(base, data, theirs)
            if not self._write(theirs, data):
                raise SessionGone("The session has ended.")
        return data

    def _write(self, base: AbstractSession, data: dict[str, Any]) -> bool:
        """Write ``data`` over the version ``base``; return False if that is not the latest."""
        obj = self._changed(base, data)
        obj.version = base.version + 1
        changes, using = self._changes(base, obj), self._using
        was = {**self._identity(base), "version": base.version}
        try:
            if not prepared.update(self.model, was, changes, using):
                return False
        except OperationalError as error:
            if not lost_a_race(error, using):
                raise
            return False
        self._row = obj
        self._has_written(obj, data, using)
        if connections[using].in_atomic_block:
            self._before_transaction = self._before_transaction or base
            transaction.on_commit(self._settle, using=using)
        return True

    def _has_written(self, row: AbstractSession, data: dict[str, Any], using: str) -> None:
        """Tell whoever keeps copies that the row has changed."""

    def _settle(self) -> None:
        self._before_transaction = None

    def _after_transaction(
        self, before: AbstractSession, data: dict[str, Any], base: AbstractSession
    ) -> tuple[dict[str, Any], AbstractSession]:
        """Return what to save, and over which row, after a write that may have been taken back.

        Only the row tells: a savepoint may have been rolled back, and another request may have
        written the same version since.
        """
        theirs = self._reread(self._rows(), base, before)
        if (theirs.version, theirs.data) == (base.version, base.data):
            return data, base
        self._settle()
        return self._merge(before, data, theirs), theirs

    def _reread(self, rows: SessionQuerySet, *ours: AbstractSession) -> AbstractSession:
        """Return the row as another request has left it.

        Raises SessionGone if there is none, KeyReplaced if none of ``ours`` has its secret.
        """
        theirs = rows.filter(pk=ours[0].pk).first()
        if theirs is None:
            raise SessionGone("The session was revoked meanwhile.")
        if bytes(theirs.secret_hash) not in [bytes(row.secret_hash) for row in ours]:
            raise KeyReplaced("The key of the session was replaced meanwhile.")
        return theirs
