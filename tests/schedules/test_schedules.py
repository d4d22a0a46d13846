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

import pytest

from tests.schedules.engines import CACHE, CACHED_DB
from tests.schedules.search import Search
from tests.schedules.traces import Recorded

pytestmark = pytest.mark.redis


#: How many schedules a test runs, so that processes side by side share them.
SHARE = 250
#: How many of those that have moved are named.
NAMED = 5


def shares() -> list[range]:
    """Return the numbers of the schedules to run, test by test."""
    start, _, count = os.environ.get("SESSIONKIT_TEST_SCHEDULES", "500").rpartition(":")
    seeds = range(int(start or 0), int(start or 0) + int(count))
    return [seeds[first : first + SHARE] for first in range(0, len(seeds), SHARE)]


each_engine = pytest.mark.parametrize("search", [CACHED_DB, CACHE], ids=str, indirect=True)


@each_engine
@pytest.mark.parametrize("seeds", shares(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_schedule_breaks_a_promise_or_takes_other_steps(search: Search, seeds: range) -> None:
    traces = {seed: search.run(seed) for seed in seeds}
    recorded = Recorded(search.engine.name)
    if os.environ.get("SESSIONKIT_TEST_TRACES") == "record":
        recorded.write(traces)
    if moved := recorded.moved(traces):
        steps = "\n  ".join(traces[moved[0]])
        pytest.fail(
            f"Of {len(seeds)} schedules {len(moved)} take other steps than recorded, such as "
            f"{moved[:NAMED]}. Seed {moved[0]}:\n  {steps}"
        )


@each_engine
def test_a_seed_gives_the_same_steps_each_time(search: Search) -> None:
    first = [search.run(seed) for seed in range(50)]
    assert [search.run(seed) for seed in range(50)] == first
    assert len({tuple(steps) for steps in first}) > 45
