"""Redis is started from a snapshot that is older than what happened since."""

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
def test_a_session_that_was_revoked_since_is_refused_when_its_lease_ends(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        snapshot = redis_server.snapshot()
        taken = time.monotonic()
        registry.revoke(browser.row)
        assert redis_server.ask("DBSIZE") == 0
        redis_server.restore(snapshot)
        assert redis_server.ask("DBSIZE") == 1
        # Nothing that is stored through the old copy stays.
        browser.get("/set/dog/Rex/")
        time.sleep(max(0, taken + LEASE - time.monotonic()))
        assert browser.data() == {}
        assert not browser.cookie_was_touched


@both_ways
def test_a_key_that_was_replaced_since_opens_nothing(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        old_key = browser.session_key
        snapshot = redis_server.snapshot()
        taken = time.monotonic()
        browser.get("/login/alice/")
        new_key = browser.session_key
        redis_server.restore(snapshot)
        # What the old copy does not confirm is asked of the row: the new key is good at once.
        assert browser.get("/whoami/").content == b"alice"
        time.sleep(max(0, taken + LEASE - time.monotonic()))
        browser.session_key = str(old_key)
        assert browser.get("/whoami/").content == b""
        browser.session_key = str(new_key)
        assert browser.get("/whoami/").content == b"alice"


@both_ways
def test_what_was_stored_since_is_not_lost(redis_server: RedisServer, is_async: bool) -> None:
    with site("cached_db", single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        snapshot = redis_server.snapshot()
        browser.get("/set/cat/Kitty/")
        redis_server.restore(snapshot)
        # Merged: a save goes by the row's version.
        browser.get("/set/dog/Rex/")
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Kitty", "Rex")
