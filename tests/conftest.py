"""What all tests share: the engines, async tests, and which tests a run is of."""

import inspect
import os
from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from tests.emptying import emptied_by_delete
from tests.engines import Engine, configured, params, refuses_at_once

_SERVERS = {
    "SESSIONKIT_TEST_POSTGRESQL": "nothing was tested on PostgreSQL",
    "SESSIONKIT_TEST_MYSQL": "nothing was tested on MariaDB or MySQL",
    "SESSIONKIT_TEST_REDIS": "the tests marked redis were skipped",
}


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis take its time, for a busy machine is no failure; less of it in a quick run."""
    if config.option.ds:
        return  # the cases of other sites do without, and it takes a second to load
    import hypothesis  # noqa: PLC0415

    count = 20 if "not slow" in config.option.markexpr else 100
    hypothesis.settings.register_profile("tests", deadline=None, max_examples=count)
    hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to a run what it can find and others do not; skip the tests whose server isn't named.

    On SQLite with the newest Python and Django everything runs, on the other databases what is
    marked. A server that is named and down fails its tests.
    """
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker("database")
            item.add_marker("varies")
        if item.get_closest_marker("redis") and not os.environ.get("SESSIONKIT_TEST_REDIS"):
            item.add_marker(pytest.mark.skip(reason="No server named: SESSIONKIT_TEST_REDIS"))
    if left := [item for item in items if not _belongs_here(item)]:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if _belongs_here(item)]


def _belongs_here(item: pytest.Item) -> bool:
    """Whether the test is for this database, and for the part of the tests that was asked for."""
    engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    varies = item.get_closest_marker("varies") is not None
    if os.environ.get("SESSIONKIT_TEST_ONLY") == "varies":
        return varies and (not isinstance(engine, Engine) or engine.varies)
    if os.environ["TEST_DB"] == "sqlite":
        return True
    if "conformance" in item.path.parts:
        return True
    if isinstance(engine, Engine) and engine.cache_alias == "default":
        return False  # it does the same to the database as with Redis
    return varies or item.get_closest_marker("database") is not None


@pytest.fixture(scope="session", autouse=True)
def tables_are_emptied_by_delete() -> Iterator[None]:
    """Spare the tests in real transactions a ``flush`` each."""
    with emptied_by_delete():
        yield


@pytest.fixture(params=params(refuses_at_once))
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
