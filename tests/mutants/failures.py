"""A plugin of pytest that writes down which tests fail; see runs.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: The environment variable that names the file with one node id a line.
FAILURES = "SESSIONKIT_MUTANTS_FAILURES"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add the test to the file, be it that its setup has failed."""
    # The workers of pytest-xdist have no say: their reports come to the main process.
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(os.environ[FAILURES]).open("a") as file:
            file.write(f"{report.nodeid}\n")
