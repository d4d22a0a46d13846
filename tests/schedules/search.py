"""Drawing schedules from seeds, and running them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from django.core.cache import caches

from django_sessionkit.copies import copies_in, data_in
from django_sessionkit.copies.format import HEAD, STAMP
from tests.engines import Engine
from tests.schedules.cache_time import FORGED, TICKS, CacheTime
from tests.schedules.operations import CUT_OFF, UNREACHABLE, Operations
from tests.schedules.promises import Promises
from tests.schedules.scheduler import Scheduler
from tests.schedules.seams import everywhere
from tests.schedules.stepping import Stepping, step_at_statements

CLIENTS = "ABCD"

#: How often each operation is drawn.
OPERATIONS: Mapping[str, int] = {
    "load": 6,
    "load in a transaction": 2,
    "save": 5,
    "save twice": 1,
    "renew": 1,
    "replace the key": 2,
    "sign in": 2,
    "revoke": 2,
    "delete a queryset": 1,
    "delete an instance": 1,
    "log out": 1,
    "time passes": 1,
    "evict": 1,
}
#: And where the row holds the data, of which there are copies; or the cache alone.
WITH_COPIES: Mapping[str, int] = {"save, taken back": 1}
WITHOUT_COPIES: Mapping[str, int] = {"lose the data": 1}
#: And in the schedules in which the cache fails, or somebody writes to it.
FAULTS: Mapping[str, int] = {
    f"load{CUT_OFF}": 1,
    f"save{CUT_OFF}": 2,
    f"replace the key{CUT_OFF}": 1,
    f"revoke{CUT_OFF}": 2,
    "time passes": 3,
    "forge": 1,
    "take a snapshot": 1,
    "restore the snapshot": 1,
}
#: Of a hundred schedules.
WITH_FAULTS, WITH_LEASES = 15, 15
#: Of a hundred sessions.
SIGNED_IN = 65


class Violation(AssertionError):  # noqa: N818 - what was found
    """A schedule has broken a promise."""


class Search:
    """Runs schedules of an engine, each drawn from its seed alone."""

    def __init__(self, engine: Engine, scheduler: Scheduler, time: CacheTime) -> None:
        self.engine = engine
        self._scheduler = scheduler
        self._time = time
        self._promises: Promises | None = None

    def run(self, seed: int, *, of_leases: bool = False) -> list[str]:
        """Run the schedule of this seed, or the one of leases; return its trace.

        Raises:
            Violation: with the seed, the trace and what was broken.
        """
        draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        is_signed_in = draw.randrange(100) < SIGNED_IN
        is_copied = draw.random() < 0.5
        programs = draw_programs_of_leases(draw) if of_leases else draw_programs(draw, self.engine)
        self._scheduler.start(seed)
        self._time.start()
        operations = Operations(self.engine, self._scheduler, self._time)
        self._promises = operations.promises
        try:
            operations.begin(is_signed_in=is_signed_in, is_copied=is_copied)
            self._scheduler.run(operations.run, programs)
            operations.finish()
        except Exception as error:
            kind = f"{'' if is_signed_in else 'not '}signed in, {'' if is_copied else 'not '}copied"
            steps = "\n  ".join(self._scheduler.trace)
            raise Violation(f"{error!r}\nSeed {seed}, {kind}:\n  {steps}") from error
        finally:
            self._time.clean()
        return self._scheduler.trace

    def first_violation(
        self, seeds: Iterable[int], *, of_leases: bool = False
    ) -> tuple[int, Violation] | None:
        """Return the first seed that breaks a promise, and how; None if none does."""
        for seed in seeds:
            try:
                self.run(seed, of_leases=of_leases)
            except Violation as violation:
                return seed, violation
        return None

    def see(self, name: str, public_id: uuid.UUID, result: Any) -> None:
        """Look at what a client has got from the cache."""
        if name == "fetch" and result.raw is not None and self._promises is not None:
            version = STAMP.unpack(result.raw[HEAD - STAMP.size : HEAD])[0]
            if version != FORGED:
                self._promises.check_version(public_id, version)


def draw_programs(draw: random.Random, engine: Engine) -> list[list[str]]:
    """Return what two to four clients do, one to four operations each."""
    weights = {**OPERATIONS, **(WITH_COPIES if engine.data_in_row else WITHOUT_COPIES)}
    kind = draw.randrange(100)
    if kind < WITH_LEASES:
        return draw_programs_of_leases(draw)
    if kind < WITH_LEASES + WITH_FAULTS:
        weights |= FAULTS
    names, chances = list(weights), list(weights.values())
    return [
        draw.choices(names, chances, k=draw.choice((1, 1, 2, 2, 3, 4)))
        for _ in range(draw.choice((2, 2, 3, 3, 4)))
    ]


def draw_programs_of_leases(draw: random.Random) -> list[list[str]]:
    """Return programs in which copies outlive their session, and are loaded a lease later."""
    requests = [
        draw.choices(("load", "save"), k=draw.randint(1, 2)) for _ in range(draw.randint(1, 2))
    ]
    forgery = draw.choice(([], [], ["forge"]))
    return [[f"revoke{UNREACHABLE}"], [*["time passes"] * TICKS, *forgery, "load"], *requests]


@contextmanager
def searching(engine: Engine) -> Iterator[Search]:
    """Give a search, with threads and connections for its schedules."""
    assert engine.cache_alias is not None
    scheduler = Scheduler(CLIENTS, lambda: step_at_statements(scheduler))
    search = Search(engine, scheduler, CacheTime(caches[engine.cache_alias]))
    with ExitStack() as stack:
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
