"""A Redis that accepts connections and answers nothing: a request waits, but not for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from django_sessionkit import registry
from django_sessionkit.events import InForce
from tests.browsers import Browser, both_ways
from tests.faults.sites import LEASE, each_engine, signed_in, site
from tests.redis_caches import TIMEOUTS, single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

#: For what a request does besides waiting, on a busy machine.
SLACK = 3


@contextmanager
def hanging(server: RedisServer, kind: str, is_async: bool) -> Iterator[Browser]:
    """A browser with a session, which has just been read from the server that now hangs."""
    with site(kind, single_cache(server)):
        browser = signed_in(is_async=is_async)
        server.pause()
        try:
            yield browser
        finally:
            server.resume()


def waits(browser: Browser, path: str, status: int = 200) -> float:
    """Visit the page; return how many timeouts of a socket that took."""
    start = time.monotonic()
    assert browser.get(path).status_code == status
    return (time.monotonic() - start - SLACK) / TIMEOUTS["SOCKET_TIMEOUT"]


@both_ways
def test_reading_waits_once(redis_server: RedisServer, is_async: bool) -> None:
    with hanging(redis_server, "cached_db", is_async) as browser:
        assert waits(browser, "/read/") < 1
        assert browser.response.json()["cat"] == "Tom"


@both_ways
def test_saving_waits_twice_and_loses_nothing(redis_server: RedisServer, is_async: bool) -> None:
    with hanging(redis_server, "cached_db", is_async) as browser:
        assert waits(browser, "/set/dog/Rex/") < 2
        assert browser.data()["dog"] == "Rex"


@both_ways
def test_signing_in_and_out_waits_and_works(redis_server: RedisServer, is_async: bool) -> None:
    with hanging(redis_server, "cached_db", is_async) as browser:
        assert waits(browser, "/login/alice/") < 3
        assert browser.get("/whoami/").content == b"alice"
        assert waits(browser, "/logout/") < 2
        assert browser.get("/whoami/").content == b""


@both_ways
def test_who_cannot_be_served_waits_once_and_is_told(
    redis_server: RedisServer, is_async: bool
) -> None:
    with hanging(redis_server, "cache", is_async) as browser:
        for path in ("/read/", "/set/dog/Rex/", "/login/alice/", "/logout/"):
            assert waits(browser, path, 503) < 1
            assert not browser.cookie_was_touched
        redis_server.resume()
        assert browser.data()["cat"] == "Tom"
        assert browser.get("/whoami/").content == b"alice"


@both_ways
@each_engine
def test_revoking_waits_once_and_says_that_it_is_not_at_once(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with hanging(redis_server, kind, is_async) as browser:
        row = browser.row
        start = time.monotonic()
        ended = registry.revoke(row, owner=registry.ANY_OWNER)
        assert time.monotonic() - start < TIMEOUTS["SOCKET_TIMEOUT"] + SLACK
        assert (ended.count, ended.in_force) == (1, InForce.WITHIN_LEASE)
        redis_server.resume()
        time.sleep(LEASE)
        assert browser.get("/whoami/").content == b""
