"""What a cookie is believed for, and for how long."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.ending import Ended
from django_sessionkit.events import InForce
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from django_sessionkit.storage import claims, cookies
from django_sessionkit.storage.claims import now
from django_sessionkit.storage.retired import IN_FLIGHT, KEPT_FOR
from django_sessionkit.storage.revalidation import OVERLAP
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_tokens
from tests.interleaving import before_each_statement, replaced_earlier, saved, stored
from tests.ways_to_end import EACH, HERS, ONE, Act, People, each_way_to_end

pytestmark = [pytest.mark.django_db, with_tokens, pytest.mark.database]

LEASE = 60
SIGNED_IN = {"_auth_user_id": "1"}


@pytest.fixture
def browser(engine: Engine, is_async: bool) -> Browser:
    """A browser in which alice has just signed in."""
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    return browser


def age(browser: Browser, engine: Engine, seconds: float = LEASE + 1) -> None:
    """Let so many seconds pass for the browser and its session's row."""
    browser.session_key = engine.aged(browser.session_key or "", seconds)
    rows = Session.objects.filter(public_id=browser.public_id)
    rows.update(last_seen_at=timezone.now() - timedelta(seconds=seconds))


def _set_expiry(seconds: int, request: Any) -> None:
    request.session.set_expiry(seconds)


def verbs(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"].split()[0] for query in queries if "sessionkit" in query["sql"]]


@both_ways
def test_in_the_lease_neither_reading_nor_saving_asks_the_row(
    browser: Browser, engine: Engine
) -> None:
    age(browser, engine, LEASE - 5)
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/whoami/").text == "alice"
        assert not browser.cookie_was_touched
        browser.get("/set/cat/Tom/")
        assert browser.data()["cat"] == "Tom"
    assert verbs(queries) == []


@both_ways
def test_past_the_lease_the_row_is_asked_and_the_cookie_issued_anew(
    browser: Browser, engine: Engine
) -> None:
    age(browser, engine)
    old, before = browser.session_key or "", now()
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/whoami/").text == "alice"
    assert verbs(queries) == ["SELECT", "UPDATE"]
    new = browser.session_key or ""
    assert new != old
    was, renewed = engine.content(old), engine.content(new)
    assert before <= renewed.checked_at <= now()
    assert renewed == dataclasses.replace(was, checked_at=renewed.checked_at)
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/whoami/").text == "alice"
    assert verbs(queries) == []
    assert not browser.cookie_was_touched


@both_ways
def test_the_cookie_that_is_issued_anew_lives_as_long_as_the_session(
    browser: Browser, engine: Engine
) -> None:
    content = engine.content(browser.session_key or "")
    end = timezone.now() + timedelta(seconds=1000)
    Session.objects.update(expire_date=end)
    browser.session_key = engine.token(
        dataclasses.replace(content, expire_date=end, row_expire_date=end)
    )
    age(browser, engine)
    browser.get("/whoami/")
    cookie = browser.response.cookies["sessionid"]
    assert 990 <= cookie["max-age"] <= 1000
    assert cookie["httponly"]
    assert (cookie["path"], cookie["samesite"]) == ("/", "Lax")
    assert browser.response["Vary"] == "Cookie"
    assert abs(engine.content(cookie.value).expire_date - end) < timedelta(milliseconds=1)


@both_ways
def test_a_session_until_the_browser_closes_stays_one(browser: Browser, engine: Engine) -> None:
    views.acts["close"] = lambda request: request.session.set_expiry(0)
    browser.get("/do/close/")
    age(browser, engine)
    browser.get("/whoami/")
    cookie = browser.response.cookies["sessionid"]
    assert (cookie["max-age"], cookie["expires"]) == ("", "")


@both_ways
def test_what_was_changed_in_place_and_not_saved_is_not_in_the_new_cookie(
    browser: Browser, engine: Engine
) -> None:
    def act(request: Any) -> None:
        request.session["nested"]["list"].append("lost")

    views.acts["act"] = act
    views.acts["prepare"] = lambda request: request.session.update({"nested": {"list": []}})
    browser.get("/do/prepare/")
    age(browser, engine)
    browser.get("/do/act/")
    assert browser.cookie_was_touched
    assert browser.data()["nested"] == {"list": []}


@both_ways
def test_a_save_does_not_move_the_time_of_the_last_check(browser: Browser, engine: Engine) -> None:
    age(browser, engine, LEASE - 5)
    checked_at = engine.content(browser.session_key or "").checked_at
    browser.get("/set/cat/Tom/")
    assert engine.content(browser.session_key or "").checked_at == checked_at


@both_ways
def test_a_save_past_the_lease_asks_the_row_and_tells_it(browser: Browser, engine: Engine) -> None:
    age(browser, engine)
    with CaptureQueriesContext(connection) as queries:
        browser.get("/set/cat/Tom/")
    assert verbs(queries) == ["SELECT", "UPDATE"]
    content = engine.content(browser.session_key or "")
    assert now() - content.checked_at < 30_000_000
    assert content.row_expire_date == Session.objects.get().expire_date
    assert timezone.now() - Session.objects.get().last_seen_at < timedelta(seconds=30)


@both_ways
def test_a_check_in_the_future_is_not_believed(browser: Browser, engine: Engine) -> None:
    age(browser, engine, -LEASE)
    registry.revoke_everyone()
    assert browser.get("/whoami/").text == ""


@both_ways
def test_a_response_of_500_and_above_renews_nothing(browser: Browser, engine: Engine) -> None:
    age(browser, engine)
    browser.get("/fail/")
    assert not browser.cookie_was_touched


@each_way_to_end
def test_a_cookie_copied_before_the_end_is_refused_when_its_lease_is_over(
    engine: Engine, is_async: bool, act: Act, names: list[str]
) -> None:
    people = People(engine, is_async=is_async)
    copies = [browser.session_key or "" for browser in people.browsers]
    act(people)
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=LEASE + 1))
    for copy, name in zip(copies, names, strict=True):
        thief = Browser(is_async=is_async, session_key=engine.aged(copy))
        assert thief.get("/whoami/").text == name
        assert thief.cookie_was_touched is bool(name)


