"""What all tests share: the engines, async tests, and the tests that need a server."""

import inspect
import os
from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from tests.engines import Engine, configured, params

_SERVERS = {
    "SESSIONKIT_TEST_POSTGRESQL": "nothing was tested on PostgreSQL",
    "SESSIONKIT_TEST_MYSQL": "nothing was tested on MariaDB or MySQL",
    "SESSIONKIT_TEST_REDIS": "the tests marked redis were skipped",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests whose server is not named. One that is named and down fails them."""
    skips = {}
    if os.environ["TEST_DB"] != "sqlite":
        skips["once"] = "runs on SQLite alone: it doesn't use the tests' database"
    if not os.environ.get("SESSIONKIT_TEST_REDIS"):
        skips["redis"] = "No server named: SESSIONKIT_TEST_REDIS"
    for item in items:
        for marker, reason in skips.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
        engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
        if (
            os.environ["TEST_DB"] != "sqlite"
            and isinstance(engine, Engine)
            and engine.is_like_another
            and "conformance" not in item.path.parts
        ):
            reason = "it goes beyond conformance on SQLite alone, being like another engine"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=params(lambda engine: engine.refuses_at_once))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, configured as the site's; tokens only where nothing is believed."""
    with configured(request.param):
        yield request.param


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Put SQLite's test database into a file: threads can't share one in memory."""
    if connection.vendor == "sqlite":
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connection.settings_dict["TEST"]["NAME"] = str(path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test function as Django's TestCase runs an async method.

    The sync code that it awaits then stays on this thread, with this thread's connection and
    transaction; under a bare event loop it would run on another thread with its own.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    async_to_sync(pyfuncitem.obj)(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers were not named, and what was not tested for that."""
    terminalreporter.section(f"database: {os.environ['TEST_DB']}", sep="-")
    for variable, consequence in _SERVERS.items():
        if not os.environ.get(variable):
            terminalreporter.line(f"No server named: {variable} ({consequence})")
