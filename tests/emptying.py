"""Emptying the tables after a test in real transactions: by DELETE, not by ``flush``.

``flush`` truncates each table (on PostgreSQL new files for a table and its indexes, on disk) and
then makes content types and permissions anew. Most tests leave a handful of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

from django.db import connections, transaction
from django.test import TransactionTestCase

#: What ``migrate`` fills and no test changes.
KEPT = {"django_content_type", "auth_permission"}

_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


@cache
def _tables(using: str) -> list[str]:
    """Return the tables that there are; looked for once, since no test leaves others behind."""
    introspection = connections[using].introspection
    names = introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(names) - KEPT)


def delete_all_rows(using: str) -> None:
    """Empty the tables of the installed models in this database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    with (
        connection.constraint_checks_disabled(),  # MariaDB checks them row by row
        transaction.atomic(using),
        connection.cursor() as cursor,
    ):
        statements = [f"DELETE FROM {quote(table)}" for table in _tables(using)]  # noqa: S608
        if connection.vendor == "postgresql":
            statements = ["; ".join(statements)]  # in one trip to the server
        for statement in statements:
            cursor.execute(statement)


def _teardown(test: Any) -> None:
    if test.reset_sequences or test.serialized_rollback or test.available_apps is not None:
        _flush(test)
        return
    for using in test._databases_names(include_mirrors=False):
        delete_all_rows(using)


@contextmanager
def emptied_by_delete() -> Iterator[None]:
    """Let tests in real transactions leave the tables empty without a ``flush``."""
    with mock.patch.object(TransactionTestCase, "_fixture_teardown", _teardown):
        yield