@both_ways
@pytest.mark.parametrize("way", ["revoke", "user deleted", "deactivation", "password"])
def test_django_itself_refuses_at_once_whose_user_is_not_the_same_any_more(
    engine: Engine, is_async: bool, way: str
) -> None:
    people = People(engine, is_async=is_async)
    act, names = EACH[way]
    act(people)
    assert people.names() == (["alice", "alice", "alice", "bob"] if names == ONE else HERS)


@both_ways
def test_the_old_cookie_is_refused_after_a_login_as_the_same_user(
    browser: Browser, engine: Engine
) -> None:
    old = browser.session_key or ""
    replaced_earlier(KEPT_FOR)
    browser.get("/login/alice/")
    thief = Browser(is_async=browser.is_async, session_key=engine.aged(old))
    assert thief.get("/whoami/").text == ""
    assert not thief.cookie_was_touched
    assert browser.get("/whoami/").text == "alice"


@both_ways
def test_an_older_cookie_does_not_outlive_an_end_that_was_set_since(
    browser: Browser, engine: Engine
) -> None:
    old = browser.session_key or ""
    views.acts["shorten"] = lambda request: request.session.set_expiry(100)
    browser.get("/do/shorten/")
    end = Session.objects.get().expire_date
    assert end < timezone.now() + timedelta(seconds=101)
    thief = Browser(is_async=browser.is_async, session_key=old)
    age(thief, engine)
    assert thief.get("/whoami/").text == "alice"
    assert engine.content(thief.session_key or "").expire_date == end
    for value in ("Tom", "Felix"):
        # However often it saves: it may not have known of that end before.
        thief.get(f"/set/cat/{value}/")
        assert engine.content(thief.session_key or "").expire_date == end
        assert Session.objects.get().expire_date == end
        age(thief, engine)
    Session.objects.update(expire_date=timezone.now())
    assert thief.get("/whoami/").text == ""


