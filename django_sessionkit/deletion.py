"""The statements that delete session rows, and return as much of each row as the caller needs."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F
from django.db.models.deletion import Collector
from django.db.models.sql import DeleteQuery

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.recall import BATCH

#: The sessions that are being deleted by a verb, which announces their ends by itself.
_announced: ContextVar[frozenset[UUID]] = ContextVar("announced", default=frozenset())


def is_announced(session: AbstractSession) -> bool:
    """Tell whether a verb deletes the row, so that ``post_delete`` has nothing to announce."""
    return session.public_id in _announced.get()


def has_returning(using: str) -> bool:
    """Whether the database has ``DELETE … RETURNING``.

    Django knows of ``INSERT … RETURNING`` alone. PostgreSQL, SQLite and MariaDB have both
    statements, MySQL has neither.
    """
    return connections[using].features.can_return_columns_from_insert


def delete_unread(rows: SessionQuerySet) -> int:
    """Delete the rows by one statement; return how many rows matched."""
    return rows.order_by()._raw_delete(rows.db)


def delete_returning(
    rows: SessionQuerySet, columns: tuple[str, ...], passes: int
) -> list[Mapping[str, Any]]:
    """Delete the rows; return these columns of each.

    ``passes``: how many DELETEs look for rows at most. The last one may have met rows that were
    inserted after the first. The caller opens a transaction, unless one DELETE with RETURNING is
    all that runs.
    """
    delete = _delete_returning if has_returning(rows.db) else _select_and_delete
    deleted: list[Mapping[str, Any]] = []
    for _ in range(passes):
        batch = delete(rows, columns)
        if not batch:
            break
        deleted += batch
    return deleted


def delete_locked(rows: SessionQuerySet, passes: int, *, cascades: bool) -> list[AbstractSession]:
    """Read the rows under a lock, delete them, and return the instances.

    ``passes``: see ``delete_returning()``. ``cascades``: other models refer to sessions, so that
    Django's collector deletes, as each ``on_delete`` says. The caller opens a transaction.
    """
    _lock_on_sqlite(rows)
    deleted: list[AbstractSession] = []
    for _ in range(passes):
        batch = list(rows.order_by("pk").select_for_update())
        if not batch:
            break
        if cascades:
            _delete_with_referring_rows(rows, batch)
        else:
            _delete_by_pk(rows, [session.pk for session in batch])
        deleted += batch
    return deleted


def _delete_returning(rows: SessionQuerySet, columns: tuple[str, ...]) -> list[Mapping[str, Any]]:
    connection, options = connections[rows.db], rows.model._meta
    query: Any = rows.order_by().query.chain(DeleteQuery)
    compiler = query.get_compiler(rows.db)
    sql, params = compiler.as_sql()
    fields: list[Any] = [options.get_field(name) for name in columns]
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    converters = compiler.get_converters([field.get_col(options.db_table) for field in fields])
    with transaction.mark_for_rollback_on_error(rows.db), connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {names}", params)
        found = compiler.apply_converters(cursor.fetchall(), converters)
        return [dict(zip(columns, values, strict=True)) for values in found]


def _select_and_delete(rows: SessionQuerySet, columns: tuple[str, ...]) -> list[Mapping[str, Any]]:
    _lock_on_sqlite(rows)
    found = list(rows.order_by("pk").select_for_update().values("pk", *columns))
    _delete_by_pk(rows, [row["pk"] for row in found])
    return found


def _delete_with_referring_rows(rows: SessionQuerySet, batch: list[AbstractSession]) -> None:
    collector = Collector(using=rows.db, origin=rows)
    collector.collect(batch)
    token = _announced.set(frozenset(session.public_id for session in batch))
    try:
        collector.delete()
    finally:
        _announced.reset(token)


def _delete_by_pk(rows: SessionQuerySet, pks: list[int]) -> None:
    every_row = SessionQuerySet(rows.model, using=rows.db)
    for start in range(0, len(pks), BATCH):
        every_row.filter(pk__in=pks[start : start + BATCH])._raw_delete(rows.db)


def _lock_on_sqlite(rows: SessionQuerySet) -> None:
    """Take SQLite's one write lock, by a write: SQLite has no ``SELECT … FOR UPDATE``."""
    if not connections[rows.db].features.has_select_for_update:
        rows.order_by().update(version=F("version"))
