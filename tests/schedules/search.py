"""Drawing schedules from seeds, and running them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from django.core.cache import caches

from django_sessionkit.copies import copies_in, data_in
from django_sessionkit.copies.format import HEAD, STAMP
from tests.engines import Engine
from tests.schedules.cache_operations import CacheOperations
from tests.schedules.cache_time import FORGED, CacheTime
from tests.schedules.clock import Clock
from tests.schedules.operations import Operations
from tests.schedules.programs import KINDS
from tests.schedules.promises import Promises
from tests.schedules.scheduler import Scheduler
from tests.schedules.seams import everywhere
from tests.schedules.stepping import Stepping, step_at_statements
from tests.schedules.timing import Time
from tests.schedules.token_operations import TokenOperations

CLIENTS = "ABCD"
#: Of a hundred sessions.
SIGNED_IN = 65


class Violation(AssertionError):  # noqa: N818 - what was found
    """A schedule has broken a promise."""


class Search:
    """Runs schedules of an engine, each drawn from its seed alone."""

    def __init__(self, engine: Engine, scheduler: Scheduler, time: Time) -> None:
        self.engine = engine
        self._scheduler = scheduler
        self._time = time
        self._promises: Promises | None = None

    def run(self, seed: int, kind: str = "all") -> list[str]:
        """Run the schedule of this seed and kind (``programs.KINDS``); return its trace.

        Raises:
            Violation: with the seed, the trace and what was broken.
        """
        draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        is_signed_in = draw.randrange(100) < SIGNED_IN
        is_copied = draw.random() < 0.5
        programs = KINDS[kind](draw, self.engine)
        self._scheduler.start(seed)
        self._time.start()
        operations = self._operations()
        self._promises = operations.promises
        try:
            operations.begin(is_signed_in=is_signed_in, is_copied=is_copied)
            self._scheduler.run(operations.run, programs)
            operations.finish()
        except Exception as error:
            of = f"{'' if is_signed_in else 'not '}signed in, {'' if is_copied else 'not '}copied"
            steps = "\n  ".join(self._scheduler.trace)
            raise Violation(f"{error!r}\nSeed {seed}, {of}:\n  {steps}") from error
        finally:
            self._time.clean()
        return self._scheduler.trace

    def first_violation(
        self, seeds: Iterable[int], kind: str = "all"
    ) -> tuple[int, Violation] | None:
        """Return the first seed that breaks a promise, and how; None if none does."""
        for seed in seeds:
            try:
                self.run(seed, kind)
            except Violation as violation:
                return seed, violation
        return None

    def _operations(self) -> Operations:
        if isinstance(self._time, CacheTime):
            return CacheOperations(self.engine, self._scheduler, self._time)
        assert isinstance(self._time, Clock)
        with_what = TokenOperations if self.engine.key_is_token else Operations
        return with_what(self.engine, self._scheduler, self._time)

    def see(self, name: str, public_id: uuid.UUID, result: Any) -> None:
        """Look at what a client has got from the cache."""
        if name == "fetch" and result.raw is not None and self._promises is not None:
            version = STAMP.unpack(result.raw[HEAD - STAMP.size : HEAD])[0]
            if version != FORGED:
                self._promises.check_version(public_id, version)


@contextmanager
def searching(engine: Engine) -> Iterator[Search]:
    """Give a search, with threads and connections for its schedules."""
    is_token = engine.key_is_token
    scheduler = Scheduler(CLIENTS, lambda: step_at_statements(scheduler, and_answers=is_token))
    clock = Clock()
    cache = None if engine.cache_alias is None else caches[engine.cache_alias]
    search = Search(engine, scheduler, clock if cache is None else CacheTime(cache))
    with ExitStack() as stack:
        if cache is None:
            stack.enter_context(clock.moved())
        for real in (copies_in, data_in):
            stack.enter_context(stepping_cache(real, scheduler, search))
        stack.enter_context(scheduler)
        yield search


def stepping_cache(
    real: Callable[..., Any], scheduler: Scheduler, search: Search
) -> AbstractContextManager[object]:
    """Make each access to the cache a step, for those who ask ``real`` for access to it."""

    def wrapped(*args: Any) -> Stepping:
        return Stepping(real(*args), scheduler, search.see)

    return everywhere(real, wrapped)()