@both_ways
@pytest.mark.parametrize("ended", ["by another request", "by hand"])
def test_a_save_in_the_lease_does_not_bring_back_a_session_whose_end_was_set_since(
    browser: Browser, engine: Engine, ended: str
) -> None:
    # So that the save has something to write: the end has moved by an hour.
    content = engine.content(browser.session_key or "")
    end = content.expire_date - timedelta(hours=1)
    Session.objects.update(expire_date=end)
    browser.session_key = engine.token(
        dataclasses.replace(content, expire_date=end, row_expire_date=end)
    )
    old = browser.session_key
    if ended == "by hand":
        Session.objects.update(expire_date=timezone.now())
    else:
        views.acts["end"] = lambda request: request.session.set_expiry(-1)
        browser.get("/do/end/")
    copy = Browser(is_async=browser.is_async, session_key=old)
    copy.get("/set/cat/Tom/")
    assert not copy.cookie_was_touched
    assert not Session.objects.active().exists()
    copy.session_key = engine.aged(old or "")
    assert copy.get("/whoami/").text == ""


@both_ways
def test_of_an_end_set_by_two_requests_the_earlier_holds(browser: Browser, engine: Engine) -> None:
    other = Browser(is_async=browser.is_async, session_key=browser.session_key)
    for who, seconds in ((browser, 5000), (other, 500)):
        views.acts["end"] = partial(_set_expiry, seconds)
        who.get("/do/end/")
    assert Session.objects.get().expire_date < timezone.now() + timedelta(seconds=501)
    age(browser, engine)
    browser.get("/whoami/")
    content = engine.content(browser.session_key or "")
    assert content.expire_date == Session.objects.get().expire_date


@both_ways
def test_the_latest_cookie_is_issued_anew_as_soon_as_it_is_not_believed(
    browser: Browser, engine: Engine
) -> None:
    # Others believe it for whole seconds; the row was seen a little later than it was asked.
    checked_at = (now() // 1_000_000 - LEASE) * 1_000_000 + 900_000
    content = engine.content(browser.session_key or "")
    browser.session_key = engine.token(dataclasses.replace(content, checked_at=checked_at))
    Session.objects.update(last_seen_at=claims.moment_of(checked_at))
    browser.get("/whoami/")
    assert browser.cookie_was_touched
    renewed = engine.content(browser.session_key or "")
    assert Session.objects.get().last_seen_at == claims.moment_of(renewed.checked_at)


@both_ways
def test_of_readers_side_by_side_one_alone_gets_a_new_cookie(
    browser: Browser, engine: Engine
) -> None:
    age(browser, engine)
    others = [Browser(is_async=browser.is_async, session_key=browser.session_key) for _ in "123"]

    def meanwhile() -> None:
        for other in others:
            assert other.get("/whoami/").text == "alice"

    browser.get("/whoami/", meanwhile=meanwhile)
    touched = [one.cookie_was_touched for one in (browser, *others)]
    assert touched == [False, True, False, False]
    # The response that carried it was lost.
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=OVERLAP))
    browser.get("/whoami/")
    assert browser.cookie_was_touched


@both_ways
def test_a_save_past_the_lease_keeps_readers_from_putting_the_data_of_before_back(
    browser: Browser, engine: Engine
) -> None:
    age(browser, engine)
    reader = Browser(is_async=browser.is_async, session_key=browser.session_key)
    reader.get("/read/", meanwhile=lambda: browser.get("/set/cat/Tom/"))
    assert not reader.cookie_was_touched


@both_ways
def test_a_response_for_everybody_carries_no_new_cookie(browser: Browser, engine: Engine) -> None:
    def act(request: Any) -> HttpResponse:
        return HttpResponse(
            request.session["_auth_user_id"], headers={"Cache-Control": "max-age=9, Public"}
        )

    views.acts["act"] = act
    age(browser, engine)
    browser.get("/do/act/")
    assert not browser.cookie_was_touched


