"""Measure what the admin's pages ask of PostgreSQL, and one user's thousand sessions.

    python benchmarks/admin.py --database postgresql://postgres@127.0.0.1:5432/bench \\
        --redis redis://127.0.0.1:6379/15 --rows 1000000

Fills our table and those of qsessions and user_sessions, where they are installed, with the same
sessions (a tenth of them active, a quarter without a user) of users a fifth as many, and asks each
admin for the same pages through the test client: the time that the statements take, the queries,
and whether one of them counts or reads a whole table (EXPLAIN). The caches of the server are warm:
of ``--times`` visits the first does not count. Then it lists and revokes one user's 1,000 sessions.
It makes a test database ("test_bench"), drops it at the end, and flushes that database of Redis.
"""
# ruff: noqa: S608, T201, PLC0415 - names of our own tables, a report, and imports that need set-up

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.urls import path
from rows import TABLES, analyze, fill, fill_users

HEAVY = 1000
BACKENDS = "django_sessionkit.backends"
#: The tables of other packages, filled from ours: columns, and what of ours goes there.
PEERS = {
    "qsessions": (
        "qsessions_session",
        "session_key, session_data, expire_date, user_agent, created_at, updated_at, ip, user_id",
        "md5(id::text), data, expire_date, user_agent, created_at, last_seen_at, ip_address,"
        " user_id",
    ),
    "user_sessions": (
        "user_sessions_session",
        "session_key, session_data, expire_date, user_agent, last_activity, ip, user_id",
        "md5(id::text), data, expire_date, user_agent, last_seen_at, ip_address, user_id",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL", help="of a PostgreSQL")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--alone", action="store_true", help="without other packages")
    options = parser.parse_args()
    configure(options)
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        peers = [name for name in PEERS if importlib.util.find_spec(name) and not options.alone]
        fill_all(options.rows, peers)
        client = superuser()
        print(f"{options.rows:,} sessions; milliseconds in the database: median (p10 - p90)\n")
        compare(client, peers, options.times)
        print(f"\n{HEAVY:,} sessions of one user: milliseconds in all, median (p10 - p90)\n")
        compare_verbs(options.times)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def configure(options: argparse.Namespace) -> None:
    """Set Django up with our admin, and those of the packages that are installed."""
    parts = urlsplit(options.database)
    name = parts.path.lstrip("/")
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": parts.port or "",
                "TEST": {"NAME": f"test_{name}"},
            }
        },
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": options.redis}},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django_sessionkit",
            *(name for name in PEERS if importlib.util.find_spec(name)),
        ],
        MIDDLEWARE=[
            "django_sessionkit.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        SESSION_ENGINE=f"{BACKENDS}.db",
        ROOT_URLCONF=__name__,
        STATIC_URL="/static/",
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="benchmark",  # noqa: S106
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))


urlpatterns: list[Any] = []


