"""Redis with Sentinel: it works, and a failover in the middle of traffic loses nobody."""

from __future__ import annotations

import time

import pytest

from django_sessionkit import registry
from django_sessionkit.events import InForce
from tests.browsers import both_ways
from tests.faults.failovers import BOUND, FailOver
from tests.faults.sites import each_engine, signed_in, site
from tests.redis_caches import sentinel_cache
from tests.redis_sentinels import Sentinels

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@both_ways
@each_engine
def test_sessions_are_read_saved_and_revoked(
    sentinels: Sentinels, kind: str, is_async: bool
) -> None:
    with site(kind, sentinel_cache(sentinels)):
        browser = signed_in(is_async=is_async)
        assert sentinels.primary.ask("DBSIZE")
        browser.get("/set/dog/Rex/")
        assert browser.data()["dog"] == "Rex"
        ended = registry.revoke(browser.row, owner=registry.ANY_OWNER)
        assert (ended.count, ended.in_force) == (1, InForce.NOW)
        assert sentinels.primary.ask("DBSIZE") == 0
        assert browser.get("/whoami/").content == b""


@pytest.mark.parametrize("ignores_exceptions", [False, True], ids=["raising", "ignoring"])
def test_with_cached_db_nobody_notices_that_another_server_takes_over(
    sentinels: Sentinels, ignores_exceptions: bool
) -> None:
    with site("cached_db", sentinel_cache(sentinels, IGNORE_EXCEPTIONS=ignores_exceptions)):
        fail_over = FailOver()
        fail_over.run(sentinels.kill_primary, sentinels.wait_for_failover)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) == {200}


def test_with_cached_db_nobody_notices_that_the_primary_hangs(sentinels: Sentinels) -> None:
    with site("cached_db", sentinel_cache(sentinels)):
        fail_over = FailOver()
        fail_over.run(sentinels.pause_primary, sentinels.wait_for_failover)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) == {200}


def test_with_cache_people_are_told_to_try_again_until_another_server_has_taken_over(
    sentinels: Sentinels,
) -> None:
    with site("cache", sentinel_cache(sentinels)):
        fail_over = FailOver()
        fail_over.run(sentinels.kill_primary, sentinels.wait_for_failover)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) == {200, 503}


def test_without_sentinels_a_request_waits_and_is_answered(sentinels: Sentinels) -> None:
    with site("cached_db", sentinel_cache(sentinels)):
        browser = signed_in()
        for each in [*sentinels.sentinels, sentinels.primary]:
            each.pause()
        try:
            start = time.monotonic()
            for _ in range(5):
                assert browser.data()["cat"] == "Tom"
            # Two timeouts of 0.2 s for each of three sentinels; then it is passed by for a second.
            assert time.monotonic() - start < 4
        finally:
            for each in [*sentinels.sentinels, *sentinels.servers]:
                each.resume()
