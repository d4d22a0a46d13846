"""Compare our ``clearsessions`` with Django's on the same rows: time, longest statement, size.

    python benchmarks/clearsessions.py --database sqlite
    python benchmarks/clearsessions.py --database postgresql://postgres@127.0.0.1:5432/bench
    python benchmarks/clearsessions.py --database mysql://root@127.0.0.1:3306/bench

The rows go into a test database ("test_bench"), which is made anew and dropped at the end.
"""
# ruff: noqa: S603, S608 - a program of our own, names of our own tables

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import django
import traffic
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from rows import TABLES, fill, fill_users

ENGINES = {"ours": "django_sessionkit.backends.db", "django": "django.contrib.sessions.backends.db"}


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL", help='"sqlite" or a URL')
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--expired", type=int, default=900_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--traffic", action="store_true", help="40 loads and 40 saves a second beside it"
    )
    parser.add_argument("--run", choices=TABLES, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=TABLES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        configure(options.database, options.serve)
        traffic.run()
        return
    if options.run:
        configure(options.database, options.run)
        sys.stdout.write(json.dumps(clear(options.run)))
        return
    with tempfile.TemporaryDirectory() as directory:
        if options.database == "sqlite":
            options.database = f"sqlite:///{directory}/bench.sqlite3"
        compare(options)


def configure(url: str, which: str) -> None:
    """Set Django up for the database, with our app or Django's as the one of the sessions."""
    parts = urlsplit(url)
    ours, theirs = "django_sessionkit", "django.contrib.sessions"
    engine = "sqlite3" if parts.scheme == "sqlite" else parts.scheme
    name = parts.path if parts.scheme == "sqlite" else parts.path.lstrip("/")
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{engine}",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": parts.port or "",
                "TEST": {"NAME": name if engine == "sqlite3" else f"test_{name}"},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            *([ours, theirs] if which == "ours" else [theirs, ours]),
        ],
        SESSION_ENGINE=ENGINES[which],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SECRET_KEY="benchmark",  # noqa: S106
        USE_TZ=True,
    )
    django.setup()


def compare(options: argparse.Namespace) -> None:
    """Fill and clear both tables, and print what it took."""
    configure(options.database, "ours")
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        sys.stdout.write(
            f"{connection.display_name}, {options.rows:,} rows, {options.expired:,} expired\n"
        )
        fill_users(options.rows // 5)
        for round_ in range(options.repeat):
            for which in TABLES:
                fill(which, options.rows, options.expired)
                if not round_:
                    print_size(which, options.rows)
                command = [sys.executable, __file__, "--database", tested(options)]
                beside = Beside([*command, "--serve", which]) if options.traffic else None
                run = [*command, "--run", which]
                out = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
                print_run(which, options.expired, json.loads(out))
                if beside:
                    beside.stop()
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


class Beside:
    """Requests in a process of their own, first for a while in quiet."""

    QUIET = 6.0  # seconds

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        time.sleep(2)
        self._ask("lap")  # warm
        time.sleep(self.QUIET)
        self._quiet = self._ask("lap")

    def stop(self) -> None:
        """Print what the requests took before and during the clean-up."""
        busy = self._ask("stop")
        self._process.communicate()
        for act in ("load", "save"):
            before, during = self._quiet[act], busy[act]
            sys.stdout.write(
                f"        {act}s: p99 {before['p99']:.1f} ms, {during['p99']:.1f} beside it "
                f"({during['p99'] / before['p99']:.2f}), the longest {during['max']:.0f} ms, "
                f"of {during['count']:.0f}; {busy['failed']} of all failed\n"
            )
        sys.stdout.flush()

    def _ask(self, what: str) -> Any:
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        stdin.write(f"{what}\n")
        stdin.flush()
        return json.loads(stdout.readline())


def tested(options: argparse.Namespace) -> str:
    """Return the URL of the test database itself."""
    parts = urlsplit(options.database)
    if parts.scheme == "sqlite":
        return str(options.database)
    return str(parts._replace(path="/" + connection.settings_dict["NAME"]).geturl())


def clear(which: str) -> dict[str, Any]:
    """Run the command; return seconds, statements, and the peak of this process' memory."""
    seconds: list[float] = []

    def measure(execute: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            seconds.append(time.perf_counter() - start)

    connection.ensure_connection()
    before = peak_memory()
    start = time.perf_counter()
    with connection.execute_wrapper(measure):
        call_command("clearsessions", verbosity=0)
    total = time.perf_counter() - start
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLES[which]}")
        left = cursor.fetchone()[0]
    peak = peak_memory()
    return {
        "seconds": total,
        "statements": len(seconds),
        "longest": max(seconds),
        "left": left,
        "peak": peak,
        "growth": peak - before,
    }


def peak_memory() -> int:
    """Return the most memory that this program has held, in KiB."""
    # Not getrusage(): its figure is the parent's, where that was larger before the exec().
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def print_size(which: str, rows: int) -> None:
    """Print bytes a row, table and indexes apart."""
    table = TABLES[which]
    with connection.cursor() as cursor:
        match connection.vendor:
            case "postgresql":
                cursor.execute("SELECT pg_table_size(%s), pg_indexes_size(%s)", [table, table])
            case "mysql":
                cursor.execute(
                    "SELECT data_length, index_length FROM information_schema.tables "
                    "WHERE table_schema = database() AND table_name = %s",
                    [table],
                )
            case _:
                cursor.execute(
                    "SELECT sum(pgsize * (type = 'table')), sum(pgsize * (type = 'index')) "
                    "FROM dbstat JOIN sqlite_master USING (name) WHERE tbl_name = %s",
                    [table],
                )
        data, indexes = cursor.fetchone()
    sys.stdout.write(
        f"{which:<7} {data / rows:6.0f} bytes a row in the table, "
        f"{indexes / rows:4.0f} in indexes\n"
    )


def print_run(which: str, expired: int, run: dict[str, Any]) -> None:
    sys.stdout.write(
        f"{which:<7} {run['seconds']:6.1f} s, {expired / run['seconds']:>9,.0f} rows/s, "
        f"{run['statements']:>6,} statements, the longest {run['longest'] * 1000:8,.0f} ms, "
        f"peak memory {run['peak'] / 1024:4.0f} MiB (+{run['growth'] / 1024:.0f}), "
        f"{run['left']:,} rows left\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
