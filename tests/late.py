"""Forcing an order of events upon the cache: what happens just before one of its operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django_sessionkit.copies.generic import GenericCopies, GenericData
from django_sessionkit.copies.redis import RedisCopies, RedisData

KINDS: tuple[type[Any], ...] = (RedisCopies, GenericCopies, RedisData, GenericData)


@contextmanager
def just_before(operations: set[str], act: Callable[[], object]) -> Iterator[list[str]]:
    """Call ``act`` once, just before the next of the ``operations`` reaches a cache.

    Gives a list that holds the name of the operation afterwards. The real one follows.
    """
    happened: list[str] = []

    def late(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, *arguments: Any, **more: Any) -> Any:
            if not happened:
                happened.append(name)
                act()
            return real(self, *arguments, **more)

        return run

    patches = [
        mock.patch.object(kind, name, late(name, getattr(kind, name)))
        for kind in KINDS
        for name in operations
        if hasattr(kind, name)
    ]
    for patch in patches:
        patch.start()
    try:
        yield happened
    finally:
        for patch in patches:
            patch.stop()
