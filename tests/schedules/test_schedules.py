"""No order of steps breaks a promise: thousands of schedules, each drawn from its number.

SESSIONKIT_TEST_SCHEDULES says how many. One of them alone, to look at it: that number, a colon, and
how many from there on, as in "4711:1".

Each takes the steps that were recorded of it (``traces``). Where the engine, or what clients do,
is meant to take others from now on, record them anew:

    export TEST_DB=sqlite SESSIONKIT_TEST_TRACES=record SESSIONKIT_TEST_SCHEDULES=10000
    python -m pytest -n 2 tests/schedules/test_schedules.py -k no_schedule_breaks
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.schedules.engines import CACHE, CACHED_DB, DB, ENGINES, SIGNED_COOKIES, marks_of, params
from tests.schedules.search import Search
from tests.schedules.traces import Recorded

pytestmark = pytest.mark.slow


#: The engines with the kinds of schedules (``programs.KINDS``), and which part of so many.
RUNS = (
    (DB, "all", 1),
    (CACHED_DB, "all", 1),
    (CACHED_DB, "rollbacks", 4),
    (CACHE, "all", 1),
    (SIGNED_COOKIES, "all", 1),
    (SIGNED_COOKIES, "checks", 4),
)
#: How many schedules a test runs, so that processes side by side share them.
SHARE = 250
#: How often a save is tried before it takes a lock.
TRIES = 3
#: How many of those that have moved are named.
NAMED = 5


def shares(part: int) -> list[range]:
    """Return the numbers of the schedules to run, test by test; only one of ``part``."""
    start, _, count = os.environ.get("SESSIONKIT_TEST_SCHEDULES", "500").rpartition(":")
    seeds = range(int(start or 0), int(start or 0) + -(-int(count) // part))
    return [seeds[first : first + SHARE] for first in range(0, len(seeds), SHARE)]


def runs() -> Iterator[Any]:
    """Give each engine with a kind of schedules, and their numbers."""
    for engine, kind, part in RUNS:
        for seeds in shares(part):
            name = f"{engine}-{kind}-{seeds[0]}-{seeds[-1]}"
            yield pytest.param(engine, kind, seeds, id=name, marks=marks_of(engine))


@pytest.mark.parametrize(("search", "kind", "seeds"), list(runs()), indirect=["search"])
def test_no_schedule_breaks_a_promise_or_takes_other_steps(
    search: Search, kind: str, seeds: range
) -> None:
    traces = {seed: search.run(seed, kind) for seed in seeds}
    recorded = Recorded(f"{search.engine}-{kind}")
    if os.environ.get("SESSIONKIT_TEST_TRACES") == "record":
        recorded.write(traces)
    if moved := recorded.moved(traces):
        steps = "\n  ".join(traces[moved[0]])
        pytest.fail(
            f"Of {len(seeds)} schedules {len(moved)} take other steps than recorded, such as "
            f"{moved[:NAMED]}. Seed {moved[0]}:\n  {steps}"
        )


@pytest.mark.parametrize("search", params(*ENGINES), indirect=True)
def test_a_seed_gives_the_same_steps_each_time(search: Search) -> None:
    first = [search.run(seed) for seed in range(50)]
    assert [search.run(seed) for seed in range(50)] == first
    assert len({tuple(steps) for steps in first}) > 45


@pytest.mark.parametrize("search", params(DB, CACHED_DB), indirect=True)
def test_a_save_that_was_late_three_times_goes_on_under_a_lock(search: Search) -> None:
    """Where SQLite locks, an UPDATE that changes nothing stands for SELECT ... FOR UPDATE."""
    updates = [
        [step for step in search.run(seed, "crowds") if step == "A: UPDATE"] for seed in range(30)
    ]
    assert max(map(len, updates)) == TRIES + 2