@both_ways
def test_a_cookie_that_nobody_asks_about_is_not_opened(
    browser: Browser, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    browser.session_key = "no token of ours"
    with caplog.at_level(logging.INFO, "django.security.SuspiciousSession"):
        browser.get("/untouched/")
        assert not caplog.records
        browser.get("/read/")
        assert len(caplog.records) == 1


@both_ways
def test_a_lease_that_ends_while_the_session_is_loaded_is_no_error(
    browser: Browser, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = engine.content(browser.session_key or "")
    edge = content.believed_until(LEASE) * 1_000_000
    times = iter([edge - 1])
    monkeypatch.setattr(cookies, "now", lambda: next(times, edge + 1))
    assert browser.get("/whoami/").text == "alice"


@both_ways
@pytest.mark.parametrize("then", ["logout", "login/alice"])
def test_a_save_makes_a_cookie_no_less_believed(
    browser: Browser, engine: Engine, then: str
) -> None:
    def act(request: Any) -> None:
        request.session["cat"] = "Tom"
        request.session.save()
        if then == "logout":
            logout(request)
        else:
            views.sign_in(request, "alice")

    registry.revoke(browser.public_id, owner=registry.ANY_OWNER)
    views.acts["act"] = act
    browser.get("/do/act/")
    if then == "logout":
        assert browser.cookie_was_deleted
    else:
        age(browser, engine)
        assert browser.get("/whoami/").text == "alice"


@both_ways
@pytest.mark.parametrize("end", ["revoked", "logged out in another tab"])
def test_a_response_in_flight_brings_a_session_back_for_one_lease_at_most(
    browser: Browser, engine: Engine, end: str
) -> None:
    def meanwhile() -> None:
        if end == "revoked":
            registry.revoke(browser.public_id, owner=registry.ANY_OWNER)
        else:
            other = Browser(is_async=browser.is_async, session_key=browser.session_key)
            other.get("/logout/")
            assert other.cookie_was_deleted

    checked_at = engine.content(browser.session_key or "").checked_at
    browser.get("/set/cat/Tom/", meanwhile=meanwhile)
    assert browser.get("/whoami/").text == "alice"
    assert engine.content(browser.session_key or "").checked_at == checked_at
    assert not Session.objects.exists()
    age(browser, engine)
    assert browser.get("/whoami/").text == ""
    assert not browser.cookie_was_touched
    with override_settings(SESSIONKIT_LEASE=0):
        browser.get("/login/alice/")
        browser.get("/set/cat/Tom/", meanwhile=meanwhile)
        assert browser.get("/whoami/").text == ""


@both_ways
def test_a_logout_deletes_the_cookie_of_a_session_that_was_revoked(browser: Browser) -> None:
    registry.revoke(browser.public_id, owner=registry.ANY_OWNER)
    browser.get("/logout/")
    assert browser.cookie_was_deleted


@both_ways
def test_a_logout_in_flight_ends_the_session_whatever_its_key_is_by_then(browser: Browser) -> None:
    replaced_earlier(KEPT_FOR)
    other = Browser(is_async=browser.is_async, session_key=browser.session_key)
    browser.get("/logout/", meanwhile=lambda: other.get("/login/alice/"))
    assert other.cookie_was_touched
    assert browser.cookie_was_deleted
    assert not Session.objects.exists()


@both_ways
@pytest.mark.parametrize("has_ended", ["revoked", "under another key"])
def test_whoever_signs_in_while_a_dead_cookie_is_still_believed_gets_a_session(
    browser: Browser, engine: Engine, has_ended: str
) -> None:
    public_id = browser.public_id
    if has_ended == "revoked":
        registry.revoke(public_id, owner=registry.ANY_OWNER)
    else:
        replaced_earlier(KEPT_FOR)
        Browser(is_async=browser.is_async, session_key=browser.session_key).get("/login/alice/")
        replaced_earlier(IN_FLIGHT + timedelta(seconds=1))
    assert browser.get("/whoami/").text == "alice"
    browser.get("/login/alice/")
    assert browser.public_id != public_id
    assert Session.objects.filter(public_id=browser.public_id).exists()
    age(browser, engine)
    assert browser.get("/whoami/").text == "alice"


@both_ways
@pytest.mark.django_db(transaction=True)
def test_what_was_read_in_a_transaction_is_asked_again_before_the_cookie_says_so(
    browser: Browser, engine: Engine
) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            assert request.session["_auth_user_id"]

    views.acts["act"] = act
    age(browser, engine)
    with CaptureQueriesContext(connection) as queries:
        browser.get("/do/act/")
    assert verbs(queries) == ["SELECT", "SELECT", "UPDATE"]
    assert browser.cookie_was_touched
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/whoami/").text == "alice"
    assert verbs(queries) == []


@both_ways
@pytest.mark.django_db(transaction=True)
def test_what_was_revoked_after_a_transaction_had_read_it_gets_no_new_cookie(
    browser: Browser, engine: Engine
) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            assert request.session["_auth_user_id"]

    def revoke_second(number: int, verb: str) -> None:
        if number == 2:
            registry.revoke_everyone()

    views.acts["act"] = act
    age(browser, engine)
    with before_each_statement(revoke_second):
        browser.get("/do/act/")
    assert not browser.cookie_was_touched
    assert browser.get("/whoami/").text == ""


# What a transaction has read is asked again, also where the row itself is not due.


def read_in_transaction(engine: Engine, *, is_saved: bool = False) -> Any:
    """Return a store that has read a token past its lease, of a row that was seen 30 s ago."""
    store = engine.store(engine.aged(saved(**SIGNED_IN)))
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=30))
    with transaction.atomic():
        assert store["_auth_user_id"] == "1"
        if is_saved:
            store["cat"] = "Tom"
            store.save()
    return store


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_saved", [False, True], ids=["read", "saved"])
def test_the_cookie_of_what_a_transaction_has_read_is_issued_anew(
    engine: Engine, is_saved: bool
) -> None:
    start = now()
    store = read_in_transaction(engine, is_saved=is_saved)
    if is_saved:
        assert engine.content(store.session_key).checked_at < start
    assert store.lease_has_run_out()
    assert store.renew_lease()
    assert engine.content(store.session_key).checked_at >= start
    assert stored(store.session_key) == SIGNED_IN | ({"cat": "Tom"} if is_saved else {})


