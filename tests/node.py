"""The real thing to talk to: npm packages in a Node process, called from Python.

The scripts are in tests/node_peer, and package.json there names the packages, each in one version.
They are installed once, into .node in the project's root, which can be deleted at any time.

Without Node, npm or a network the tests are skipped; with SESSIONKIT_TEST_NODE set they fail.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(__file__).with_name("node_peer")
INSTALL_TIMEOUT = 120  # seconds
CALL_TIMEOUT = 30  # seconds
# No lock file: it would name the registry of whoever made it.
NPM_OPTIONS = [
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
]


class NodeError(Exception):
    """What a function in Node threw; the message is its own."""


class Node:
    """A script of tests/node_peer in a process that lives until ``close()``.

    A context manager. Skips or fails the test that wants it when there is no Node.
    """

    def __init__(self, script: str) -> None:
        installed = packages()
        # A module finds packages in the folders above its own.
        self._folder = tempfile.TemporaryDirectory(prefix="run-", dir=installed)
        self._errors = Path(self._folder.name, "errors.txt")
        scripts = Path(self._folder.name, "scripts")
        shutil.copytree(SCRIPTS, scripts)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [_program("node"), str(scripts / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=installed,
                encoding="utf-8",
            )

    def call(self, function: str, /, **given: object) -> Any:
        """Return what the script's function returns for these arguments, which must be JSON.

        Raises NodeError with the message of what it threw, and RuntimeError with what the process
        said when it has ended or gave no answer within CALL_TIMEOUT.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        patience = threading.Timer(CALL_TIMEOUT, self._process.kill)
        patience.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps({"call": function, "given": given}) + "\n")
                stdin.flush()
            line = stdout.readline()
        finally:
            patience.cancel()
        if not line:
            raise RuntimeError(f"Node ended: {self._errors.read_text(errors='replace')}")
        answer = json.loads(line)
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer.get("value")

    def close(self) -> None:
        """End the process, and take away what it needed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # the script ends with its input
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def packages() -> Path:
    """Return the folder in which the packages are installed.

    Skips the test if they can't be, or fails it where SESSIONKIT_TEST_NODE is set.
    """
    folder, reason = _install()
    if reason and os.environ.get("SESSIONKIT_TEST_NODE"):
        pytest.fail(f"SESSIONKIT_TEST_NODE is set, but {reason}")
    if reason:
        pytest.skip(reason)
    return folder


@functools.cache  # without a network each attempt takes seconds
def _install() -> tuple[Path, str]:
    """Return the folder, and the reason why it is not there; an empty one: it is."""
    manifest = SCRIPTS / "package.json"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".node" / digest
    for program in ("node", "npm"):
        if not shutil.which(program):
            return folder, f"{program} is not installed"
    if folder.is_dir():
        return folder, ""
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="install-", dir=folder.parent) as name:
        fresh = Path(name, "packages")
        fresh.mkdir()
        shutil.copy(manifest, fresh)
        command = [_program("npm"), "install", *NPM_OPTIONS]
        try:
            done = subprocess.run(
                command,
                cwd=fresh,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=INSTALL_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return folder, f"npm install took over {INSTALL_TIMEOUT} seconds"
        if done.returncode:
            summary = " ".join(done.stderr.splitlines()[:4])
            return folder, f"npm install failed: {summary}"
        # Whole or not at all. If another worker was quicker, the packages are there as well.
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder, ""


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found
    return found
