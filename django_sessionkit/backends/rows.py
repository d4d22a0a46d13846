"""Reading and writing the row of a session so that overlapping requests lose nothing.

A save is one UPDATE that names the version it was made from and the hash of the secret that this
request holds. When it finds no row, either the session has ended, or another request has saved
meanwhile: then the row is read again and both changes are merged.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from django.contrib.sessions.backends.base import CreateError
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessionkit import registry
from django_sessionkit.backends.base import AUTH_PREFIX, BaseSessionStore
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.signals import session_created

logger = logging.getLogger("django_sessionkit")

OPTIMISTIC_TRIES = 3


class RowStore(BaseSessionStore):
    """A store that knows its row; what lies in the row's ``data`` is the session dictionary."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        # The row as this store last read or wrote it, and the session key that it belongs to.
        self._row: AbstractSession | None = None
        self._row_key: str | None = None
        # The row as it was before this store wrote to it in a transaction that may be taken back.
        self._before_transaction: AbstractSession | None = None

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; override it to store columns of your own."""
        return registry.default_model()

    @cached_property
    def model(self) -> type[AbstractSession]:
        return self.get_model_class()

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return the row that represents the session as it is now.

        A copy of the row that was loaded, or a new one. Override it to fill columns of your own;
        ``save()`` writes those that differ from the loaded row. There is no async twin: saving
        takes one thread hop, and this runs within it.
        """
        row, seen, now = self._current_row(), self._seen(), timezone.now()
        if row is None:
            key = SplitKey.parse(self.session_key)
            if key is None:
                raise CreateError("Not a session key of this engine.")
            obj = self.model(
                public_id=key.public_id,
                secret_hash=key.secret_hash,
                created_at=now,
                last_seen_at=now,
            )
        else:
            obj = copy.copy(row)
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
        obj.data = self.encode(data)
        # Of the data that is saved: it may hold an expiry that another request has set meanwhile.
        obj.expire_date = self.get_expiry_date(modification=now, expiry=data.get("_session_expiry"))
        return obj

    def lease_has_run_out(self) -> bool:
        row = self._current_row()
        return row is not None and row.last_seen_at <= timezone.now() - _lease()

    def renew_lease(self) -> None:
        row, now = self._current_row(), timezone.now()
        if row is None:
            return
        rows = self._rows().filter(
            pk=row.pk, secret_hash=row.secret_hash, last_seen_at__lte=now - _lease()
        )
        try:
            rows.update(last_seen_at=now, **self._seen())
        except DatabaseError:
            # The response is ready; that it was asked for is not worth losing it.
            logger.warning("Could not renew the lease of session %s", row, exc_info=True)

    def _rows(self) -> SessionQuerySet:
        return registry.sessions(self.model)

    def _seen(self) -> dict[str, Any]:
        """Return the columns that the client of this request fills; {} outside of requests."""
        client = self._client()
        if client is None:
            return {}
        return {"ip_address": client.ip_address, "user_agent": client.user_agent}

    def _current_row(self) -> AbstractSession | None:
        """Return the row that belongs to the session key of now, as far as it is known."""
        return self._row if self._row_key == self.session_key else None

    def _read(self) -> AbstractSession | None:
        """Read the row of the session key; forget the key if no active session has it."""
        if self.session_key is None:
            return None
        key = SplitKey.parse(self.session_key)
        row = key and self._rows().active().filter(public_id=key.public_id).first()
        if key and row and key.proves(row.secret_hash):
            return row
        self._is_stale, self.is_retired = key is not None, row is not None
        self._session_key = None
        return None

    def _remember(self, row: AbstractSession | None) -> None:
        self._row, self._row_key = row, self.session_key

    def _insert(self, data: dict[str, Any]) -> None:
        obj = self.create_model_instance(data)
        using = self._rows().db
        # On its own an INSERT needs no transaction; inside one, a savepoint keeps that usable.
        nested = connections[using].in_atomic_block
        try:
            with transaction.atomic(using=using) if nested else nullcontext():
                obj.save(force_insert=True, using=using)
        except IntegrityError as error:
            if self._rows().filter(public_id=obj.public_id).exists():
                raise CreateError("The session key is in use.") from error
            raise
        self._remember(obj)
        transaction.on_commit(
            lambda: session_created.send_robust(sender=self.model, session=obj), using=using
        )

    def _update(self, data: dict[str, Any]) -> None:
        if (base := self._current_row()) is None:
            raise SessionGone("The session has ended.")
        if self._before_transaction is not None:
            data, base = self._after_transaction(self._before_transaction, data, base)
        for _ in range(OPTIMISTIC_TRIES):
            if self._write(base, data):
                return self._adopt(data)
            theirs = self._reread(self._rows(), base)
            data, base = self._merge(base, data, theirs), theirs
        # Under REPEATABLE READ a plain SELECT never shows the new version; a locking one does.
        using = self._rows().db
        with transaction.atomic(using=using):
            rows = self._rows()
            if not connections[using].features.has_select_for_update:
                # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
                rows.filter(pk=base.pk).update(version=F("version"))
            theirs = self._reread(rows.select_for_update(), base)
            data = self._merge(base, data, theirs)
            if not self._write(theirs, data):
                raise SessionGone("The session has ended.")
        return self._adopt(data)

    def _write(self, base: AbstractSession, data: dict[str, Any]) -> bool:
        """Write ``data`` over the version ``base``; return False if that is not the latest."""
        loaded, self._row = self._row, base
        try:
            obj = self.create_model_instance(data)
        finally:
            # The base of what is in the dictionary, until the write has succeeded.
            self._row = loaded
        obj.version = base.version + 1
        changes = {
            field.attname: value
            for field in self.model._meta.concrete_fields
            if (value := getattr(obj, field.attname)) != getattr(base, field.attname)
        }
        rows = self._rows().filter(pk=base.pk, version=base.version, secret_hash=base.secret_hash)
        if not rows.update(**changes):
            return False
        self._row = obj
        if connections[rows.db].in_atomic_block:
            self._before_transaction = self._before_transaction or base
            transaction.on_commit(self._settle, using=rows.db)
        return True

    def _settle(self) -> None:
        self._before_transaction = None

    def _after_transaction(
        self, before: AbstractSession, data: dict[str, Any], base: AbstractSession
    ) -> tuple[dict[str, Any], AbstractSession]:
        """Return what to save, and over which row, after a write that may have been taken back.

        Only the row tells: a savepoint may have been rolled back, and another request may have
        written the same version since.
        """
        theirs = self._reread(self._rows(), base)
        if (theirs.version, theirs.data) == (base.version, base.data):
            return data, base
        self._settle()
        return self._merge(before, data, theirs), theirs

    def _reread(self, rows: SessionQuerySet, base: AbstractSession) -> AbstractSession:
        """Return the row as another request has left it; raise SessionGone if it is not ours."""
        theirs = rows.filter(pk=base.pk).first()
        if theirs is None or bytes(theirs.secret_hash) != bytes(base.secret_hash):
            raise SessionGone("The session was revoked, or its key replaced, meanwhile.")
        return theirs

    def _merge(
        self, base: AbstractSession, mine: dict[str, Any], theirs: AbstractSession
    ) -> dict[str, Any]:
        # Decoded again: the view may have changed nested values of what was decoded at load.
        before, after = self.decode(base.data or ""), self.decode(theirs.data or "")
        if _auth(before) != _auth(after):
            # Somebody else's session by now, be it that nobody was signed in before.
            raise SessionGone("Somebody signed in or out meanwhile.")
        return merge(before, mine, after, self.serializer().dumps)

    def _adopt(self, data: dict[str, Any]) -> None:
        """Show in this store what was saved, so that its next save starts from there."""
        cache = self._get_session()
        if data is not cache:
            cache.clear()
            cache.update(data)

    def _replace_secret(self, row: AbstractSession, new: SplitKey) -> bool:
        """Give the row another secret; return False if it is gone or has got one already."""
        rows = self._rows().filter(pk=row.pk, secret_hash=row.secret_hash)
        if not rows.update(secret_hash=new.secret_hash, version=F("version") + 1):
            return False
        # If somebody saved in between, the true version is higher, and the next save merges.
        row.secret_hash, row.version = new.secret_hash, row.version + 1
        return True


def _auth(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key.startswith(AUTH_PREFIX)}


def _lease() -> timedelta:
    return timedelta(seconds=conf.lease)
