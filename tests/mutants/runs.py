"""Running tests in a copy of the repository, with one fault in it or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

from tests.mutants.failures import FAILURES
from tests.mutants.mutant import Mutant

#: A test that waits for what never comes has found the fault as well, after so many seconds.
LONGEST = 900

#: pytest's exit code for a run that has passed.
PASSED = 0


class RunError(Exception):
    """pytest could not run the tests, which proves nothing; the message holds its output."""


@dataclass(frozen=True, slots=True)
class Result:
    """The first test that failed, or None, and how long it took."""

    found_by: str | None
    seconds: float


class Workshop:
    """A copy of the repository in which one fault at a time is made, and taken back."""

    def __init__(self, repository: Path, root: Path, database: str) -> None:
        self._root = root
        self._failures = root / "failures.txt"
        self._environment = {
            **os.environ,
            "TEST_DB": database,
            # Programs that tests start must import the copy, not what is installed.
            "PYTHONPATH": str(root),
            FAILURES: str(self._failures),
        }
        # Else each run would compile all modules again, and rewrite the asserts of all tests.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.check_output(listed, cwd=repository, text=True)
        for name in filter(None, names.split("\0")):
            if (repository / name).is_file():  # not removed since
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(repository / name, root / name)

    def try_mutant(self, mutant: Mutant, arguments: Sequence[str]) -> Result:
        """Run the tests until the first one fails for the fault."""
        source = (self._root / mutant.path).read_text()
        self._write(mutant.path, mutant.applied_to(source))
        try:
            return self.run(["-x", *arguments])
        finally:
            self._write(mutant.path, source)

    def run(self, arguments: Sequence[str]) -> Result:
        """Run pytest.

        Raises:
            RunError: it has found no tests, or could not import them.
        """
        self._failures.write_text("")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.failures"]
        start = time.monotonic()
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=self._root,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            return Result(f"(still running after {LONGEST} s)", LONGEST)
        seconds = time.monotonic() - start
        failed = self._failures.read_text().splitlines()
        # Exit code 1 without a failed test: the package could not be imported.
        if done.returncode != PASSED and not failed:
            raise RunError(f"pytest's exit code is {done.returncode}.\n{done.stdout}")
        return Result(failed[0] if failed else None, seconds)

    def _write(self, name: str, source: str) -> None:
        path = self._root / name
        path.write_text(source)
        # Compiled code is known by second and size, in which two versions may be equal.
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
