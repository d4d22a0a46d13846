"""Bytes where the copy of a row should lie that are none of ours, or of another session."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.test import override_settings

from django_sessionkit.storage.retired import KEPT_FOR
from tests.browsers import both_ways
from tests.faults.damages import DAMAGES
from tests.faults.sites import signed_in, site
from tests.interleaving import replaced_earlier
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LEASE = 60  # the tests are over before it

each_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


def only_key(server: RedisServer) -> bytes:
    (key,) = server.ask("KEYS", "*")
    return bytes(key)


@both_ways
@each_damage
def test_they_are_treated_as_absent_logged_and_overwritten(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    is_async: bool,
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        key = only_key(redis_server)
        copy = redis_server.ask("GET", key)
        redis_server.ask("SET", key, damage(copy))
        caplog.clear()
        assert browser.data()["cat"] == "Tom"
        (record,) = (each for each in caplog.records if each.name == "django_sessionkit")
        assert record.levelno == logging.WARNING
        assert str(browser.session_key) not in caplog.text
        # Written anew, at another time.
        assert redis_server.ask("GET", key)[:10] == copy[:10]
        assert len(redis_server.ask("GET", key)) == len(copy)
        assert 0 < redis_server.ask("TTL", key) <= LEASE
        assert browser.get("/whoami/").content == b"alice"


@both_ways
@each_damage
def test_a_save_takes_them_away(
    redis_server: RedisServer, damage: Callable[[bytes], bytes], is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        key = only_key(redis_server)
        foreign = damage(redis_server.ask("GET", key))
        browser.get("/set/dog/Rex/", meanwhile=lambda: redis_server.ask("SET", key, foreign))
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Tom", "Rex")


@both_ways
def test_a_key_that_holds_no_string_is_overwritten(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        key = only_key(redis_server)
        redis_server.ask("DEL", key)
        redis_server.ask("LPUSH", key, "one", "two")
        assert browser.data()["cat"] == "Tom"
        assert redis_server.ask("TYPE", key) == b"string"


@both_ways
def test_a_ticket_that_nobody_comes_back_for_costs_queries_alone(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        redis_server.ask("SET", only_key(redis_server), b"T0123456789abcdef", "EX", LEASE)
        assert browser.data()["cat"] == "Tom"
        browser.get("/set/dog/Rex/")
        assert browser.data()["dog"] == "Rex"


@both_ways
def test_the_copy_of_another_session_is_not_believed(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        admin = signed_in("admin", is_async=is_async)
        admins_key = only_key(redis_server)
        mallory = signed_in("mallory", is_async=is_async)
        (own_key,) = set(redis_server.ask("KEYS", "*")) - {admins_key}
        redis_server.ask("COPY", admins_key, own_key, "REPLACE")
        assert mallory.get("/whoami/").content == b"mallory"
        assert admin.get("/whoami/").content == b"admin"


@both_ways
def test_the_copy_of_a_session_before_its_key_was_replaced_is_not_believed(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        key, old_key = only_key(redis_server), browser.session_key
        copy = redis_server.ask("GET", key)
        replaced_earlier(KEPT_FOR)
        browser.get("/login/alice/")
        new_key = browser.session_key
        assert new_key != old_key
        redis_server.ask("SET", key, copy, "EX", LEASE)
        # Whoever holds the new key is not put out by it.
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_copies_outlive_a_new_secret_key_of_the_site_only_as_long_as_it_knows_the_old_one(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), LEASE):
        with override_settings(SECRET_KEY="an older one"):
            browser = signed_in(is_async=is_async)
        caplog.clear()
        with override_settings(SECRET_KEY_FALLBACKS=["an older one"]):
            assert browser.data()["cat"] == "Tom"
            assert caplog.text == ""
        browser.data()
        assert "no copy" in caplog.text
