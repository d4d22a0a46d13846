"""No order of steps breaks a promise: thousands of schedules, each drawn from its number.

SESSIONKIT_TEST_SCHEDULES says how many. One of them alone, to look at it: that number, a colon, and
how many from there on, as in "4711:1".
"""

from __future__ import annotations

import os

import pytest

from tests.schedules.engines import CACHE, CACHED_DB
from tests.schedules.search import Search

pytestmark = pytest.mark.redis


def seeds() -> range:
    """Return the numbers of the schedules to run."""
    start, _, count = os.environ.get("SESSIONKIT_TEST_SCHEDULES", "1000").rpartition(":")
    return range(int(start or 0), int(start or 0) + int(count))


each_engine = pytest.mark.parametrize("search", [CACHED_DB, CACHE], ids=str, indirect=True)


@each_engine
def test_no_schedule_breaks_a_promise(search: Search) -> None:
    for seed in seeds():
        search.run(seed)


@each_engine
def test_a_seed_gives_the_same_steps_each_time(search: Search) -> None:
    first = [search.run(seed) for seed in range(50)]
    assert [search.run(seed) for seed in range(50)] == first
    assert len({tuple(steps) for steps in first}) > 45
