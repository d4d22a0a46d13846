"""Redis loses what it holds, or takes no more."""

from __future__ import annotations

import time

import pytest
from django.core.management import call_command

from django_sessionkit import registry
from django_sessionkit.models import Session
from tests.browsers import both_ways
from tests.faults.sites import LEASE, signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


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


@both_ways
def test_without_a_row_of_the_data_the_session_ends_cleanly(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        other = signed_in("bob", is_async=is_async)
        redis_server.ask("FLUSHALL")
        other.get("/login/bob/")
        for path in ("/read/", "/whoami/"):
            assert browser.get(path).status_code == 200
            assert not browser.cookie_was_touched
        assert browser.get("/whoami/").content == b""
        assert Session.objects.count() == 3
        call_command("clearsessions")
        assert [str(row.user) for row in Session.objects.all()] == ["bob"]
        assert other.get("/whoami/").content == b"bob"
        browser.get("/login/alice/")
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_what_a_request_in_flight_stores_revives_no_session_whose_data_are_lost(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        response = browser.get("/set/dog/Rex/", meanwhile=lambda: redis_server.ask("FLUSHALL"))
        assert response.status_code == 200
        assert not browser.cookie_was_touched
        assert browser.data() == {}
        assert redis_server.ask("DBSIZE") == 0


def test_clearsessions_removes_no_row_while_the_cache_is_down(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in()
        redis_server.kill()
        call_command("clearsessions")
        assert "were not looked for" in caplog.text
        redis_server.start()
        assert browser.get("/whoami/").content == b"alice"


#: After these the server takes nothing more, until it starts again.
REFUSALS = {
    "out of memory": [("CONFIG", "SET", "maxmemory", "1")],
    "read only": [("REPLICAOF", "127.0.0.1", "1")],
    "password changed": [
        ("CONFIG", "SET", "requirepass", "changed"),
        ("CLIENT", "KILL", "TYPE", "normal"),
    ],
}
each_refusal = pytest.mark.parametrize("commands", REFUSALS.values(), ids=REFUSALS.keys())


def make_refuse(server: RedisServer, commands: list[tuple[str, ...]]) -> None:
    with server.client() as client:
        for command in commands:
            client.execute_command(*command)  # type: ignore[no-untyped-call]


@both_ways
@each_refusal
def test_a_cache_that_refuses_is_passed_by(
    redis_server: RedisServer, commands: list[tuple[str, ...]], is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        make_refuse(redis_server, commands)
        assert browser.get("/set/dog/Rex/").status_code == 200
        # Until then, a cache that can be read shows the copy from before.
        time.sleep(LEASE)
        assert browser.data()["dog"] == "Rex"
        assert browser.get("/set/dog/Max/").status_code == 200
        assert browser.data()["dog"] == "Max"
        # Somebody new gets in, and nobody stays in.
        newcomer = signed_in("bob", is_async=is_async)
        for each in (browser, newcomer):
            registry.revoke(each.row, owner=registry.ANY_OWNER)
            assert each.get("/whoami/").content == b""


@both_ways
@each_refusal
def test_with_the_data_in_a_cache_that_refuses_nobody_is_forgotten(
    redis_server: RedisServer, commands: list[tuple[str, ...]], is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        make_refuse(redis_server, commands)
        assert browser.get("/set/dog/Rex/").status_code == 503
        assert not browser.cookie_was_touched
        redis_server.kill()
        redis_server.start()
        data = browser.data()
        assert (data["cat"], "dog" in data) == ("Tom", False)
        assert browser.get("/whoami/").content == b"alice"
