"""Who was last seen when and where: written once a lease, with the response."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit.models import Session
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_engines
from tests.interleaving import before_each_statement, elsewhere

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("engine"),
    with_engines(lambda engine: engine.lease is None),
    pytest.mark.database,
]

LONG_AGO = timedelta(hours=1)
FIREFOX = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
    "x-forwarded-for": "192.0.2.7",
}
behind_a_proxy = override_settings(SESSIONKIT_TRUSTED_PROXY_COUNT=1)


@pytest.fixture
def browser(engine: Engine, is_async: bool) -> Browser:
    return unseen(engine, is_async=is_async)


def unseen(engine: Engine, *, is_async: bool = False) -> Browser:
    """Return a browser whose session was last seen an hour ago, and has not been copied yet."""
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    Session.objects.update(last_seen_at=timezone.now() - LONG_AGO)
    if engine.key_is_token:
        browser.session_key = engine.aged(browser.session_key or "", LONG_AGO.total_seconds())
    return browser


def seen() -> timedelta:
    """Return how long ago the session was last seen."""
    return timezone.now() - Session.objects.get().last_seen_at


def verbs(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"].split()[0] for query in queries if "sessionkit" in query["sql"]]


@both_ways
def test_reading_moves_last_seen_at_once_a_lease(browser: Browser, engine: Engine) -> None:
    with CaptureQueriesContext(connection) as queries:
        browser.data()
    assert verbs(queries) == ["SELECT", "UPDATE"]
    assert seen() < LONG_AGO / 2
    before = Session.objects.get().last_seen_at
    with CaptureQueriesContext(connection) as queries:
        browser.data()
        browser.get("/whoami/")
    assert verbs(queries) == engine.costs("load in the lease", "load in the lease")
    assert Session.objects.get().last_seen_at == before
    assert not browser.cookie_was_touched


@both_ways
def test_the_lease_is_the_settings(browser: Browser) -> None:
    with override_settings(SESSIONKIT_LEASE=2 * 3600):
        browser.data()
    assert seen() >= LONG_AGO
    with override_settings(SESSIONKIT_LEASE=0):
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                browser.data()
            assert verbs(queries) == ["SELECT", "UPDATE"]


@both_ways
def test_moving_it_changes_neither_data_nor_version_nor_end(browser: Browser) -> None:
    before = Session.objects.get()
    browser.data()
    after = Session.objects.get()
    assert (after.data, after.version, after.expire_date, after.secret_hash) == (
        before.data,
        before.version,
        before.expire_date,
        before.secret_hash,
    )


@both_ways
def test_a_save_past_the_lease_moves_it_too_in_the_same_statement(browser: Browser) -> None:
    with CaptureQueriesContext(connection) as queries:
        browser.get("/set/key/x/")
    assert verbs(queries) == ["SELECT", "UPDATE"]
    assert seen() < LONG_AGO / 2


@both_ways
def test_a_save_in_the_lease_is_at_most_one_statement(browser: Browser, engine: Engine) -> None:
    browser.data()
    with CaptureQueriesContext(connection) as queries:
        browser.get("/set/key/x/")
    assert verbs(queries) == engine.costs("load in the lease", "save")


@both_ways
def test_a_request_that_leaves_the_session_alone_is_not_seen(browser: Browser) -> None:
    browser.get("/untouched/")
    assert seen() >= LONG_AGO


@both_ways
def test_a_response_of_500_and_above_moves_nothing(browser: Browser) -> None:
    browser.get("/fail/")
    assert seen() >= LONG_AGO


@both_ways
@behind_a_proxy
def test_the_client_is_that_of_the_last_lease_or_save(browser: Browser, engine: Engine) -> None:
    assert Session.objects.get().ip_address == "127.0.0.1"
    browser.get("/read/", headers=FIREFOX)
    row = Session.objects.get()
    assert row.ip_address == "192.0.2.7"
    assert row.user_agent.endswith("Firefox/140.0")
    with override_settings(SESSIONKIT_LEASE=engine.lease_of_saves):
        browser.get("/set/key/x/")
    row = Session.objects.get()
    assert row.ip_address == "127.0.0.1"
    assert row.user_agent == ""


@both_ways
@behind_a_proxy
def test_another_client_is_no_reason_to_write(browser: Browser, engine: Engine) -> None:
    browser.data()
    with CaptureQueriesContext(connection) as queries:
        browser.get("/read/", headers=FIREFOX)
    assert verbs(queries) == engine.costs("load in the lease")
    assert Session.objects.get().ip_address == "127.0.0.1"


@both_ways
def test_it_moves_after_the_view_has_returned(browser: Browser) -> None:
    ages = []
    browser.get("/read/", meanwhile=lambda: ages.append(seen()))
    assert ages[0] >= LONG_AGO
    assert seen() < LONG_AGO / 2


@both_ways
def test_of_two_overlapping_requests_one_alone_moves_it(browser: Browser) -> None:
    other = Browser(is_async=browser.is_async, session_key=browser.session_key)
    moments = [Session.objects.get().last_seen_at]

    def overlap() -> None:
        other.data()
        moments.append(Session.objects.get().last_seen_at)

    browser.get("/read/", meanwhile=overlap)
    assert seen() < LONG_AGO / 2
    moments.append(Session.objects.get().last_seen_at)
    assert len(set(moments)) == 2


@both_ways
def test_a_database_that_fails_to_write_it_costs_no_response(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(number: int, verb: str) -> None:
        if verb == "UPDATE":
            raise OperationalError("the disk is full")

    with before_each_statement(fail):
        assert browser.get("/whoami/").text == "alice"
    assert "Could not renew the lease" in caplog.text
    assert browser.session_key is not None
    assert browser.session_key not in caplog.text
    assert browser.secret not in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/read/", "/whoami/", "/untouched/", "/set/key/x/"])
@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction reads"
)
def test_a_view_in_a_transaction_holds_no_lock_on_the_session(engine: Engine, path: str) -> None:
    browser = unseen(engine)

    def write_elsewhere() -> None:
        assert connection.in_atomic_block
        assert elsewhere(lambda: Session.objects.update(user_agent="elsewhere")) == 1

    with mock.patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True):
        assert browser.get(path, meanwhile=write_elsewhere).status_code == 200
    assert (seen() < LONG_AGO / 2) is (path != "/untouched/")


@pytest.mark.django_db(transaction=True)
def test_a_view_in_a_transaction_that_is_rolled_back_is_seen_all_the_same(engine: Engine) -> None:
    browser = unseen(engine)
    states: list[bool] = []

    def note(number: int, verb: str) -> None:
        if verb == "UPDATE":
            states.append(connection.in_atomic_block)

    with (
        mock.patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True),
        before_each_statement(note),
    ):
        browser.get("/read/")
        with override_settings(SESSIONKIT_LEASE=engine.lease_of_saves):
            browser.get("/set/key/x/")
    assert states == [False, False]
    assert seen() < LONG_AGO / 2
