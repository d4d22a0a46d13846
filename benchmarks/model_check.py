"""Measure the costs of model.py, and hold its forecast against a run with real requests.

    python benchmarks/model_check.py --database postgresql://postgres@127.0.0.1:5432/bench \\
        --redis redis://127.0.0.1:6379/15

Fills a test database with rows, renews a thousand of them one by one (then again and again, then
after a checkpoint), then lets some hundred sessions of the engine
``cached_db`` ask Django's handler at random moments for a minute. Nobody else may write to either
server meanwhile. Flushes that database of the Redis; drops the test database at the end.
"""
# ruff: noqa: S608, T201 - random moments, names of our own tables, and a report

from __future__ import annotations

import argparse
import dataclasses
import heapq
import random
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import django
import redis
from django.conf import settings
from django.core import signals
from django.db import close_old_connections, connection
from engines import AGENT, ENGINES, Visitor
from model import MEASURED, Costs, Site, forecast
from rows import TABLES, analyze, fill, fill_users

TABLE = TABLES["ours"]
ENGINE = ENGINES["sessionkit cached_db"]


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL", help="of a PostgreSQL")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--sessions", type=int, default=1000, help="renewed ten times each")
    parser.add_argument("--fillfactor", type=int, default=90, help="100 is what tables have")
    parser.add_argument("--online", type=int, default=400)
    parser.add_argument("--lease", type=int, default=5)
    parser.add_argument("--gap", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    configure(options)
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        check(options)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def configure(options: argparse.Namespace) -> None:
    parts = urlsplit(options.database)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{parts.scheme}",
                "NAME": parts.path.lstrip("/"),
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": parts.port or "",
                "CONN_MAX_AGE": None,
            }
        },
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": options.redis}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", ENGINE.app],
        MIDDLEWARE=[ENGINE.middleware, ENGINE.authentication],
        SESSION_ENGINE=ENGINE.engine,
        SESSIONKIT_LEASE=options.lease,
        SECRET_KEY="for the benchmark alone, which is a long one",  # noqa: S106
        ROOT_URLCONF="engines",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    # As a worker does between requests, but for closing the connection.
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)


