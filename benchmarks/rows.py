"""Rows of sessions like those of a site that has run for months, written in bulk."""
# ruff: noqa: S311, S608 - random test data, names of our own tables

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from django_sessionkit.keys import ID_BYTES, MARK_BYTES, public_id_of
from django_sessionkit.moments import microseconds

TABLES = {"ours": "sessionkit_session", "django": "django_session"}
PERIOD = timedelta(days=140)
LIFETIME = timedelta(days=14)
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
COLUMNS = [
    "public_id",
    "secret_hash",
    "previous_mark",
    "previous_was_users",
    "replaced_at",
    "user_id",
    "created_at",
    "authenticated_at",
    "last_seen_at",
    "expire_date",
    "ip_address",
    "user_agent",
    "data",
    "version",
]
USER_COLUMNS = [
    "id",
    "username",
    "password",
    "first_name",
    "last_name",
    "email",
    "is_staff",
    "is_active",
    "is_superuser",
    "date_joined",
]


def fill_users(count: int) -> None:
    now = timezone.now()
    rows = (
        (number, f"user{number}", "!", "", "", "", False, True, False, now)
        for number in range(1, count + 1)
    )
    insert("auth_user", USER_COLUMNS, rows)
    analyze("auth_user")


def fill(which: str, rows: int, expired: int) -> None:
    """Fill the table with sessions in order of their start, of which ``expired`` have expired."""
    with connection.cursor() as cursor:
        empty = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
        cursor.execute(f"{empty} {TABLES[which]}")
    dice = random.Random(rows)
    starts = [PERIOD * (number / rows) for number in range(rows)]
    # Six of ten come once, for some minutes; the others come back and are renewed.
    ends = [
        start + LIFETIME + timedelta(days=dice.expovariate(300 if dice.random() < 0.6 else 0.3))
        for start in starts
    ]
    zero = timezone.now() - sorted(ends)[expired - 1] - timedelta(seconds=1)
    dates = ((zero + start, zero + end) for start, end in zip(starts, ends, strict=True))
    if which == "django":
        insert(TABLES[which], ["session_key", "session_data", "expire_date"], theirs(dates, dice))
    else:
        insert(TABLES[which], COLUMNS, ours(dates, dice, rows // 5))
    analyze(TABLES[which])


def analyze(table: str) -> None:
    """Do what the server would do by itself after some minutes."""
    with connection.cursor() as cursor:
        match connection.vendor:
            case "postgresql":
                cursor.execute(f"VACUUM ANALYZE {table}")
                cursor.execute("CHECKPOINT")
            case "mysql":
                cursor.execute(f"ANALYZE TABLE {table}")


def theirs(dates: Iterator[tuple[datetime, datetime]], dice: random.Random) -> Iterator[Any]:
    data = session_data(dice)
    for _, end in dates:
        yield f"{dice.getrandbits(160):032x}"[:32], dice.choice(data), end


def ours(
    dates: Iterator[tuple[datetime, datetime]], dice: random.Random, users: int
) -> Iterator[Any]:
    data = session_data(dice)
    is_native = connection.features.has_native_uuid_field
    for start, end in dates:
        # A quarter are visitors.
        user = dice.randint(1, users) if dice.random() < 0.75 else None
        public_id = public_id_of(dice.randbytes(ID_BYTES))
        yield (
            public_id if is_native else public_id.hex,
            dice.randbytes(32),
            # Who signed in had a visitor's key before.
            dice.randbytes(MARK_BYTES) if user else None,
            False,
            microseconds(start) if user else None,
            user,
            start,
            start if user else None,
            min(end - LIFETIME, timezone.now()),
            end,
            f"203.0.{dice.randrange(256)}.{dice.randrange(1, 255)}",
            USER_AGENT,
            dice.choice(data),
            dice.randint(1, 9),
        )


def session_data(dice: random.Random) -> list[str]:
    """Return the encoded sessions of some users who have signed in and no more."""
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415 - needs set-up

    store = SessionStore()
    return [
        store.encode(
            {
                "_auth_user_id": str(dice.randrange(10**6)),
                "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
                "_auth_user_hash": hashlib.sha256(dice.randbytes(8)).hexdigest(),
            }
        )
        for _ in range(500)
    ]


def insert(table: str, columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        marks = ", ".join(["%s"] * len(columns))
        adapt = connection.ops.adapt_datetimefield_value
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        adapted = ([adapt(v) if isinstance(v, datetime) else v for v in row] for row in rows)
        while some := list(islice(adapted, 5000)):
            with transaction.atomic():
                cursor.executemany(insert, some)