@pytest.mark.django_db(transaction=True)
def test_what_was_revoked_after_a_transaction_had_read_it_is_not_saved(engine: Engine) -> None:
    store = read_in_transaction(engine)
    registry.revoke_everyone()
    store["cat"] = "Tom"
    with pytest.raises(SessionGone):
        store.save()


@pytest.mark.django_db(transaction=True)
def test_whom_the_view_takes_out_of_the_data_was_signed_in_when_they_were_read(
    engine: Engine,
) -> None:
    store = read_in_transaction(engine)
    del store["_auth_user_id"]
    store["cat"] = "Tom"
    store.save()
    assert Session.objects.get().user is None
    assert stored(engine.aged(store.session_key)) == {"cat": "Tom"}


@pytest.mark.django_db(transaction=True)
def test_a_key_that_no_browser_has_is_not_the_retired_one(engine: Engine) -> None:
    session_key = engine.aged(saved(**SIGNED_IN))
    store = engine.store(session_key)
    with transaction.atomic():
        store.cycle_key()
        store.save()
    store.cycle_key()
    store.save()
    # A request in flight with the key that the browser had before.
    late = engine.store(session_key)
    assert dict(late.items()) == {}
    assert late.is_retired


@both_ways
def test_a_database_that_fails_at_the_renewal_loses_no_response(
    browser: Browser, engine: Engine
) -> None:
    def fail(number: int, verb: str) -> None:
        if verb == "UPDATE":
            raise DatabaseError("the disk is full")

    age(browser, engine)
    with before_each_statement(fail):
        assert browser.data()["_auth_user_id"]
    assert browser.get("/whoami/").text == "alice"


def test_what_ended_is_told_to_be_refused_within_the_lease(engine: Engine) -> None:
    people = People(engine)
    assert (
        registry.revoke(people.first.public_id, owner=registry.ANY_OWNER).in_force
        is InForce.WITHIN_LEASE
    )
    assert registry.revoke_user(people.alice).in_force is InForce.WITHIN_LEASE
    assert registry.revoke_user(people.alice) == Ended(0, InForce.NOW)
    with override_settings(SESSIONKIT_LEASE=0):
        assert registry.revoke_everyone().in_force is InForce.NOW


def test_what_a_transaction_ends_is_told_to_be_refused_within_the_lease_after_the_commit(
    engine: Engine,
) -> None:
    people, told = People(engine), list[InForce]()
    with transaction.atomic():
        ended = registry.revoke_user(people.alice)
        assert ended == Ended(3, InForce.ON_COMMIT)
        ended.on_commit(told.append)
        assert told == []
    assert told == [InForce.WITHIN_LEASE]