def check(options: argparse.Namespace) -> None:
    server = redis.Redis.from_url(options.redis)
    server.flushdb()
    fill_users(options.rows // 5)
    fill("ours", options.rows, 1)
    # As they grow row by row, not as CLUSTER packs them.
    _, indexes = sizes()
    keys = give_keys(options.sessions + options.online, options.fillfactor)
    online, others = keys[: options.online], keys[options.online :]
    costs = measure(options, others, indexes / options.rows, server)
    print(f"measured: {costs}")
    compare(options, costs, online, server)


def give_keys(count: int, fillfactor: int) -> list[str]:
    """Sign ``count`` rows of the table in, wherever they lie; return their session keys."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - needs set-up
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415

    from django_sessionkit.keys import SplitKey  # noqa: PLC0415
    from django_sessionkit.models import Session  # noqa: PLC0415

    alice = User.objects.get(pk=1)
    alice.username = "alice"
    alice.save()
    data = SessionStore().encode(
        {
            "_auth_user_id": str(alice.pk),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": alice.get_session_auth_hash(),
            "basket": random.sample(range(10_000), 5),
        }
    )
    chosen = list(Session.objects.order_by("?")[:count])
    keys = []
    for row in chosen:
        key = SplitKey.generate(row.public_id)
        row.secret_hash, row.data, row.user_id = key.secret_hash, data, alice.pk
        keys.append(key.session_key)
    fields = ["secret_hash", "data", "user_id"]
    Session.objects.bulk_update(chosen, fields, batch_size=500)
    with connection.cursor() as cursor:
        # Back to where they were, in pages as full as they may be.
        cursor.execute(f"ALTER TABLE {TABLE} SET (fillfactor = {fillfactor})")
        cursor.execute(f"CLUSTER {TABLE} USING {TABLE}_pkey")
    analyze(TABLE)
    return keys


def measure(options: argparse.Namespace, keys: list[str], index_row: float, server: Any) -> Costs:
    """Renew each of the sessions ten times, and cache one."""
    table, _ = sizes()
    query("CHECKPOINT")
    renew("the first", keys)
    # Pruning takes turns, so two of them.
    again = sum([renew("again", keys) for _ in range(8)][-2:]) / 2
    # Before the checkpoint: who reads a page may prune it, and then writes it whole.
    pages = pages_of(keys)
    query("CHECKPOINT")
    whole = renew(f"after a checkpoint, in {pages} pages", keys)
    return Costs(
        table_row=table / options.rows,
        index_row=index_row,
        wal_renewal=again,
        wal_page=(whole - again) * len(keys) / pages,
        cached=cached_bytes(keys[0], server),
        cleanup_rate=MEASURED.cleanup_rate,
    )


def pages_of(keys: list[str]) -> int:
    """Return in how many pages the rows of the sessions lie."""
    ids = ", ".join(f"'{key[:32]}'" for key in keys)
    (pages,) = query(
        f"SELECT count(DISTINCT (ctid::text::point)[0]) FROM {TABLE} WHERE public_id IN ({ids})"
    )
    return int(pages)


def renew(name: str, keys: list[str]) -> float:
    """Let a lease run out, renew all; return bytes of WAL a renewal."""
    from django_sessionkit.backends.db import SessionStore  # noqa: PLC0415 - needs set-up
    from django_sessionkit.storage.records import RequestFacts  # noqa: PLC0415 - needs set-up

    time.sleep(settings.SESSIONKIT_LEASE)
    before = Counters.now()
    for key in keys:
        session = SessionStore(key)
        session.facts = RequestFacts({"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": AGENT})
        session.get("basket")
        session.renew_lease()
    told = Counters.now() - before
    print(
        f"{told.updates:,.0f} renewals, {name}: {told.wal / told.updates:,.0f} bytes of WAL each, "
        f"{told.hot / told.updates:.0%} of them in place (HOT)"
    )
    return told.wal / told.updates


def cached_bytes(key: str, server: Any) -> float:
    """Return what the copy of a session takes in Redis, with its key and what keeps its end."""
    visit(key)
    before = int(server.info("memory")["used_memory"])
    names = list(server.scan_iter())
    copies = [server.dump(names[0])] * 2000
    for number, copy in enumerate(copies):
        # Keys as long as the real one.
        name = names[0][:-8] + f"{number:08}".encode()
        server.restore(name, 60_000, copy)
    after = int(server.info("memory")["used_memory"])
    server.flushdb()
    return (after - before) / len(copies)


def compare(options: argparse.Namespace, costs: Costs, keys: list[str], server: Any) -> None:
    """Let the sessions ask at random moments; print what was forecast and what was measured."""
    query(f"VACUUM {TABLE}")
    query("CHECKPOINT")
    empty = int(server.info("memory")["used_memory"])
    before, start = Counters.now(), time.perf_counter()
    moments = [(start + random.expovariate(1 / options.gap), key) for key in keys]
    heapq.heapify(moments)
    cached, asked, late, next_look = [], 0, 0.0, start + 2 * options.lease
    while moments[0][0] < start + options.seconds:
        due, key = moments[0]
        time.sleep(max(due - time.perf_counter(), 0))
        heapq.heapreplace(moments, (due + random.expovariate(1 / options.gap), key))
        visit(key)
        asked, late = asked + 1, max(late, time.perf_counter() - due)
        if due > next_look:
            cached.append(int(server.info("memory")["used_memory"]) - empty)
            next_look += 1
    took = time.perf_counter() - start
    told = Counters.now() - before
    query(f"VACUUM {TABLE}")
    print(f"{asked:,} requests in {took:.0f} s, the latest {late * 1000:.0f} ms late")
    site = Site(options.rows, options.online, options.lease, options.gap, checkpoint=took)
    expected = forecast(costs, site)
    print(f"{'':<24}{'forecast':>14}{'measured':>14}{'ratio':>8}")
    for name, ours, measured in (
        ("renewals a second", expected.renewals, told.updates / took),
        ("WAL, bytes a second", expected.wal, told.wal / took),
        ("table, bytes", expected.table, sizes()[0]),
        ("cache, bytes", expected.cache, sum(cached) / len(cached)),
    ):
        print(f"{name:<24}{ours:>14,.1f}{measured:>14,.1f}{measured / ours:>8.2f}")
    print(f"{told.hot / told.updates:.0%} of the renewals were in place (HOT)")


def visit(key: str) -> None:
    """Let the browser that holds the key ask Django's handler."""
    visitor = Visitor()
    visitor.cookie = f"{settings.SESSION_COOKIE_NAME}={key}"
    if visitor.get("/read", keep=False) != b"alice":
        raise RuntimeError("She is not signed in.")


@dataclasses.dataclass(frozen=True)
class Counters:
    """PostgreSQL's counters: bytes of WAL, updated rows, those of them in place."""

    wal: float
    updates: float
    hot: float

    @classmethod
    def now(cls) -> Counters:
        query("SELECT pg_stat_force_next_flush()")
        return cls(
            *query(
                "SELECT pg_current_wal_lsn() - '0/0', n_tup_upd, n_tup_hot_upd "
                f"FROM pg_stat_user_tables WHERE relname = '{TABLE}'"
            )
        )

    def __sub__(self, other: Counters) -> Counters:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counters(*(float(a - b) for a, b in zip(mine, theirs, strict=True)))


def sizes() -> tuple[int, int]:
    """Return the bytes of the table and of its indexes."""
    table, indexes = query(f"SELECT pg_table_size('{TABLE}'), pg_indexes_size('{TABLE}')")
    return table, indexes


def query(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


if __name__ == "__main__":
    main()
