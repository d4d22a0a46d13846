"""Ask a real ASGI server with 200 clients at once, for each session engine: ours and Django's.

    python benchmarks/asgi.py --database postgresql://postgres@127.0.0.1:5432/bench \\
        --redis redis://127.0.0.1:6379/15

The server is uvicorn with one process and async views; the clients are signed in, keep their
connections, and ask again as soon as they are answered; one request in ten changes the session.
Engines take turns. The clients share the machine with the server, PostgreSQL and Redis, so the
requests a second are no more than a comparison; the server's CPU time is without the clients'.

Django gives each request under ASGI a thread, and each thread a connection to the database: with
200 requests at once more than PostgreSQL accepts. All engines get a pool of 20 connections for
that; ``--no-pool`` shows what comes without. Flushes that database of the Redis; makes a test
database for each engine and drops it.
"""
# ruff: noqa: S603, T201 - programs of our own, and a report

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asgi_site
import psycopg
import redis
from asgi_client import Client
from engines import BASE, ENGINES, Engine

NAMES = [name for name in ENGINES if name.startswith(("contrib", "sessionkit"))]
ROOT = Path(__file__).resolve().parent.parent
POOL = 20


@dataclass
class Result:
    """What all rounds of an engine took."""

    times: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    connections: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each engine's turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--no-pool", action="store_true", help="a connection for each thread")
    parser.add_argument("--only", nargs="+", choices=NAMES)
    parser.add_argument("--engine", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--migrate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        serve(ENGINES[options.engine], options)
    else:
        compare(options)


def serve(engine: Engine, options: argparse.Namespace) -> None:
    """Be the server of one engine."""
    sys.path.insert(0, str(ROOT))
    pool = None if options.no_pool else {"min_size": 4, "max_size": POOL, "timeout": 60}
    name = database(engine, options)
    asgi_site.configure(engine, options.database, name, options.redis, pool)
    if options.migrate:
        asgi_site.migrate()
    else:
        asgi_site.serve(options.port)


def compare(options: argparse.Namespace) -> None:
    """Let the engines take turns and print the table."""
    redis.Redis.from_url(options.redis).flushdb()
    results = {name: Result() for name in options.only or NAMES}
    try:
        for round_ in range(options.rounds):
            for name, result in results.items():
                measure(name, options, result, is_first=not round_)
    finally:
        for name in results:
            execute(options, f"DROP DATABASE IF EXISTS {database(ENGINES[name], options)}")
    row = "{:<30}{:>11}{:>15}{:>9}{:>9}{:>9}{:>8}{:>9}{:>13}".format
    head = ("requests/s", "low - high", "p50 ms", "p99 ms", "CPU ms", "ratio", "errors")
    print(row("", *head, "connections"))
    base = statistics.median(results[BASE].rates) if BASE in results else 0.0
    for name, result in results.items():
        hundredths = statistics.quantiles(result.times, n=100, method="inclusive")
        rate = statistics.median(result.rates)
        print(
            row(
                name,
                f"{rate:.0f}",
                f"{min(result.rates):.0f} - {max(result.rates):.0f}",
                f"{hundredths[49]:.0f}",
                f"{hundredths[98]:.0f}",
                f"{statistics.median(result.cpu):.2f}",
                f"{rate / base:.2f}" if base else "",
                result.errors.total(),
                result.connections,
            )
        )
    for name, result in results.items():
        for error, count in result.errors.most_common(3):
            print(f"{name}: {count} x {error}")


def measure(name: str, options: argparse.Namespace, result: Result, *, is_first: bool) -> None:
    """Start the server for one engine, ask it for a while, and stop it."""
    command = [sys.executable, __file__, f"--database={options.database}", f"--engine={name}"]
    command += [f"--redis={options.redis}", f"--port={options.port}"]
    command += ["--no-pool"] if options.no_pool else []
    if is_first:
        execute(
            options,
            f"DROP DATABASE IF EXISTS {database(ENGINES[name], options)}",
            f"CREATE DATABASE {database(ENGINES[name], options)}",
        )
        subprocess.run([*command, "--migrate"], check=True)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(options.port)
            asyncio.run(ask(name, options, result, server.pid))
        finally:
            server.terminate()


async def ask(name: str, options: argparse.Namespace, result: Result, pid: int) -> None:
    """Sign the clients in, then let all of them ask until the time is up."""
    dice = random.Random(1)  # noqa: S311 - who saves when
    clients = [Client(options.port, dice) for _ in range(options.clients)]
    for start in range(0, len(clients), POOL // 2):
        await asyncio.gather(*(client.sign_in() for client in clients[start : start + POOL // 2]))
    done = asyncio.Event()
    peak = asyncio.create_task(watch(name, options, done))
    cpu, start = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(client.ask(start + options.seconds) for client in clients))
    took, cpu = time.perf_counter() - start, cpu_seconds(pid) - cpu
    done.set()
    result.connections = max(result.connections, await peak)
    times = [each for client in clients for each in client.times]
    result.times += times
    result.rates.append(len(times) / took)
    result.cpu.append(cpu / max(len(times), 1) * 1000)
    for client in clients:
        result.errors.update(client.errors)
        client.close()


async def watch(name: str, options: argparse.Namespace, done: asyncio.Event) -> int:
    """Return the most connections that the engine's database had at once."""
    most = 0
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    async with await psycopg.AsyncConnection.connect(server_url(options), autocommit=True) as one:
        while not done.is_set():
            cursor = await one.execute(question, [database(ENGINES[name], options)])
            (count,) = await cursor.fetchone() or (0,)
            most = max(most, count)
            await asyncio.sleep(0.1)
    return most


def wait_for(port: int) -> None:
    """Wait until the server listens. Raises OSError where it does not within 20 seconds."""
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, of user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def database(engine: Engine, options: argparse.Namespace) -> str:
    name = urlsplit(options.database).path.lstrip("/")
    return f"{name}_asgi_{list(ENGINES).index(engine.name)}"


def server_url(options: argparse.Namespace) -> str:
    return str(urlsplit(options.database)._replace(path="/postgres").geturl())


def execute(options: argparse.Namespace, *statements: str) -> None:
    with psycopg.connect(server_url(options), autocommit=True) as server:
        for statement in statements:
            server.execute(statement.encode())


if __name__ == "__main__":
    main()
