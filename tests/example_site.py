"""Run the example project's demo in a process of its own, on a database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, str(ROOT / "example_project" / "manage.py"), "demo"]
PASSWORD = "anchors-aweigh"
TIMEOUT = 60  # seconds


def environment(database: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that runs the demo on the database file."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "harbour.settings",
        "HARBOUR_DATABASE": str(database),
        "PYTHONPATH": path.rstrip(os.pathsep),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def demo(*args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the demo, which is expected to end by itself."""
    return subprocess.run(
        [*COMMAND, *args], env=env, text=True, capture_output=True, timeout=TIMEOUT, check=False
    )


@contextmanager
def serve(database: Path, **more: str) -> Iterator[tuple[str, Path]]:
    """Serve the demo on a free port; yield its address and the file with its output.

    ``more``: what else its environment holds.
    """
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", database.with_name("server.log")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*COMMAND, str(port)],
            env=environment(database, **more),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(url, server, log)
        yield url, log
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"The example project did not start:\n{log.read_text()}")
