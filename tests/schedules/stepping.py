"""Making steps of what clients do: each statement on sessions, each access to the cache."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from django.db import connection

from django_sessionkit.exceptions import CacheUnreachable
from tests.interleaving import TABLE
from tests.schedules.scheduler import Scheduler

#: What is made of the SQL of clients, while a rule about statements is switched off.
_rewrites: list[Callable[[str], str]] = []


def rewriting(rewrite: Callable[[str], str]) -> Callable[[], AbstractContextManager[None]]:
    """Return a switch that lets clients execute ``rewrite(sql)`` on sessions."""

    @contextmanager
    def switch() -> Iterator[None]:
        _rewrites.append(rewrite)
        try:
            yield
        finally:
            _rewrites.remove(rewrite)

    return switch


class Asked(threading.local):
    """When this thread's last question to the database was asked and answered, in nanoseconds."""

    at = answered_at = 0


asked = Asked()


def step_at_statements(scheduler: Scheduler, *, and_answers: bool = False) -> None:
    """Make each statement of this thread's connection a step, from now on.

    ``and_answers``: and the answer to each question, so that much may happen until that is there.
    """

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        client = scheduler.running
        if client is not None and TABLE in sql:
            verb, asked.at = sql.split(maxsplit=1)[0], time.time_ns()
            is_locking = connection.in_atomic_block and not client.is_reading
            is_inside = client.in_transaction and is_locking
            client.in_transaction = is_locking
            if is_inside:
                scheduler.note(verb)
            else:
                scheduler.step(verb)
            for rewrite in _rewrites:
                sql = rewrite(sql)
            answer = execute(sql, params, many, context)
            if and_answers and verb == "SELECT" and not is_locking:
                scheduler.step("is answered")
            asked.answered_at = time.time_ns()
            return answer
        return execute(sql, params, many, context)

    connection.execute_wrappers.append(wait)


class Stepping:
    """What ``copies_in()`` or ``data_in()`` has returned, each call of which is a step."""

    def __init__(
        self, real: Any, scheduler: Scheduler, see: Callable[[str, uuid.UUID, Any], None]
    ) -> None:
        self._real = real
        self._scheduler = scheduler
        self._see = see

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        client = self._scheduler.running
        if client is None or (connection.in_atomic_block and not client.is_reading):
            self._scheduler.note(f"{name}, in a transaction")
            return getattr(self._real, name)(*args, **kwargs)
        client.in_transaction = False
        is_answered = client.answers == 1 or self._scheduler.random.random() < client.answers
        client.has_missed |= not is_answered
        if not is_answered and (not client.answers or self._scheduler.random.random() < 0.5):
            self._scheduler.step(f"{name}, which is lost")
            raise CacheUnreachable("The question was lost.")
        self._scheduler.step(name)
        result = getattr(self._real, name)(*args, **kwargs)
        if not is_answered:
            self._scheduler.note("the answer is lost")
            raise CacheUnreachable("The answer was lost.")
        self._see(name, args[0], result)
        return result
