"""The row of a session: reading it, writing it for the first time, its key and its lease."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.backends.base import CreateError
from django.db import DatabaseError, IntegrityError, connections, router, transaction
from django.db.models import F
from django.db.models.base import ModelState
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import cached_property

from django_sessionkit import announcing, prepared, registry, users
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.backends.replaced import KEPT_FOR, ReplacedKey
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.keys import MARK_BYTES, SplitKey
from django_sessionkit.moments import DatabaseMoment

logger = logging.getLogger("django_sessionkit")


class RowStore(BaseSessionStore):
    """A store that knows its row; what lies in the row's ``data`` is the session dictionary."""

    # The row as this store last read or wrote it, and the session key that it belongs to.
    _row: AbstractSession | None = None
    _row_key: str | None = None
    # The key was handed out by cycle_key() and waits for the save to insert its row.
    _is_deferred = False
    # The hash of the secret that this store has given the row.
    _made_hash: bytes | None = None
    # The key that was presented is one that the row had before.
    _replaced: ReplacedKey | None = None

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; override it to store columns of your own."""
        return registry.default_model()

    @cached_property
    def model(self) -> type[AbstractSession]:
        return self.get_model_class()

    @property
    def public_id(self) -> uuid.UUID | None:
        if self._current_row() is None and not self._is_deferred:
            return None
        key = SplitKey.parse(self._session_key)
        return None if key is None else key.public_id

    def loaded_user(self) -> Any:
        row = self._current_row()
        return None if row is None else row._state.fields_cache.get("user")

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return the row that represents the session as it is now.

        A copy of the row that was loaded, or a new one. Override it to fill columns of your own;
        ``save()`` writes those that differ from the loaded row. There is no async twin: saving
        takes one thread hop, and this runs within it.
        """
        row, seen, now = self._current_row(), self._seen(), timezone.now()
        if row is None:
            key = SplitKey.parse(self._session_key)
            if key is None:
                raise CreateError("Not a session key of this engine.")
            obj = self.model(
                public_id=key.public_id,
                secret_hash=key.secret_hash,
                created_at=now,
                last_seen_at=now,
            )
        else:
            obj = copy_of(row)
            if seen:
                obj.last_seen_at = now
        for name, value in seen.items():
            setattr(obj, name, value)
        owner = self._owner(data, self.model)
        if owner is None:
            obj.authenticated_at = None
        elif self._has_authenticated or owner != obj.user_id:
            obj.authenticated_at = now
        obj.user_id = owner
        obj.data = self._row_data(data)
        # Of the data that is saved: it may hold an expiry that another request has set meanwhile.
        obj.expire_date = self.get_expiry_date(modification=now, expiry=data.get("_session_expiry"))
        return obj

    def lease_has_run_out(self) -> bool:
        row = self._current_row()
        return row is not None and row.last_seen_at <= timezone.now() - _lease()

    def renew_lease(self) -> None:
        if (row := self._current_row()) is not None:
            self._renew(row)

    def _renew(self, row: AbstractSession) -> bool:
        """Move ``last_seen_at`` of the row; return whether it was there and due."""
        now = timezone.now()
        changes = {"last_seen_at": self._seen_at(now), **self._renewed(row)}
        try:
            return bool(self._write_if_due(row, now, changes))
        except DatabaseError:
            # The response is ready; that it was asked for is not worth losing it.
            logger.warning("Could not renew the lease of session %s", row, exc_info=True)
            return False

    def _write_if_due(self, row: AbstractSession, now: datetime, changes: dict[str, Any]) -> int:
        """Write the columns of a renewal; return 0 if the row is gone, or not to be renewed now."""
        was = {**self._identity(row), "last_seen_at__lte": now - _lease()}
        return prepared.update(self.model, was, changes, self._using)

    def _seen_at(self, now: datetime) -> datetime:
        """Return what a renewal writes down as the time last seen."""
        return now

    @property
    def _using(self) -> str:
        """The database of the rows; a router may choose it anew each time."""
        return router.db_for_write(self.model)

    def _rows(self) -> SessionQuerySet:
        return registry.sessions(self.model)

    def _identity(self, row: AbstractSession) -> dict[str, Any]:
        """Return what ``filter()`` finds ``row`` by, as long as it has its secret."""
        return {"id": row.pk, "secret_hash": row.secret_hash}

    def _this(self, row: AbstractSession) -> SessionQuerySet:
        """Return the rows that are ``row`` and have its secret still: one, or none."""
        return self._rows().filter(**self._identity(row))

    def _changes(self, base: AbstractSession, obj: AbstractSession) -> dict[str, Any]:
        """Return the columns by which ``obj`` differs from ``base``, with their values.

        Not those that neither has read (Django's deferred fields).
        """
        names = [field.attname for field in self.model._meta.concrete_fields]
        have, had = obj.__dict__, base.__dict__
        changes = {
            name: have[name]
            for name in names
            if name in have and not (name in had and have[name] == had[name])
        }
        if "secret_hash" in changes:
            changes["replaced_at"] = DatabaseMoment()
        return changes

    def _row_data(self, data: dict[str, Any]) -> str | None:
        """Return what the row holds of the data."""
        return self.encode(data)

    def _renewed(self, row: AbstractSession) -> dict[str, Any]:
        """Return the columns that a renewal of the lease writes, beside ``last_seen_at``."""
        return self._seen()

    def _seen(self) -> dict[str, Any]:
        """Return the columns that the client of this request fills; {} outside of requests."""
        client = self._client()
        if client is None:
            return {}
        return {"ip_address": client.ip_address, "user_agent": client.user_agent}

    def _current_row(self) -> AbstractSession | None:
        """Return the row that belongs to the session key of now, as far as it is known."""
        # Where there is none, the key need not be looked at.
        return self._row if self._row is not None and self._row_key == self._session_key else None

    def _read(self) -> AbstractSession | None:
        """Read the row of the session key; forget the key if no active session has it."""
        if self._session_key is None:
            return None
        key = SplitKey.parse(self._session_key)
        row = None if key is None else self._find(key)
        if row is not None and key is not None and key.proves(row.secret_hash):
            return row
        self._is_stale = key is not None
        if key is not None:
            self._judge(replaced := self._replaced_key(row, key.mark))
            if replaced is not None and not replaced.is_retired:
                announcing.late_retired_key(
                    replaced.public_id, replaced.user_id, self._client(), replaced.age
                )
        self._session_key = None
        return None

    def _judge(self, replaced: ReplacedKey | None) -> None:
        """Note what the key is worth that did not open its row; None: it is an unknown key."""
        self._replaced = replaced
        self.is_retired = replaced is not None and replaced.is_retired

    def _replaced_key(self, row: AbstractSession | None, mark: bytes) -> ReplacedKey | None:
        """Tell when the key with that mark was replaced in ``row``.

        Return None if the row did not have it just before its present one, or the database's
        clock has been put back since.
        """
        previous = None if row is None else row.previous_mark
        if row is None or previous is None or not constant_time_compare(bytes(previous), mark):
            return None
        # By the clock that has written replaced_at, and only of this replacement.
        since = self._rows().filter(pk=row.pk, previous_mark=mark)
        columns = (DatabaseMoment() - F("replaced_at"), "previous_was_users", "user_id")
        for age, was_users, user_id in since.values_list(*columns):
            if age is not None and age >= 0:
                at_arrival = timedelta(microseconds=age) - self._elapsed()
                return ReplacedKey(row.public_id, user_id, at_arrival, was_users)
        return None

    def _elapsed(self) -> timedelta:
        """Return how long ago the request arrived."""
        return timedelta(
            seconds=0 if self.arrived_at is None else time.monotonic() - self.arrived_at
        )

    def _has_new_secret(self, row: AbstractSession) -> bool:
        """Whether ``row``, as it was read from the database, got its secret a moment ago."""
        if row.replaced_at is None:
            return row.created_at > timezone.now() - KEPT_FOR
        # True microseconds since 1970, where moments.py counts by the wall if USE_TZ is off.
        return row.replaced_at > (time.time() - KEPT_FOR.total_seconds()) * 1_000_000

    def _set_secret(self, base: AbstractSession, obj: AbstractSession) -> None:
        """Give ``obj`` the secret of the session key of now, and a mark of the one before."""
        key = SplitKey.parse(self._session_key)
        if key is None or key.proves(base.secret_hash):
            return
        if bytes(base.secret_hash) != self._made_hash:
            # Else no response has carried the key before: browsers hold the one before that.
            obj.previous_mark = bytes(base.secret_hash)[:MARK_BYTES]
            obj.previous_was_users = base.user_id is not None and base.user_id == obj.user_id
        obj.secret_hash = self._made_hash = key.secret_hash
        obj.replaced_at = time.time_ns() // 1000  # the database writes its own

    def _find(self, key: SplitKey) -> AbstractSession | None:
        """Return the active session of that public id, whether or not the secret is right."""
        row = self._first(key)
        # Not asked of the database: it would then think about the index on the end as well.
        return row if row is not None and row.is_active else None

    def _first(self, key: SplitKey) -> AbstractSession | None:
        """Return the row of that public id, with its user where somebody will ask for that."""
        using = self._using
        with_user = self.wants_user and users.are_plain(using)

        def build(at: Any) -> SessionQuerySet:
            public_id = at("public_id", self.model._meta.get_field("public_id"))
            found = self._rows().using(using).filter(public_id=public_id)
            return found.select_related("user") if with_user else found

        what = ("session", self.model, with_user)
        row: AbstractSession | None = prepared.first(
            what, build, {"public_id": key.public_id}, using
        )
        return row

    def _decoded(self, row: AbstractSession) -> dict[str, Any]:
        """Return the data of a row that this store has found."""
        return {} if row.data is None else self.decode(row.data)

    def _remember(self, row: AbstractSession | None) -> None:
        self._row, self._row_key = row, self._session_key

    def _insert(self, data: dict[str, Any]) -> None:
        obj = self.create_model_instance(data)
        self._insert_row(obj)
        self._remember(obj)

    def _insert_row(self, obj: AbstractSession) -> None:
        using = self._using
        # On its own an INSERT needs no transaction; inside one, a savepoint keeps that usable.
        nested = connections[using].in_atomic_block
        try:
            with transaction.atomic(using=using) if nested else nullcontext():
                prepared.insert(obj, using)
        except IntegrityError as error:
            if self._rows().filter(public_id=obj.public_id).exists():
                raise CreateError("The session key is in use.") from error
            raise
        announcing.announce_start(obj, using)


def copy_of(row: AbstractSession) -> AbstractSession:
    """Return a copy of the row; copy.copy() would go through what pickle needs."""
    copied = type(row).__new__(type(row))
    vars(copied).update(vars(row))
    copied._state = ModelState()
    vars(copied._state).update(vars(row._state), fields_cache={})
    return copied


def _lease() -> timedelta:
    return timedelta(seconds=conf.lease)
