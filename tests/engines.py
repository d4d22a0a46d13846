"""The session engines under test: one row an engine, with what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

#: What the store of a signed-in session asks the database for, act by act: the queries' verbs.
ROW_QUERIES: Mapping[str, Sequence[str]] = {
    "load": ["SELECT"],
    "load in the lease": ["SELECT"],
    "load an unknown key": ["SELECT"],
    "exists": ["SELECT"],
    "insert": ["INSERT"],
    "insert a visitor": ["INSERT"],
    "save": ["UPDATE"],
    "merge": ["UPDATE", "SELECT", "UPDATE"],
    "cycle_key": ["UPDATE"],
    "delete": ["DELETE"],
    "sign in": ["INSERT"],
    "sign in over a visitor's session": ["SELECT", "UPDATE", "UPDATE"],
    "sign in again": ["SELECT", "UPDATE", "UPDATE"],
    "sign in over another user's session": ["SELECT", "DELETE", "INSERT"],
    "revoke": ["DELETE"],
    "revoke a user's": ["DELETE"],
}


@dataclass(frozen=True, slots=True)
class Engine:
    """A session engine.

    ``cache_alias``: the cache that holds copies of the rows, or the data.
    ``data_in_row``: the row holds the session's data, so that it can be looked for there, and
    each save is a statement; else the row's end and client follow once a lease.
    ``rows_for_visitors``: a session has a row before anybody signs in.
    ``keeps_public_id_at_login``: so does a visitor's session when the visitor signs in; else the
    session of before goes on until the login's is saved.
    ``queries``: what each act costs, where it is not what it costs with rows alone.
    """

    name: str
    path: str
    cache_alias: str | None = None
    data_in_row: bool = True
    rows_for_visitors: bool = True
    keeps_public_id_at_login: bool = True
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name

    def store(self, session_key: str | None = None) -> Any:
        """Return a bare store, made as Django makes it: from the session key alone."""
        return import_module(self.path).SessionStore(session_key)

    @property
    def lease_of_saves(self) -> int:
        """A ``SESSIONKIT_LEASE`` with which each save writes the row's end and client."""
        return 60 if self.data_in_row else 0

    def costs(self, *acts: str) -> list[str]:
        """Return the verbs of the queries on sessions that the acts make, one after the other."""
        queries = {**ROW_QUERIES, **self.queries}
        return [verb for act in acts for verb in queries[act]]


#: SQLite has no SELECT … FOR UPDATE; a write takes the lock instead.
LOCK = ["UPDATE"] if connection.vendor == "sqlite" else []

#: What a copy changes: inside the lease the row is not asked, and whose copies are to be taken
#: back has to be read, under a lock, until nothing is left.
COPY_QUERIES: Mapping[str, Sequence[str]] = {
    "load in the lease": [],
    "revoke a user's": ["BEGIN", *LOCK, "SELECT", "DELETE", "SELECT", "COMMIT"],
}

#: And where the data lies there alone: a row appears at login, and is asked once a lease.
DATA_QUERIES: Mapping[str, Sequence[str]] = {
    **COPY_QUERIES,
    "load an unknown key": [],
    "insert a visitor": [],
    "save": [],
    "merge": [],
    "sign in over a visitor's session": ["INSERT"],
}

CACHED_DB = "django_sessionkit.backends.cached_db"
CACHE: dict[str, Any] = {
    "path": "django_sessionkit.backends.cache",
    "data_in_row": False,
    "rows_for_visitors": False,
    "keeps_public_id_at_login": False,
    "queries": DATA_QUERIES,
}

ENGINES = (
    Engine("db", "django_sessionkit.backends.db"),
    Engine("cached_db-redis", CACHED_DB, cache_alias="redis", queries=COPY_QUERIES),
    Engine("cached_db-locmem", CACHED_DB, cache_alias="default", queries=COPY_QUERIES),
    Engine("cache-redis", cache_alias="redis", **CACHE),
    Engine("cache-locmem", cache_alias="default", **CACHE),
)


def params(chosen: Callable[[Engine], bool] = lambda engine: True) -> list[Any]:
    """Return the engines as parameters of a test, with what each needs to be tested.

    In a transaction nothing is copied, and nothing taken back before its commit: with a cache,
    the test would be one of the row alone.
    """
    return [
        pytest.param(
            engine,
            id=engine.name,
            marks=[
                *([pytest.mark.django_db(transaction=True)] if engine.cache_alias else []),
                *([pytest.mark.redis] if engine.cache_alias == "redis" else []),
            ],
        )
        for engine in ENGINES
        if chosen(engine)
    ]


#: For a test that takes ``engine`` and forces something between the statements of a save.
with_data_in_rows = pytest.mark.parametrize(
    "engine", params(lambda engine: engine.data_in_row), indirect=True
)