def fill_all(rows: int, peers: list[str]) -> None:
    """Fill the tables of users and sessions."""
    fill_users(rows // 5)
    with connection.cursor() as cursor:
        # Some names that begin alike, as people's do.
        cursor.execute("UPDATE auth_user SET username = 'alice' || id WHERE id <= 400")
        cursor.execute(
            "SELECT setval('auth_user_id_seq', (SELECT max(id) FROM auth_user))"
        )  # COPY leaves it where it was
    fill("ours", rows, rows * 9 // 10)
    for name in peers:
        table, theirs, ours = PEERS[name]
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({theirs}) SELECT {ours} FROM {TABLES['ours']} ORDER BY id"
            )
        analyze(table)
    analyze("auth_user")


def superuser() -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


class Asked:
    """The statements of a page, and how long they took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.statements: list[tuple[str, Any]] = []

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.seconds += time.perf_counter() - start
            self.statements.append((sql, params))


def compare(client: Client, peers: list[str], times: int) -> None:
    """Ask each admin for the pages, and print what the database did."""
    from django_sessionkit.models import Session

    ours = "/admin/sessionkit/session/"
    middle = Session.objects.order_by("id")[Session.objects.count() // 2]
    known = Session.objects.exclude(user=None).active().select_related("user").order_by("-id")[5]
    terms = {
        "search by name": f"q={known.user.username}",
        "search by a beginning (of 400 users)": "q=alice",
        "search by address": f"q={known.ip_address}",
        "search for what is not there": "q=nobody-has-this-name",
    }
    pages = {
        "first page": (ours, "", ""),
        "far behind": (ours, f"older={middle.pk}", f"p={Session.objects.count() // 200}"),
        "active": (ours, "state=active", "active=1"),
        "expired": (ours, "state=expired", "active=0"),
        "visitors": (ours, "owner=visitors", None),
        "signed in": (ours, "owner=users", None),
        "signed in, active": (ours, "owner=users&state=active", None),
        "seen this year": (ours, "last_seen_at__gte=2020-01-01+00:00:00%2B00:00", None),
        **{words: (ours, term, term) for words, term in terms.items()},
        "search by public id": (ours, f"q={known.public_id}", None),
    }
    row = "{:<36}{:<16}{:>22}{:>9}  {}".format
    print(row("", "", "ms", "queries", "what reads a lot"))
    for words, (url, query, theirs) in pages.items():
        print(row(words, "sessionkit", *visit(client, f"{url}?{query}", times)))
        for name in peers if theirs is not None else ():
            print(row("", name, *visit(client, f"/admin/{name}/session/?{theirs}", times)))


def visit(client: Client, url: str, times: int) -> tuple[str, int, str]:
    """Return what a page takes in the database, its queries, and which of them read a lot."""
    taken, asked = [], Asked()
    for number in range(times + 1):
        asked = Asked()
        with connection.execute_wrapper(asked):
            response = client.get(url)
        if response.status_code != 200:
            raise RuntimeError(f"{url}: {response.status_code}")
        if number:
            taken.append(asked.seconds * 1000)
    return spread(taken), len(asked.statements), "; ".join(sorted(faults(asked)))


def faults(asked: Asked) -> Iterator[str]:
    for sql, params in asked.statements:
        if "COUNT(" in sql:
            yield "COUNT"
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}", params)
            for (line,) in cursor.fetchall():
                if "Seq Scan" in line and ("session" in line or "auth_user " in line):
                    yield line.strip().removeprefix("->  ").partition("  (")[0]


def spread(taken: list[float]) -> str:
    tenths = statistics.quantiles(taken, n=10, method="inclusive")
    return f"{tenths[4]:.1f} ({tenths[0]:.1f} - {tenths[8]:.1f})"


def compare_verbs(times: int) -> None:
    """List and revoke the sessions of one user, with both engines that have all in the row."""
    import redis
    from django.contrib.auth.models import User

    from django_sessionkit import registry

    heavy = User.objects.create_user("heavy")
    print(f"{'':<12}{'list':>22}{'revoke':>22}{'queries':>9}")
    redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]).flushdb()
    for engine in ("db", "cached_db"):
        with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}"):
            listing, revoking, asked = [], [], Asked()
            for number in range(times + 1):
                keys = sign_in_often(heavy, engine)
                with timed() as listed:
                    sessions = registry.list_sessions(heavy)
                asked = Asked()
                with connection.execute_wrapper(asked), timed() as revoked:
                    count = registry.revoke_user(heavy).count
                if len(sessions) != HEAVY or count != HEAVY or is_alive(engine, keys[0]):
                    raise RuntimeError(f"{len(sessions)} listed, {count} revoked")
                if number:
                    listing.append(listed[0])
                    revoking.append(revoked[0])
            row = f"{engine:<12}{spread(listing):>22}{spread(revoking):>22}"
            print(f"{row}{len(asked.statements):>9}")


@contextmanager
def timed() -> Iterator[list[float]]:
    taken: list[float] = []
    start = time.perf_counter()
    yield taken
    taken.append((time.perf_counter() - start) * 1000)


def sign_in_often(user: Any, engine: str) -> list[str]:
    """Make the sessions, spread over the table's end, and let each have its copy."""
    from django_sessionkit.keys import SplitKey
    from django_sessionkit.models import Session

    end = django.utils.timezone.now() + timedelta(days=14)
    keys = [SplitKey.generate() for _ in range(HEAVY)]
    data = settings_store(engine)().encode({"_auth_user_id": str(user.pk)})
    Session.objects.bulk_create(
        Session(
            public_id=key.public_id,
            secret_hash=key.secret_hash,
            user=user,
            expire_date=end,
            ip_address="192.0.2.1",
            user_agent="x" * 110,
            data=data,
        )
        for key in keys
    )
    for key in keys if engine == "cached_db" else ():
        settings_store(engine)(key.session_key).load()
    return [key.session_key for key in keys]


def is_alive(engine: str, session_key: str) -> bool:
    return bool(settings_store(engine)(session_key).load())


def settings_store(engine: str) -> Any:
    return importlib.import_module(f"{BACKENDS}.{engine}").SessionStore


if __name__ == "__main__":
    main()
