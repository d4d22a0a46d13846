"""Compare what a request costs with each session engine: ours, Django's, and other packages'.

    python benchmarks/engines.py --database postgresql://postgres@127.0.0.1:5432/bench \\
        --redis redis://127.0.0.1:6379/15

Requests go through Django's WSGI handler with the session and authentication middleware alone.
Each engine runs in a process of its own; they take turns, a few requests each, so that whatever
else the machine does hits them all. Times are medians, with p10 and p90; ratios are to Django's
``db`` engine in the same run. Flushes that database of the Redis; makes a test database for each
engine and drops it. ``--quick`` takes less than a minute. Packages that are not installed are left
out.

``--core 0`` keeps the engines and the servers' processes that they talk to on one core (on Linux,
with servers on the same machine, as root). Where a virtual machine wakes another core for each
answer, that can take longer than the answer, and it differs from process to process.
"""
# ruff: noqa: S603, T201 - programs of our own, and a report

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import django
import redis
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

ROOT = Path(__file__).resolve().parent.parent
OURS, DJANGOS = "django_sessionkit", "django.contrib.sessions"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@dataclass(frozen=True)
class Engine:
    """An engine under test: what it is called, and the settings of a site that uses it."""

    name: str
    app: str
    engine: str
    middleware: str = f"{DJANGOS}.middleware.SessionMiddleware"
    authentication: str = AUTHENTICATION
    more_apps: tuple[str, ...] = ()
    more_middleware: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.app.partition(".")[0]) is not None


def ours(name: str) -> Engine:
    return Engine(
        f"sessionkit {name}",
        OURS,
        f"{OURS}.backends.{name}",
        f"{OURS}.middleware.SessionMiddleware",
        f"{OURS}.authentication.AuthenticationMiddleware",
    )


def djangos(name: str) -> Engine:
    return Engine(f"contrib {name}", DJANGOS, f"{DJANGOS}.backends.{name}")


