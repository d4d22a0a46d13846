"""Compare what a request of a signed-in user costs with each engine, ours and Django's.

    python benchmarks/engines.py --database postgresql://postgres@127.0.0.1:5432/bench \\
        --redis redis://127.0.0.1:6379/15

Each engine runs in a process of its own; they take turns, a few requests each, so that whatever
else the machine does hits them all. Flushes that database of the Redis; makes a test database for
each engine and drops it.
"""
# ruff: noqa: S603 - a program of our own

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import django
import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

ROOT = Path(__file__).resolve().parent.parent
ENGINES = [
    *(
        f"{package}.backends.{name}"
        for name in ("db", "cached_db", "cache", "signed_cookies")
        for package in ("django.contrib.sessions", "django_sessionkit")
    ),
    "django_sessionkit.backends.encrypted_cookies",
]
ROUNDS, REQUESTS = 40, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        serve(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Run the engines side by side and print a line for each."""
    redis.Redis.from_url(options.redis).flushdb()
    arguments = [f"--database={options.database}", f"--redis={options.redis}"]
    workers = {
        engine: subprocess.Popen(
            [sys.executable, __file__, *arguments, f"--engine={engine}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for engine in ENGINES
    }
    costs = {engine: ask(worker, "cost") for engine, worker in workers.items()}
    times: dict[str, dict[str, list[float]]] = {e: {"read": [], "save": []} for e in ENGINES}
    for _ in range(ROUNDS):
        for act in ("read", "save"):
            for engine, worker in workers.items():
                times[engine][act] += ask(worker, act)
    for worker in workers.values():
        worker.communicate()
    head = ("engine", "read µs", "save µs", "queries", "trips", "bytes in Redis")
    print("{:<44}{:>9}{:>9}{:>16}{:>12}{:>22}".format(*head))  # noqa: T201
    for engine, cost in costs.items():
        medians = [statistics.median(times[engine][act]) * 1e6 for act in ("read", "save")]
        queries, trips = (
            " / ".join(str(cost[act][number]) for act in ("read", "save")) for number in (0, 1)
        )
        print(  # noqa: T201
            f"{engine:<44}{medians[0]:>9.0f}{medians[1]:>9.0f}{queries:>16}{trips:>12}"
            f"{cost['bytes']!s:>22}"
        )


def ask(worker: subprocess.Popen[str], act: str) -> Any:
    """Let the worker do it; return what it answers."""
    stdin, stdout = cast(IO[str], worker.stdin), cast(IO[str], worker.stdout)
    stdin.write(f"{act}\n")
    stdin.flush()
    return json.loads(stdout.readline())


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def save(request: HttpRequest) -> HttpResponse:
    request.session["basket"] = time.time_ns()
    return HttpResponse(request.user.get_username())


def sign_in(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import get_user_model, login  # noqa: PLC0415 - needs set-up

    backend = "django.contrib.auth.backends.ModelBackend"
    login(request, get_user_model().objects.get(), backend=backend)
    return HttpResponse("in")


urlpatterns = [path("read", read), path("save", save), path("in", sign_in)]


def serve(options: argparse.Namespace) -> None:
    """Sign somebody in with one engine; then do what each line of the input says."""
    sys.path.insert(0, str(ROOT))
    configure(options)
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext, setup_databases  # noqa: PLC0415

    old = setup_databases(verbosity=0, interactive=False)
    server = redis.Redis.from_url(options.redis)
    try:
        User.objects.create_user("alice")
        client = Client()

        def cost(act: str) -> tuple[int, int]:
            client.get(f"/{act}")
            with CaptureQueriesContext(connection) as queries:
                trips = count_trips(lambda: client.get(f"/{act}"))
            return len(queries), trips

        def count_trips(run: Callable[[], object]) -> int:
            made = []
            connection_class = redis.connection.AbstractConnection
            real = connection_class.send_packed_command

            def send(self: Any, command: Any, **more: Any) -> Any:
                made.append(command)
                return real(self, command, **more)

            connection_class.send_packed_command = send
            try:
                run()
            finally:
                connection_class.send_packed_command = real
            return len(made)

        def costs() -> dict[str, Any]:
            before = set(server.scan_iter())
            client.get("/in")
            client.get("/read")
            keys = set(server.scan_iter()) - before
            sizes = sorted(server.memory_usage(key) or 0 for key in keys)
            return {"bytes": sizes, "read": cost("read"), "save": cost("save")}

        def times(act: str) -> list[float]:
            taken = []
            for _ in range(REQUESTS):
                start = time.perf_counter()
                client.get(f"/{act}")
                taken.append(time.perf_counter() - start)
            return taken

        for line in sys.stdin:
            act = line.strip()
            answer: Any = costs() if act == "cost" else times(act)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        for name, _, _ in old:
            name.creation.destroy_test_db(f"{name.settings_dict['NAME']}", verbosity=0)


def configure(options: argparse.Namespace) -> None:
    """Set Django up for the engine, with its own app and middleware."""
    parts = urlsplit(options.database)
    app = options.engine.partition(".backends")[0]
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{parts.scheme}",
                "NAME": f"{parts.path.lstrip('/')}_{ENGINES.index(options.engine)}",
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname,
                "PORT": parts.port,
                "CONN_MAX_AGE": None,
            }
        },
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": options.redis}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", app],
        MIDDLEWARE=[
            f"{app}.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_ENGINE=options.engine,
        SECRET_KEY="for the benchmark alone",  # noqa: S106
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
    )
    django.setup()


if __name__ == "__main__":
    main()
