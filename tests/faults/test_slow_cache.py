"""A Redis that accepts connections and answers nothing: a request waits, but not for long."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from django_sessionkit import registry
from tests.browsers import Browser, both_ways
from tests.faults.sites import signed_in, site
from tests.redis_caches import TIMEOUTS, single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

#: For what a request does besides waiting, on a busy machine.
SLACK = 0.5


@pytest.fixture
def hanging(redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser with a session, from whose copy the server has answered, and which now hangs."""
    is_async = request.getfixturevalue("is_async")
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        redis_server.pause()
        yield browser
        redis_server.resume()


def waits(browser: Browser, path: str) -> float:
    """Visit the page; return how many timeouts of a socket that took."""
    start = time.monotonic()
    assert browser.get(path).status_code == 200
    return (time.monotonic() - start - SLACK) / TIMEOUTS["SOCKET_TIMEOUT"]


@both_ways
def test_reading_waits_once(hanging: Browser, is_async: bool) -> None:
    assert waits(hanging, "/read/") < 1
    assert hanging.response.json()["cat"] == "Tom"


@both_ways
def test_saving_waits_twice_and_loses_nothing(hanging: Browser, is_async: bool) -> None:
    assert waits(hanging, "/set/dog/Rex/") < 2
    assert hanging.data()["dog"] == "Rex"


@both_ways
def test_signing_in_and_out_waits_and_works(hanging: Browser, is_async: bool) -> None:
    assert waits(hanging, "/login/alice/") < 3
    assert hanging.get("/whoami/").content == b"alice"
    assert waits(hanging, "/logout/") < 2
    assert hanging.get("/whoami/").content == b""


@both_ways
def test_revoking_waits_once_and_says_that_it_is_not_at_once(
    hanging: Browser, is_async: bool
) -> None:
    row = hanging.row
    start = time.monotonic()
    ended = registry.revoke(row)
    assert time.monotonic() - start < TIMEOUTS["SOCKET_TIMEOUT"] + SLACK
    assert (ended, ended.at_once) == (1, False)
    assert hanging.get("/whoami/").content == b""
