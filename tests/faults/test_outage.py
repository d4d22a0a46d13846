"""Redis is killed in the middle of traffic, and comes back."""

from __future__ import annotations

import time

import pytest

from tests.browsers import both_ways
from tests.faults.sites import new_browser, signed_in, site
from tests.faults.traffic import Traffic
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

OUTAGES = pytest.mark.parametrize(
    ("ignores_exceptions", "seconds"), [(False, 10), (True, 3)], ids=["raising", "ignoring"]
)


def interrupt(server: RedisServer, traffic: Traffic, seconds: float) -> None:
    """Kill the server for some seconds while the traffic flows."""
    with traffic.flowing():
        time.sleep(1)
        server.kill()
        time.sleep(seconds)
        server.start()
        time.sleep(1)


@OUTAGES
def test_with_cached_db_nobody_notices(
    redis_server: RedisServer, ignores_exceptions: bool, seconds: float
) -> None:
    cache = single_cache(redis_server, IGNORE_EXCEPTIONS=ignores_exceptions)
    with site("cached_db", cache):
        traffic = Traffic()
        interrupt(redis_server, traffic, seconds)
    assert traffic.losses == traffic.stale == []
    assert set(traffic.statuses) == {200}


@OUTAGES
def test_with_cache_people_are_told_to_try_again_and_nobody_is_forgotten(
    redis_server: RedisServer, ignores_exceptions: bool, seconds: float
) -> None:
    cache = single_cache(redis_server, IGNORE_EXCEPTIONS=ignores_exceptions)
    with site("cache", cache):
        traffic = Traffic()
        interrupt(redis_server, traffic, seconds)
        assert traffic.losses == traffic.stale == []
        assert set(traffic.statuses) == {200, 503}
        for person in traffic.people:
            # The last look of each was answered.
            assert person.answers[-1].status == 200


@both_ways
def test_with_cache_an_answer_without_a_session_is_a_503_that_is_logged(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        redis_server.kill()
        for path in ("/read/", "/set/dog/Rex/", "/whoami/", "/login/alice/", "/logout/"):
            caplog.clear()
            assert browser.get(path).status_code == 503
            assert not browser.cookie_was_touched
            assert "The cache that holds the sessions did not answer" in caplog.text
            assert str(browser.session_key) not in caplog.text
        # Who needs no session is served.
        assert browser.get("/untouched/").status_code == 200
        redis_server.start()
        data = browser.data()
        assert (data["cat"], "dog" in data) == ("Tom", False)
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_with_cache_a_visitor_is_told_too_and_keeps_the_data(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        visitor = new_browser(is_async=is_async)
        visitor.get("/set/cat/Tom/")
        redis_server.kill()
        assert visitor.get("/set/dog/Rex/").status_code == 503
        assert not visitor.cookie_was_touched
        newcomer = new_browser(is_async=is_async)
        assert newcomer.get("/set/dog/Rex/").status_code == 503
        assert not newcomer.cookie_was_touched
        redis_server.start()
        assert visitor.data() == {"cat": "Tom"}