ENGINES = {
    engine.name: engine
    for engine in (
        djangos("db"),
        ours("db"),
        djangos("cached_db"),
        ours("cached_db"),
        djangos("cache"),
        ours("cache"),
        djangos("signed_cookies"),
        ours("signed_cookies"),
        ours("encrypted_cookies"),
        Engine(
            "qsessions db", "qsessions", "qsessions.backends.db",
            "qsessions.middleware.SessionMiddleware",
        ),
        Engine(
            "qsessions cached_db", "qsessions", "qsessions.backends.cached_db",
            "qsessions.middleware.SessionMiddleware",
        ),
        Engine(
            "user_sessions", "user_sessions", "user_sessions.backends.db",
            "user_sessions.middleware.SessionMiddleware",
        ),
        Engine(
            "allauth.usersessions", "allauth", f"{DJANGOS}.backends.db",
            more_apps=(DJANGOS, "allauth.account", "allauth.usersessions"),
            more_middleware=(
                "allauth.account.middleware.AccountMiddleware",
                "allauth.usersessions.middleware.UserSessionsMiddleware",
            ),
        ),
    )
}  # fmt: skip
BASE = "contrib db"
#: The path of each act, and what must come out.
ACTS = {"GET": "/read", "modify": "/save", "anonymous": "/public", "login": "/in"}
FLOORS = {"bare handler": "/bare", "session and user": "", "UPDATE, commit": "", "Redis GET": ""}
#: The ratios that --check allows: what was measured, and a margin that noise does not reach.
LIMITS = {
    "sessionkit db": {"GET": 0.65, "modify": 0.90, "login": 0.90},
    "sessionkit cached_db": {"GET": 0.85, "modify": 1.10, "login": 0.95},
    "sessionkit cache": {"GET": 0.90, "modify": 0.75, "login": 1.05},
    "sessionkit signed_cookies": {"GET": 0.63, "modify": 0.52, "login": 1.00},
    "sessionkit encrypted_cookies": {"GET": 0.65, "modify": 0.54, "login": 1.00},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no other packages")
    parser.add_argument("--check", action="store_true", help="fail where a ratio is too high")
    parser.add_argument(
        "--prepare", action="store_true", help="let PostgreSQL keep plans (server_side_binding)"
    )
    parser.add_argument("--core", type=int, metavar="N", help="keep all of it on one core")
    parser.add_argument("--only", nargs="+", choices=ENGINES, help="these, and contrib db")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        serve(ENGINES[options.engine], options)
        return
    with redis.Redis.from_url(options.redis) as server, kept_on(options.core, server):
        server.flushdb()
        compare(options)


@contextlib.contextmanager
def kept_on(core: int | None, server: redis.Redis) -> Iterator[None]:
    """Keep the Redis on one core, and let it go again."""
    if core is None:
        yield
        return
    process = int(cast("dict[str, Any]", server.info("server"))["process_id"])
    before = os.sched_getaffinity(process)
    os.sched_setaffinity(process, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(process, before)


def compare(options: argparse.Namespace) -> None:
    """Run the engines side by side and print the tables."""
    rounds, times = (12, 15) if options.quick else (60, 25)
    names = [name for name, engine in ENGINES.items() if engine.is_installed]
    if options.quick:
        names = [name for name in names if name.startswith(("contrib", "sessionkit"))]
    if options.only:
        names = [BASE, *(name for name in options.only if name != BASE)]
    arguments = [f"--database={options.database}", f"--redis={options.redis}"]
    if options.prepare:
        arguments.append("--prepare")
    if options.core is not None:
        arguments.append(f"--core={options.core}")
    workers = {
        name: subprocess.Popen(
            [sys.executable, __file__, *arguments, f"--engine={name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    costs = {name: ask(worker, "cost") for name, worker in workers.items()}
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    cpu: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for _ in range(rounds):
        for act in (*ACTS, *FLOORS):
            for name, worker in workers.items():
                if act in FLOORS and name != BASE:
                    continue
                answer = ask(worker, f"{times} {act}")
                taken[name].setdefault(act, []).extend(answer["wall"])
                cpu[name].setdefault(act, []).append(answer["cpu"])
    for worker in workers.values():
        worker.communicate()
    for act in ACTS:
        print(f"\n{act}: µs a request")
        row = "{:<32}{:>7}{:>16}{:>8}{:>8}{:>9}{:>14}{:>7}".format
        print(row("", "median", "p10 - p90", "ratio", "CPU", "queries", "transactions", "Redis"))
        base = statistics.median(taken[BASE][act])
        for name in names:
            low, middle, high = spread(taken[name][act])
            cost = costs[name][act]
            print(
                row(
                    name,
                    f"{middle:.0f}",
                    f"{low:.0f} - {high:.0f}",
                    f"{middle / base:.2f}",
                    f"{statistics.median(cpu[name][act]):.0f}",
                    cost["queries"],
                    cost["transactions"],
                    cost["trips"],
                )
            )
    print("\nfloors: µs")
    for act in FLOORS:
        low, middle, high = spread(taken[BASE][act])
        print(f"{act:<32}{middle:>7.0f}{f'{low:.0f} - {high:.0f}':>16}")
    print("\nbytes in Redis of a signed-in session in use (MEMORY USAGE)")
    for name in names:
        if costs[name]["bytes"]:
            print(f"{name:<32}{sum(costs[name]['bytes']):>7}")
    if options.check:
        check(taken)


def check(taken: dict[str, dict[str, list[float]]]) -> None:
    """Exit with a message where a ratio is higher than LIMITS allow."""
    faults = []
    for name, limits in LIMITS.items():
        for act, limit in limits.items():
            if name not in taken:
                continue
            ratio = statistics.median(taken[name][act]) / statistics.median(taken[BASE][act])
            if ratio > limit:
                faults.append(f"{name}, {act}: {ratio:.2f} is more than {limit:.2f}")
    if faults:
        sys.exit("\n" + "\n".join(faults))


def spread(taken: list[float]) -> tuple[float, float, float]:
    tenths = statistics.quantiles(taken, n=10)
    return tenths[0], statistics.median(taken), tenths[-1]


def ask(worker: subprocess.Popen[str], act: str) -> Any:
    """Let the worker do it; return what it answers."""
    stdin, stdout = cast(IO[str], worker.stdin), cast(IO[str], worker.stdout)
    stdin.write(f"{act}\n")
    stdin.flush()
    return json.loads(stdout.readline())


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("bare")


def public(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.session.get("nothing", "nobody"))


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def save(request: HttpRequest) -> HttpResponse:
    request.session["basket"] = time.time_ns()
    return HttpResponse(request.user.get_username())


def sign_in(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import get_user_model, login  # noqa: PLC0415 - needs set-up

    backend = "django.contrib.auth.backends.ModelBackend"
    login(request, get_user_model().objects.get(username="alice"), backend=backend)
    return HttpResponse("in")


urlpatterns = [
    path("bare", bare),
    path("public", public),
    path("read", read),
    path("save", save),
    path("in", sign_in),
]


class Visitor:
    """Somebody who asks the WSGI handler, and keeps cookies."""

    def __init__(self) -> None:
        self._handler = WSGIHandler()
        self.cookie = ""
        self._got: list[str] = []

    def _start(self, status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        if not status.startswith("200"):
            raise RuntimeError(status)
        self._got = [value for name, value in headers if name == "Set-Cookie"]
        return None

    def get(self, url: str, *, keep: bool = True) -> bytes:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": url,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_USER_AGENT": AGENT,
            "wsgi.input": BytesIO(),
            "wsgi.url_scheme": "http",
        }
        if self.cookie:
            environ["HTTP_COOKIE"] = self.cookie
        response = self._handler(environ, self._start)
        body = b"".join(response)
        response.close()
        if keep and self._got:
            morsels = SimpleCookie(self._got[0]).values()
            self.cookie = "; ".join(f"{one.key}={one.value}" for one in morsels)
        return body


def serve(engine: Engine, options: argparse.Namespace) -> None:
    """Set one engine up; then do what each line of the input says."""
    sys.path.insert(0, str(ROOT))
    configure(engine, options)
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core import signals  # noqa: PLC0415
    from django.db import close_old_connections, connection, reset_queries  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext, setup_databases  # noqa: PLC0415

    old = setup_databases(verbosity=0, interactive=False)
    if options.core is not None:
        for process in (0, cast("Any", connection.connection).info.backend_pid):
            os.sched_setaffinity(process, {options.core})
    server = redis.Redis.from_url(options.redis)
    # As a worker does between requests, but for closing the connection.
    signals.request_started.disconnect(reset_queries)
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    try:
        alice = User.objects.create_user("alice")
        visitor, stranger = Visitor(), Visitor()

        def visit(act: str) -> bytes:
            if act == "anonymous":
                return stranger.get(ACTS[act])
            if act == "login":
                return stranger.get(ACTS[act], keep=False)
            return visitor.get(ACTS[act])

        def cost(act: str) -> dict[str, int]:
            visit(act)
            made: list[object] = []
            connection_class = redis.connection.AbstractConnection
            real = connection_class.send_packed_command

            def send(self: Any, command: Any, **more: Any) -> Any:
                made.append(command)
                return real(self, command, **more)

            connection_class.send_packed_command = send
            try:
                with CaptureQueriesContext(connection) as queries:
                    visit(act)
            finally:
                connection_class.send_packed_command = real
            verbs = [query["sql"].split()[0].rstrip(";").upper() for query in queries]
            begun = sum(verb in ("BEGIN", "SAVEPOINT") for verb in verbs)
            other = {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"}
            return {
                "queries": sum(verb not in other for verb in verbs),
                "transactions": begun,
                "trips": len(made),
            }

        def costs() -> dict[str, Any]:
            before = set(server.scan_iter())
            visitor.get(ACTS["login"])
            if visitor.get(ACTS["GET"]) != b"alice":
                raise RuntimeError("She is not signed in.")
            keys = set(server.scan_iter()) - before
            sizes = [server.memory_usage(key) or 0 for key in keys]
            return {"bytes": sizes, **{act: cost(act) for act in ACTS}}

        def floor(act: str) -> Callable[[], object]:
            if act == "bare handler":
                return lambda: visitor.get(FLOORS[act])
            if act == "Redis GET":
                server.set("floor", b"x" * 300)
                return lambda: server.get("floor")
            with connection.cursor() as cursor:
                cursor.execute("SELECT max(session_key) FROM django_session")
                (key,) = cursor.fetchone()
            if act == "UPDATE, commit":
                update = "UPDATE django_session SET expire_date = now() WHERE session_key = %s"

                def write() -> None:
                    with connection.cursor() as cursor:
                        cursor.execute(update, (key,))

                return write
            sql = (
                "SELECT * FROM django_session s, auth_user u WHERE u.id = %s AND s.session_key = %s"
            )

            def run() -> object:
                with connection.cursor() as cursor:
                    cursor.execute(sql, (alice.pk, key))
                    return cursor.fetchone()

            return run

        for line in sys.stdin:
            count, _, act = line.strip().partition(" ")
            if count == "cost":
                answer: Any = costs()
            else:
                run = floor(act) if act in FLOORS else lambda: visit(act)  # noqa: B023
                answer = measure(run, int(count))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        for one, _, _ in old:
            one.creation.destroy_test_db(f"{one.settings_dict['NAME']}", verbosity=0)


def measure(run: Callable[[], object], times: int) -> dict[str, Any]:
    """Return what each run takes, in µs, and the mean of CPU time."""
    wall, cpu = [], time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        run()
        wall.append((time.perf_counter() - start) * 1e6)
    return {"wall": wall, "cpu": (time.process_time() - cpu) / times * 1e6}


def configure(engine: Engine, options: argparse.Namespace) -> None:
    """Set Django up for the engine."""
    parts = urlsplit(options.database)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{parts.scheme}",
                "NAME": f"{parts.path.lstrip('/')}_{list(ENGINES).index(engine.name)}",
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": parts.port or "",
                "CONN_MAX_AGE": None,
                # psycopg's default threshold, which Django switches off.
                "OPTIONS": {"server_side_binding": True, "prepare_threshold": 5}
                if options.prepare
                else {},
            }
        },
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": options.redis}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            engine.app,
            *engine.more_apps,
        ],
        MIDDLEWARE=[engine.middleware, engine.authentication, *engine.more_middleware],
        SESSION_ENGINE=engine.engine,
        SECRET_KEY="for the benchmark alone, which is a long one",  # noqa: S106
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        USERSESSIONS_TRACK_ACTIVITY=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


if __name__ == "__main__":
    main()
