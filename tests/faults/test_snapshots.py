"""Redis is started from a snapshot that is older than what happened since."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from django_sessionkit import registry
from django_sessionkit.models import Session
from django_sessionkit.storage.retired import KEPT_FOR
from tests.browsers import Browser, both_ways
from tests.faults.sites import LEASE, each_engine, signed_in, site
from tests.interleaving import replaced_earlier
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@both_ways
@each_engine
def test_a_session_that_was_revoked_since_is_refused_when_its_lease_ends(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        snapshot = redis_server.snapshot()
        taken = time.monotonic()
        registry.revoke(browser.row, owner=registry.ANY_OWNER)
        assert redis_server.ask("DBSIZE") == 0
        redis_server.restore(snapshot)
        assert redis_server.ask("DBSIZE")
        # Nothing that is stored through the old copy stays.
        browser.get("/set/dog/Rex/")
        time.sleep(max(0, taken + LEASE - time.monotonic()))
        assert browser.data() == {}
        assert not browser.cookie_was_touched


@both_ways
@each_engine
def test_a_key_that_was_replaced_since_opens_nothing(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        old_key = browser.session_key
        snapshot = redis_server.snapshot()
        taken = time.monotonic()
        replaced_earlier(KEPT_FOR)
        browser.get("/login/alice/")
        new_key = browser.session_key
        assert new_key != old_key
        redis_server.restore(snapshot)
        # What the old copy does not confirm is asked of the row: the new key is good at once.
        assert browser.get("/whoami/").content == b"alice"
        time.sleep(max(0, taken + LEASE - time.monotonic()))
        browser.session_key = str(old_key)
        assert browser.get("/whoami/").content == b""
        browser.session_key = str(new_key)
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_what_was_stored_in_the_row_since_is_not_lost(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        snapshot = redis_server.snapshot()
        browser.get("/set/cat/Kitty/")
        redis_server.restore(snapshot)
        # Merged: a save goes by the row's version.
        browser.get("/set/dog/Rex/")
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Kitty", "Rex")


@both_ways
def test_what_was_stored_in_the_cache_alone_is_as_old_as_the_snapshot(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        snapshot = redis_server.snapshot()
        browser.get("/set/cat/Kitty/")
        redis_server.restore(snapshot)
        assert browser.data()["cat"] == "Tom"
        browser.get("/set/dog/Rex/")
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Tom", "Rex")
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_a_login_that_is_younger_than_the_snapshot_is_forgotten_and_its_row_removed(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cache", single_cache(redis_server)):
        visitor = Browser(is_async=is_async)
        visitor.get("/set/cat/Tom/")
        old_key = visitor.session_key
        snapshot = redis_server.snapshot()
        User.objects.create_user("alice")
        visitor.get("/login/alice/")
        redis_server.restore(snapshot)
        # Data that are not there are a session that has ended.
        assert visitor.get("/whoami/").content == b""
        visitor.session_key = str(old_key)
        assert visitor.data() == {"cat": "Tom"}
        call_command("clearsessions")
        assert Session.objects.count() == 0
