"""Compare our ``clearsessions`` with Django's on the same rows: time, longest statement, size.

    python benchmarks/clearsessions.py --database sqlite
    python benchmarks/clearsessions.py --database postgresql://postgres@127.0.0.1:5432/bench
    python benchmarks/clearsessions.py --database mysql://root@127.0.0.1:3306/bench

The rows go into a test database ("test_bench"), which is made anew and dropped at the end. With
``--traffic`` 40 loads and 40 saves a second go on beside it, first for a while in quiet; a run is
short, so ask for ``--repeat 10``: the latencies of all rounds are pooled.
"""
# ruff: noqa: S603, S608 - a program of our own, names of our own tables

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    parser.add_argument("--only", choices=TABLES, help="fill and clear this table alone")
    parser.add_argument("--batch-size", help="as for our command")
    parser.add_argument("--sleep", help="as for our command")
    parser.add_argument("--run", choices=TABLES, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=TABLES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        configure(options.database, options.serve)
        traffic.run()
        return
    if options.run:
        configure(options.database, options.run)
        sys.stdout.write(json.dumps(clear(options)))
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
    tables = [options.only] if options.only else list(TABLES)
    results = {which: Result() for which in tables}
    try:
        sys.stdout.write(
            f"{connection.display_name}, {options.rows:,} rows, {options.expired:,} expired\n"
        )
        fill_users(options.rows // 5)
        for which in tables:
            fill(which, options.rows, options.expired)
            print_size(which, options.rows)
        for round_ in range(options.repeat):
            for which in tables:
                with Filled(options, which, is_first=not round_) as url:
                    run_once(options, which, url, results[which])
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    if options.repeat > 1:
        print_results(results)


@dataclass
class Result:
    """What all rounds of one table took."""

    seconds: list[float] = field(default_factory=list)
    quiet: dict[str, list[float]] = field(default_factory=lambda: {"load": [], "save": []})
    beside: dict[str, list[float]] = field(default_factory=lambda: {"load": [], "save": []})
    failed: int = 0


class Filled:
    """The filled tables once more, so that each round starts from the same."""

    def __init__(self, options: argparse.Namespace, which: str, *, is_first: bool) -> None:
        self._options, self._which, self._is_first = options, which, is_first
        self._is_copied = options.repeat > 1 and connection.vendor != "mysql"
        name = str(connection.settings_dict["NAME"])
        self._name = f"{name}_round" if self._is_copied else name

    def __enter__(self) -> str:
        """Return the URL of the database."""
        name = connection.settings_dict["NAME"]
        if not self._is_copied:
            if not self._is_first:
                fill(self._which, self._options.rows, self._options.expired)
        elif connection.vendor == "sqlite":
            shutil.copyfile(name, self._name)
        else:
            # Pages are copied as they are, where INSERT would fill them better or worse.
            self._execute(
                f"DROP DATABASE IF EXISTS {self._name}",
                f"CREATE DATABASE {self._name} TEMPLATE {name} STRATEGY file_copy",
            )
        parts = urlsplit(self._options.database)
        path = self._name if parts.scheme == "sqlite" else f"/{self._name}"
        return (
            f"sqlite://{path}" if parts.scheme == "sqlite" else parts._replace(path=path).geturl()
        )

    def __exit__(self, *exception: object) -> None:
        if not self._is_copied:
            return
        if connection.vendor == "sqlite":
            Path(self._name).unlink()
        else:
            self._execute(f"DROP DATABASE IF EXISTS {self._name}")

    def _execute(self, *statements: str) -> None:
        connection.close()
        with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            for statement in statements:
                cursor.execute(statement)


def run_once(options: argparse.Namespace, which: str, url: str, result: Result) -> None:
    """Clear one table in a process of its own, print and keep what it took."""
    connection.close()
    command = [sys.executable, __file__, "--database", url]
    beside = Beside([*command, "--serve", which]) if options.traffic else None
    run = [*command, "--run", which]
    for name in ("batch_size", "sleep"):
        if value := getattr(options, name):
            run += ["--" + name.replace("_", "-"), value]
    try:
        out = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout)
    except BaseException:
        if beside:
            beside.kill()
        raise
    print_run(which, options.expired, out)
    result.seconds.append(out["seconds"])
    if beside:
        beside.stop(result, out["start"], out["end"])


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

    def stop(self, result: Result, start: float, end: float) -> None:
        """Print and keep what the requests took in quiet, and while the command was at work."""
        busy = self._ask("stop")
        self._process.communicate()
        result.failed += busy["failed"]
        quiet, beside = {}, {}
        for act in ("load", "save"):
            quiet[act] = [taken for _, taken in self._quiet[act]]
            # Not while the program starts: importing Django keeps a core busy for a second.
            beside[act] = [taken for due, taken in busy[act] if start <= due <= end]
            result.quiet[act] += quiet[act]
            result.beside[act] += beside[act]
        print_traffic(quiet, beside, busy["failed"])

    def kill(self) -> None:
        """End it, so that its database can be dropped."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, what: str) -> Any:
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        stdin.write(f"{what}\n")
        stdin.flush()
        return json.loads(stdout.readline())


def clear(options: argparse.Namespace) -> dict[str, Any]:
    """Run the command; return seconds, statements, and the peak of this process' memory."""
    seconds: list[float] = []

    def measure(execute: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            seconds.append(time.perf_counter() - start)

    arguments: list[str] = []
    if options.run == "ours":
        arguments += ["--batch-size", options.batch_size] if options.batch_size else []
        arguments += ["--sleep", options.sleep] if options.sleep else []
    connection.ensure_connection()
    before = peak_memory()
    start = time.perf_counter()
    with connection.execute_wrapper(measure):
        call_command("clearsessions", *arguments, verbosity=0)
    end = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLES[options.run]}")
        left = cursor.fetchone()[0]
    peak = peak_memory()
    return {
        "start": start,
        "end": end,
        "seconds": end - start,
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


def print_traffic(
    quiet: dict[str, list[float]], beside: dict[str, list[float]], failed: int
) -> None:
    for act in ("load", "save"):
        (was, was_99), (median, p99) = percentiles(quiet[act]), percentiles(beside[act])
        longest = max(beside[act], default=0.0)
        sys.stdout.write(
            f"        {act}s: median {was:.2f} ms, {median:.2f} beside it; p99 {was_99:.2f} ms, "
            f"{p99:.2f} beside it ({p99 / was_99:.2f}), the longest {longest:.1f} ms, "
            f"of {len(beside[act])}; {failed} of all failed\n"
        )
    sys.stdout.flush()


def percentiles(times: list[float]) -> tuple[float, float]:
    """Return the median and the p99."""
    if len(times) < 2:
        return (times or [0.0])[0], (times or [0.0])[0]
    hundredths = statistics.quantiles(times, n=100, method="inclusive")
    return hundredths[49], hundredths[98]


def print_results(results: dict[str, Result]) -> None:
    """Print the rounds of each table taken together."""
    theirs = results.get("django")
    for which, result in results.items():
        tenths = statistics.quantiles(result.seconds, n=10, method="inclusive")
        ratio = statistics.median(result.seconds) / statistics.median((theirs or result).seconds)
        sys.stdout.write(
            f"{which}, all rounds: {tenths[4]:.2f} s ({tenths[0]:.2f} - {tenths[8]:.2f}), "
            f"ratio {ratio:.2f}\n"
        )
        if result.quiet["load"]:
            print_traffic(result.quiet, result.beside, result.failed)


if __name__ == "__main__":
    main()
