"""Reading rows of sessions: SQL, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db import router
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_sessionkit import prepared, users
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.moments import DatabaseMoment
from django_sessionkit.storage.columns import columns_of, identity
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Found,
    Gone,
    MustAsk,
    Record,
    RequestFacts,
    Source,
    Unknown,
)
from django_sessionkit.storage.retired import ReplacedKey


class RowData:
    """The encoded data of a row, which may have been decoded once. See records.Payload."""

    __slots__ = ("_once", "_text")
    end = None

    def __init__(self, text: str | None, data: dict[str, Any] | None = None) -> None:
        self._text, self._once = text, data

    def fresh(self, coder: Coder) -> dict[str, Any]:
        data, self._once = self._once, None
        if data is not None:
            return data  # once: whoever gets it may change it
        return {} if self._text is None else coder.decode(self._text)


class RowQueries:
    """Questions that the rows of one model answer."""

    def __init__(self, get_model: Callable[[], type[AbstractSession]]) -> None:
        self._get_model = get_model

    @cached_property
    def model(self) -> type[AbstractSession]:
        """The model, looked up when it is needed first."""
        return self._get_model()

    @property
    def using(self) -> str:
        # Each time: a router may choose the database anew.
        return router.db_for_write(self.model)

    # ---- Finding ----

    def peek(self, session_key: object, coder: Coder) -> Record | MustAsk | Unknown:
        key = SplitKey.parse(session_key)
        return Unknown(is_ours=False) if key is None else MustAsk(key)

    def session_key(self, record: Record, session_key: str | None) -> str | None:
        return session_key

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        key = asked.key
        columns = self.active(key.public_id, with_user=facts.wants_user)
        if columns is not None and key.proves(columns["secret_hash"]):
            return Record(key, columns, RowData(columns["data"]))
        return self.replaced_key(columns, key.mark, facts) or Unknown()

    def exists(self, asked: MustAsk | Record, coder: Coder) -> bool:
        key = asked.key
        stored = self.rows().filter(public_id=key.public_id).values_list("secret_hash", flat=True)
        return any(key.proves(secret_hash) for secret_hash in stored)

    def rows(self) -> SessionQuerySet:
        """Return all rows, in the database that is written to: a replica may lag behind."""
        return SessionQuerySet(self.model, using=self.using)

    def active(self, public_id: uuid.UUID, *, with_user: bool = False) -> Columns | None:
        """Return the columns of the row, unless it has expired."""
        columns = self.first(public_id, with_user=with_user)
        # Not a condition of the query: the planner would weigh the index on the end as well.
        if columns is None or columns["expire_date"] <= timezone.now():
            return None
        return columns

    def first(self, public_id: uuid.UUID, *, with_user: bool = False) -> Columns | None:
        """Return the columns of the row, and its user if that is asked for and can come along."""
        using, model = self.using, self.model
        with_user = with_user and users.are_plain(using)

        def build(at: Any) -> SessionQuerySet:
            found = SessionQuerySet(model, using=using).filter(
                public_id=at("public_id", model._meta.get_field("public_id"))
            )
            return found.select_related("user") if with_user else found

        what = ("session", model, with_user)
        found = prepared.first_columns(what, build, {"public_id": public_id}, using)
        if found is None:
            return None
        columns = Columns(found[0])
        if with_user and len(found) > 1:
            columns.user = found[1]
        return columns

    def whole(self, record: Record) -> Record | Gone:
        # A copy or a token tells neither, and no save sets both: with them, the row was read.
        if {"created_at", "replaced_at"} <= record.columns.keys():
            return record
        row = self.this(record).first()
        if row is None:
            return Gone()
        columns = columns_of(row)
        return record._replace(columns=columns, source=Source.ROW)

    def this(self, record: Record) -> SessionQuerySet:
        """Return the row of the record as long as it has its secret: one row, or none."""
        return self.rows().filter(**identity(record))

    def instance(self, columns: Mapping[str, Any]) -> AbstractSession:
        """Return a model instance with these columns; columns that are absent are deferred."""
        names = [f.attname for f in self.model._meta.concrete_fields if f.attname in columns]
        return self.model.from_db(self.using, names, [columns[name] for name in names])

    def replaced_key(
        self, columns: Columns | None, mark: bytes, facts: RequestFacts
    ) -> ReplacedKey | None:
        """Tell when the key with that mark was replaced in the row.

        None if the row did not have the key just before its present one, or the database's clock
        has been put back since.
        """
        previous = None if columns is None else columns["previous_mark"]
        if columns is None or previous is None or not constant_time_compare(bytes(previous), mark):
            return None
        # By the clock that has written replaced_at, and only of this replacement.
        since = self.rows().filter(pk=columns["id"], previous_mark=mark)
        asked = (DatabaseMoment() - F("replaced_at"), "previous_was_users", "user_id")
        for age, was_users, user_id in since.values_list(*asked):
            if age is not None and age >= 0:
                at_arrival = timedelta(microseconds=age) - facts.elapsed()
                return ReplacedKey(columns["public_id"], user_id, at_arrival, was_users)
        return None

    def is_due(self, record: Record) -> bool:
        """Tell whether the row was last seen a lease ago, as far as the row was read."""
        last_seen: Any = record.columns.get("last_seen_at")
        return last_seen is not None and last_seen <= timezone.now() - timedelta(seconds=conf.lease)
