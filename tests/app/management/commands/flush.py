"""Django's ``flush``, which empties the tables after a test with real transactions, but faster.

A few rows go sooner by DELETE than by the TRUNCATE of all tables, and what ``migrate`` has put
into two of them need not be made again if it stays.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connections, transaction


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        database = options["database"]
        connection = connections[database]
        tables = set(connection.introspection.django_table_names(only_existing=True))
        tables -= {ContentType._meta.db_table, Permission._meta.db_table}
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(using=database),
            connection.cursor() as cursor,
        ):
            for table in sorted(tables):
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608
