"""What is revoked while Redis is down is reported so, and refused a lease after it is back."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.signals import session_ended
from tests.browsers import Browser
from tests.faults.sites import LEASE, each_engine, signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WAYS = {
    "one": lambda browser: registry.revoke(browser.row, owner=registry.ANY_OWNER),
    "one, async": lambda browser: async_to_sync(registry.arevoke)(
        browser.row, owner=registry.ANY_OWNER
    ),
    "some": lambda browser: registry.revoke_sessions([browser.row], owner=registry.ANY_OWNER),
    "a user's": lambda browser: registry.revoke_user(User.objects.get()),
    "everyone's": lambda browser: registry.revoke_everyone(),
}
each_way = pytest.mark.parametrize("revoke", WAYS.values(), ids=WAYS.keys())


def is_in(browser: Browser) -> bool:
    """Whether a request with the browser's cookie is the user's."""
    response = browser.get("/whoami/")
    assert not browser.cookie_was_touched
    return bool(response.content == b"alice")


@each_engine
@each_way
def test_it_is_reported_and_holds_a_lease_after_the_cache_is_back(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    revoke: Any,
    kind: str,
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in()
        redis_server.kill()
        caplog.clear()
        ended = revoke(browser)
        assert (ended.count, ended.in_force) == (1, InForce.WITHIN_LEASE)
        (record,) = (each for each in caplog.records if each.name == "django_sessionkit")
        assert record.levelno == logging.ERROR
        assert str(browser.session_key) not in caplog.text
        assert not is_in(browser)
        redis_server.start()
        # It is still there, with its lease.
        assert redis_server.ask("DBSIZE")
        time.sleep(LEASE)
        assert not is_in(browser)


@each_engine
def test_what_a_transaction_could_not_return_is_told_after_its_commit(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    told: list[bool | None] = []
    outcomes: list[InForce] = []

    def listen(at_once: bool | None, **kwargs: Any) -> None:
        told.append(at_once)

    session_ended.connect(listen)
    try:
        with site(kind, single_cache(redis_server)):
            browser = signed_in()
            redis_server.kill()
            with transaction.atomic():
                ended = registry.revoke(browser.row, owner=registry.ANY_OWNER)
                assert (ended.count, ended.in_force) == (1, InForce.ON_COMMIT)
                ended.on_commit(outcomes.append)
            assert told == [False]
            assert outcomes == [InForce.WITHIN_LEASE]
            assert "did not answer" in caplog.text
            assert not is_in(browser)
    finally:
        session_ended.disconnect(listen)


@each_engine
def test_what_is_revoked_with_the_cache_up_is_reported_as_refused_at_once(
    redis_server: RedisServer, kind: str
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in()
        ended = registry.revoke(browser.row, owner=registry.ANY_OWNER)
        assert (ended.count, ended.in_force) == (1, InForce.NOW)
        assert not is_in(browser)
