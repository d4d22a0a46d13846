"""The migrations: complete, and to be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from django_sessionkit.models import Session

pytestmark = pytest.mark.varies

TABLE = Session._meta.db_table


def tables() -> list[str]:
    return connection.introspection.table_names()


def constraints() -> dict[str, Any]:
    with connection.cursor() as cursor:
        return dict(connection.introspection.get_constraints(cursor, TABLE))


@pytest.fixture
def migrated(transactional_db: None) -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    output = StringIO()
    call_command("makemigrations", "sessionkit", check=True, dry_run=True, stdout=output)
    assert "No changes detected" in output.getvalue()


@pytest.mark.usefixtures("migrated")
def test_the_table_can_be_taken_away_and_made_again() -> None:
    before = constraints()
    assert TABLE in tables()
    call_command("migrate", "sessionkit", "zero", verbosity=0)
    assert TABLE not in tables()
    call_command("migrate", "sessionkit", verbosity=0)
    assert TABLE in tables()
    assert constraints().keys() == before.keys()
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_the_table_has_the_indexes_that_queries_need_and_no_foreign_key() -> None:
    columns = sorted(
        (tuple(each["columns"]), bool(each["unique"]))
        for each in constraints().values()
        if (each["index"] or each["unique"]) and not each["primary_key"]
    )
    assert columns == [
        (("expire_date",), False),
        (("ip_address", "id"), False),
        (("public_id",), True),
        (("user_id", "id"), False),
    ]
    assert not [each for each in constraints().values() if each["foreign_key"]]
