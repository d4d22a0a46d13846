"""Where the rules are switched off, and where steps are made: what outlasts another store.

A function that a module has imported is replaced in each module that has, wherever that is, so
that no name of a module that holds a store stands in these tests; but for ``PAUSED``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest import mock

from django_sessionkit.conf import conf
from tests.schedules.engines import ENGINES

#: The module that passes by a cache which has not answered, for a time that no scheduler knows of.
PAUSED = "django_sessionkit.storage.cached_rows"

#: Keeps a rule switched off while it is entered.
Switch = Callable[[], AbstractContextManager[object]]

LEASE_MS = conf.lease * 1000

# All of them now: what is imported while a function is replaced would keep the replacement.
for _engine in ENGINES:
    import_module(_engine.path)


def instead(owner: object, name: str, new: object) -> Switch:
    """Put something else in the place of a method or a function."""
    return lambda: mock.patch.object(owner, name, new)


def everywhere(real: Callable[..., Any], new: Callable[..., Any]) -> Switch:
    """Put something else in the place of a function, in each module that has imported that."""

    @contextmanager
    def switch() -> Iterator[None]:
        modules = importers(real)
        assert modules, f"Nothing imports {real.__name__}."
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(mock.patch.object(module, real.__name__, new))
            yield

    return switch


def together(*switches: Switch) -> Switch:
    """Switch off what takes more than one replacement."""

    @contextmanager
    def switch() -> Iterator[None]:
        with ExitStack() as stack:
            for one in switches:
                stack.enter_context(one())
            yield

    return switch


def importers(real: Callable[..., Any]) -> Collection[ModuleType]:
    """Return the modules of the package that have imported the function; not its own."""
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("django_sessionkit.")
        and name != real.__module__
        and vars(module).get(real.__name__) is real
    ]
