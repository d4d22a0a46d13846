"""Sessions in rows that hold their data: SQL, and nothing else.

A save is one UPDATE that names the version it was made from and the hash of the secret that the
request holds (optimistic locking). When the UPDATE finds no row, the session has ended, or another
request has saved meanwhile; the row is read again to tell which.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_sessionkit import announcing, prepared
from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.ending import end
from django_sessionkit.events import SessionEndReason
from django_sessionkit.moments import DatabaseMoment
from django_sessionkit.races import again_after_races, lost_a_race
from django_sessionkit.recall import in_transaction
from django_sessionkit.storage.columns import (
    columns_of,
    failed_renewals_logged,
    identity,
    insertable,
    secret_changes,
    seen_columns,
)
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Conflict,
    Draft,
    EndCause,
    Gone,
    KeyInUse,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
    Source,
)
from django_sessionkit.storage.retired import ReplacedKey
from django_sessionkit.storage.row_queries import RowData, RowQueries


class Rows(RowQueries):
    """The rows of one model. The methods are told in protocol.Repository."""

    makes_tokens = False
    is_transactional = True

    # ---- Writing ----

    def row_data(self, data: dict[str, Any], coder: Coder) -> str | None:
        return coder.encode(data)

    def insert(self, draft: Draft, coder: Coder) -> Saved | KeyInUse:
        columns = self.insert_row(draft)
        if columns is None:
            return KeyInUse()
        return Saved(Record(draft.key, columns, RowData(columns["data"])))

    def insert_row(self, draft: Draft) -> Columns | None:
        """Insert the row of the draft; return its columns, or None if the public id is in use."""
        using = self.using
        columns = Columns(
            {
                field.attname: field.get_default()
                for field in self.model._meta.concrete_fields
                if not field.primary_key and field.attname not in draft.changes
            }
        )
        columns.update(draft.changes)
        # On its own an INSERT needs no transaction; inside one, a savepoint keeps that usable.
        nested = connections[using].in_atomic_block
        try:
            with transaction.atomic(using=using) if nested else nullcontext():
                return self._inserted(draft, columns, using)
        except IntegrityError:
            if self.rows().filter(public_id=draft.key.public_id).exists():
                return None
            raise

    def _inserted(self, draft: Draft, columns: Columns, using: str) -> Columns:
        pk = prepared.insert(self.model, columns, using) if draft.row is None else None
        if pk is None:
            row = self.model(**columns) if draft.row is None else draft.row
            row.save(force_insert=True, using=using)
            columns, pk = columns_of(row), row.pk
        columns["id"] = pk
        announcing.announce_start(partial(self.instance, columns), self.model, using)
        return columns

    def update(
        self, base: Record, draft: Draft, coder: Coder, *, at_once: bool = False
    ) -> Saved | Conflict | Gone:
        using, version = self.using, base.columns["version"]
        changes = {**draft.changes, "version": version + 1}
        written, is_own_key = changes, base.is_own_key
        if draft.key is not base.key and (secret := secret_changes(base, draft)):
            changes |= secret
            written, is_own_key = {**changes, "replaced_at": DatabaseMoment()}, True
        try:
            is_done = prepared.update(
                self.model, {**identity(base), "version": version}, written, using
            )
        except OperationalError as error:
            if not lost_a_race(error, using):
                raise
            is_done = 0
        if is_done:
            columns = Columns({**base.columns, **changes})
            columns.user = base.columns.user
            payload = RowData(columns["data"])
            return Saved(Record(draft.key, columns, payload, is_own_key=is_own_key))
        theirs = self._reread(self.rows(), base)
        if isinstance(theirs, Gone):
            return theirs
        # The same version: the snapshot of a transaction hides what the UPDATE has met.
        return Conflict(None if theirs.columns["version"] == version else theirs)

    def update_locked(
        self, base: Record, merged: Callable[[Record], Draft | Gone], coder: Coder
    ) -> Saved | Gone:
        return self.updated_under_lock(base, merged, partial(self.update, coder=coder))

    def updated_under_lock(
        self,
        base: Record,
        merged: Callable[[Record], Draft | Gone],
        update: Callable[[Record, Draft], Saved | Conflict | Gone],
    ) -> Saved | Gone:
        """See update_locked(); ``update`` writes the row."""

        # Under REPEATABLE READ a plain SELECT never shows the new version; a locking one does.
        def act() -> Saved | Gone:
            rows = self.rows()
            with transaction.atomic(using=rows.db):
                if not connections[rows.db].features.has_select_for_update:
                    # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
                    rows.filter(pk=base.pk).update(version=F("version"))
                theirs = self._reread(rows.select_for_update(), base)
                if isinstance(theirs, Gone):
                    return theirs
                draft = merged(theirs)
                saved = draft if isinstance(draft, Gone) else update(theirs, draft)
                return Gone() if isinstance(saved, Conflict) else saved

        return again_after_races(act, self.using)

    def recover(
        self, base: Record, before: Record | None, coder: Coder, *, inserted: bool
    ) -> Record | Conflict | Gone:
        if before is None:
            return self.inserted_again(base) if inserted else base
        # The row alone tells: a savepoint may have been rolled back, and another request may have
        # written the same version since.
        theirs = self._reread(self.rows(), base, before)
        if isinstance(theirs, Gone):
            return self.inserted_again(base) if inserted and not theirs.is_replaced else theirs
        ours = (base.columns["version"], base.columns.get("data"))
        is_as_written = (theirs.columns["version"], theirs.columns["data"]) == ours
        return base if is_as_written else Conflict(theirs)

    def inserted_again(self, base: Record) -> Record | Gone:
        """Insert the row of ``base`` again if the INSERT was rolled back; return the record."""
        if in_transaction(self.using) or self.this(base).exists():
            return base
        inserted = self.insert_row(Draft(base.key, {}, insertable(base.columns)))
        return Gone() if inserted is None else base._replace(columns=inserted)

    def _reread(self, rows: SessionQuerySet, *ours: Record) -> Record | Gone:
        """Return the row as another request has left it; it has the secret of one of ``ours``."""
        row = rows.filter(pk=ours[0].pk).first()
        if row is None:
            return Gone()
        columns = columns_of(row)
        for record in ours:
            if constant_time_compare(record.key.secret_hash, bytes(columns["secret_hash"])):
                payload = RowData(columns["data"])
                return Record(record.key, columns, payload, is_own_key=record.is_own_key)
        return Gone(is_replaced=True)

    # ---- Ending ----

    def delete(self, held: Record | MustAsk, cause: EndCause, coder: Coder) -> int:
        rows = self.rows().filter(public_id=held.public_id)
        if (
            isinstance(held, Record)
            and held.user_id is not None
            and cause.reason == SessionEndReason.LOGOUT
        ):
            # A logout in one tab is not undone by signing in again in another.
            rows = rows.filter(user=held.user_id)
        else:
            # By the secret: Django flushes too when the password was changed meanwhile, and the
            # session in which that was done goes on under another key.
            rows = rows.filter(secret_hash=held.key.secret_hash)
        return self._end(rows, held.public_id, cause)

    def delete_of_user(self, public_id: uuid.UUID, user_id: Any, cause: EndCause) -> int:
        rows = self.rows().filter(public_id=public_id, user=user_id)
        return self._end(rows, public_id, cause)

    def _end(self, rows: SessionQuerySet, public_id: uuid.UUID, cause: EndCause) -> int:
        return end(rows, reason=cause.reason, actor=cause.actor, public_ids=[public_id]).count

    def judge(
        self, held: Record | MustAsk, coder: Coder, facts: RequestFacts
    ) -> ReplacedKey | None:
        columns = self.active(held.public_id)
        if isinstance(held, MustAsk):
            return self.replaced_key(columns, held.key.mark, facts)
        if columns is not None and held.source is Source.ROW:
            # The row had this key when the request loaded it, so it was replaced since.
            was_users = held.user_id is not None
            return ReplacedKey(held.public_id, held.user_id, timedelta(0), was_users)
        return self.replaced_key(columns, held.key.mark, facts)

    # ---- Renewing ----

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        with failed_renewals_logged(record):
            self.renew_row(record, {"last_seen_at": timezone.now(), **seen_columns(facts)})
        return record

    def renew_row(self, record: Record, changes: Mapping[str, Any]) -> int:
        """Write the columns of a renewal; return 0 if the row is gone, or was seen in the lease."""
        due = timezone.now() - timedelta(seconds=conf.lease)
        was = {**identity(record), "last_seen_at__lte": due}
        return prepared.update(self.model, was, changes, self.using)
