"""Rows whose user is missing: removed behind Django's back, or in another database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Exists, OuterRef, QuerySet

from django_sessionkit.base_session import SessionQuerySet

ROWS_A_QUERY = 2000


def find_orphans(rows: SessionQuerySet) -> Iterator[list[tuple[int, Any]]]:
    """Yield id and user of the ``rows`` whose user is missing, for each chunk of rows.

    Some lists are empty: each stands for so many rows that were looked at.
    """
    model = get_user_model()
    users = model._base_manager.using(router.db_for_write(model))
    # Along the dates, where what a clean-up has just removed is not in the way.
    rows = rows.exclude(user=None).order_by("expire_date", "id")
    return (_beside if users.db == rows.db else _apart)(rows, users)


def _beside(rows: SessionQuerySet, users: QuerySet[Any]) -> Iterator[list[tuple[int, Any]]]:
    """Let the database that has both tables compare: what stays is not sent here."""
    is_missing = ~Exists(users.filter(pk=OuterRef("user_id")))
    rest = rows
    while end := rest.values_list("expire_date", "id")[ROWS_A_QUERY - 1 :][:1].first():
        date, pk = end
        chunk = rest.filter(expire_date__lte=date).exclude(expire_date=date, id__gt=pk)
        yield list(chunk.filter(is_missing).order_by().values_list("pk", "user_id"))
        rest = rows.filter(expire_date__gte=date).exclude(expire_date=date, id__lte=pk)
    yield list(rest.filter(is_missing).order_by().values_list("pk", "user_id"))


def _apart(rows: SessionQuerySet, users: QuerySet[Any]) -> Iterator[list[tuple[int, Any]]]:
    """Ask the other database for the users of each chunk."""
    rest = fields = rows.values_list("id", "user_id", "expire_date")
    while chunk := list(rest[:ROWS_A_QUERY]):
        owners = {owner for _, owner, _ in chunk}
        present = set(users.filter(pk__in=owners).values_list("pk", flat=True))
        # Asked for one by one too: a collation may find what Python tells apart.
        missing = {one for one in owners - present if not users.filter(pk=one).exists()}
        yield [(pk, owner) for pk, owner, _ in chunk if owner in missing]
        pk, _, date = chunk[-1]
        rest = fields.filter(expire_date__gte=date).exclude(expire_date=date, id__lte=pk)
