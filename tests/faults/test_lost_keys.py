"""Redis loses what it holds, or takes no more."""

from __future__ import annotations

import time

import pytest

from django_sessionkit import registry
from tests.browsers import both_ways
from tests.faults.sites import LEASE, signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


@both_ways
def test_the_row_fills_the_cache_again(redis_server: RedisServer, is_async: bool) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        redis_server.ask("FLUSHALL")
        assert browser.data()["cat"] == "Tom"
        assert redis_server.ask("DBSIZE") == 1
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_what_is_stored_after_the_loss_is_there(redis_server: RedisServer, is_async: bool) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        browser.get("/set/dog/Rex/", meanwhile=lambda: redis_server.ask("FLUSHALL"))
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Tom", "Rex")


#: After these the server takes nothing more.
REFUSALS = {
    "out of memory": [("CONFIG", "SET", "maxmemory", "1")],
    "read only": [("REPLICAOF", "127.0.0.1", "1")],
    "password changed": [
        ("CONFIG", "SET", "requirepass", "changed"),
        ("CLIENT", "KILL", "TYPE", "normal"),
    ],
}


@both_ways
@pytest.mark.parametrize("commands", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_cache_that_refuses_is_passed_by(
    redis_server: RedisServer, commands: list[tuple[str, ...]], is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        with redis_server.client() as client:
            for command in commands:
                client.execute_command(*command)  # type: ignore[no-untyped-call]
        assert browser.get("/set/dog/Rex/").status_code == 200
        # Until then, a cache that can be read shows the copy from before.
        time.sleep(LEASE)
        assert browser.data()["dog"] == "Rex"
        assert browser.get("/set/dog/Max/").status_code == 200
        assert browser.data()["dog"] == "Max"
        # Somebody new gets in, and nobody stays in.
        newcomer = signed_in("bob", is_async=is_async)
        for each in (browser, newcomer):
            registry.revoke(each.row)
            assert each.get("/whoami/").content == b""
