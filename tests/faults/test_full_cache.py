"""A Redis whose memory is full, and which evicts nothing: it can be read, and keys be deleted."""

from __future__ import annotations

import time

import pytest

from tests.browsers import both_ways
from tests.faults.sites import LEASE, signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def fill_up(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "1")


@both_ways
def test_what_was_saved_is_seen_at_once(redis_server: RedisServer, is_async: bool) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        fill_up(redis_server)
        browser.get("/set/cat/Kitty/")
        assert browser.data()["cat"] == "Kitty"
        assert redis_server.ask("DBSIZE") == 0  # no copy, rather than an old one


@both_ways
@pytest.mark.parametrize("kind", ["cached_db", "cache"])
def test_sessions_are_read_past_their_lease(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        fill_up(redis_server)
        for _ in range(2):
            time.sleep(LEASE)
            assert browser.data()["cat"] == "Tom"
            assert browser.get("/whoami/").text == "alice"
