"""The session engines under test: one row an engine, with what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Engine:
    """A session engine.

    ``data_in_row``: the row holds the session's data, so that it can be looked for there.
    ``rows_for_visitors``: a session has a row before anybody signs in.
    """

    name: str
    path: str
    cache_alias: str | None = None
    data_in_row: bool = True
    rows_for_visitors: bool = True

    def __str__(self) -> str:
        return self.name

    def store(self, session_key: str | None = None) -> Any:
        """Return a bare store, made as Django makes it: from the session key alone."""
        return import_module(self.path).SessionStore(session_key)


ENGINES = (Engine("db", "django_sessionkit.backends.db"),)
