"""Count the sessions that are alive after a save and a revoke at once, with Django's and ours.

    TEST_DB=postgresql SESSIONKIT_TEST_POSTGRESQL=postgresql://postgres@127.0.0.1:5432/races \\
        SESSIONKIT_TEST_REDIS=redis://127.0.0.1:6379/15 python benchmarks/races.py

The servers are named as for the tests; makes a test database and drops it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import django
from django.conf import settings
from django.db import connection
from django.test import override_settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PAIRS = 2000
OURS, DJANGOS = "django_sessionkit.backends", "django.contrib.sessions.backends"


def main() -> None:
    module = vars(import_module("tests.settings"))
    site = {name: value for name, value in module.items() if name.isupper()}
    site["INSTALLED_APPS"] = [*site["INSTALLED_APPS"], "django.contrib.sessions"]
    settings.configure(**site, SESSION_CACHE_ALIAS="redis")
    django.setup()
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = "races.sqlite3"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        for path in (f"{DJANGOS}.cached_db", f"{OURS}.cached_db", f"{OURS}.cache"):
            print(f"{path}: {alive(path)} of {PAIRS} alive")  # noqa: T201
    finally:
        connection.creation.destroy_test_db("", verbosity=0)


def alive(path: str) -> int:
    """Save and revoke sessions of this engine; return how many are alive."""
    from tests.schedules.pairs import alive_after  # noqa: PLC0415 - needs set-up
    from tests.schedules.test_pairs import revoke  # noqa: PLC0415

    store = import_module(path).SessionStore
    with override_settings(SESSION_ENGINE=path):
        if path.startswith(OURS):
            return alive_after(PAIRS, store, revoke)
        return alive_after(PAIRS, store, lambda session_key: store(session_key).delete())


if __name__ == "__main__":
    main()
