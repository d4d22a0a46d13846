"""Bytes that are not ours where the ``cache`` engine has its data, and the row's voucher."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from django_sessionkit import registry
from tests.browsers import both_ways
from tests.faults.damages import DAMAGES
from tests.faults.sites import signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LEASE = 60  # the tests are over before it

each_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


def keys(server: RedisServer, *besides: bytes) -> tuple[bytes, bytes]:
    """Return the keys of the data and of the voucher of the one session there is."""
    data, voucher = sorted(set(server.ask("KEYS", "*")) - set(besides), key=len)
    return data, voucher


@both_ways
@each_damage
def test_such_data_are_no_session_and_are_logged(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    is_async: bool,
) -> None:
    with site("cache", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        data, _ = keys(redis_server)
        redis_server.ask("SET", data, damage(redis_server.ask("GET", data)))
        caplog.clear()
        assert browser.data() == {}
        assert not browser.cookie_was_touched
        assert caplog.records[0].name == "django_sessionkit"
        assert caplog.records[0].levelno == logging.WARNING
        assert str(browser.session_key) not in caplog.text
        # Whoever signs in again is not hindered.
        browser.get("/login/alice/")
        assert browser.get("/whoami/").content == b"alice"


@both_ways
@each_damage
def test_such_a_voucher_is_passed_by_and_replaced(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    is_async: bool,
) -> None:
    with site("cache", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        _, voucher = keys(redis_server)
        redis_server.ask("SET", voucher, damage(redis_server.ask("GET", voucher)))
        assert browser.data()["cat"] == "Tom"
        # Logged, and gone: the next request makes another one.
        if "voucher" in caplog.text:
            assert redis_server.ask("GET", voucher) is None
        browser.data()
        assert redis_server.ask("GET", voucher)[:2] == b"M\x01"
        browser.get("/set/dog/Rex/")
        assert browser.data()["dog"] == "Rex"
        # The row is asked.
        registry.revoke(browser.row, owner=registry.ANY_OWNER)
        assert browser.get("/whoami/").content == b""


@both_ways
def test_data_and_voucher_of_another_session_are_not_believed(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server), LEASE):
        admin = signed_in("admin", is_async=is_async)
        admins = keys(redis_server)
        mallory = signed_in("mallory", is_async=is_async)
        for source, target in zip(admins, keys(redis_server, *admins), strict=True):
            redis_server.ask("COPY", source, target, "REPLACE")
        assert mallory.get("/whoami/").content == b""
        assert admin.get("/whoami/").content == b"admin"


@both_ways
def test_the_voucher_of_another_session_is_not_believed(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server), LEASE):
        admin = signed_in("admin", is_async=is_async)
        admins = keys(redis_server)
        mallory = signed_in("mallory", is_async=is_async)
        _, voucher = keys(redis_server, *admins)
        mallory.row.delete()
        redis_server.ask("COPY", admins[1], voucher, "REPLACE")
        assert mallory.get("/whoami/").content == b""
        assert admin.get("/whoami/").content == b"admin"


@both_ways
def test_data_from_before_a_login_are_not_believed_as_the_data_since(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server), LEASE):
        browser = signed_in(is_async=is_async)
        data, voucher = keys(redis_server)
        old = [redis_server.ask("GET", key) for key in (data, voucher)]
        browser.get("/login/alice/")
        for key, value in zip((data, voucher), old, strict=True):
            redis_server.ask("SET", key, value, "EX", LEASE)
        # The new key is good, by the row.
        assert browser.get("/whoami/").content == b"alice"
