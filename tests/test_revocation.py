"""A session that is revoked while requests use it never comes back, and no request fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import connections, transaction
from django.test import override_settings

from django_sessionkit import registry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_data_in_rows
from tests.interleaving import before_each_statement, save, saved, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.database]

SIGNED_IN = {"_auth_user_id": "1", "one": 1}  # so that every engine has a row
LOGGER = "django.security.SessionInterrupted"

WAYS: dict[str, Callable[[], object]] = {
    "revoke": lambda: registry.revoke(Session.objects.get(), owner=registry.ANY_OWNER),
    "arevoke": lambda: async_to_sync(registry.arevoke)(
        Session.objects.get(), owner=registry.ANY_OWNER
    ),
    "revoke by public id": lambda: registry.revoke(
        str(Session.objects.get().public_id), owner=registry.ANY_OWNER
    ),
    "revoke everyone": registry.revoke_everyone,
    "queryset": lambda: Session.objects.all().delete(),
    "instance": lambda: Session.objects.get().delete(),
    "user deleted": lambda: User.objects.all().delete(),
}
#: How a session is revoked has nothing to do with how requests of it are answered.
each_way = pytest.mark.parametrize(
    ("revoke", "is_async"),
    [
        *(pytest.param(way, False, id=name) for name, way in WAYS.items()),
        pytest.param(WAYS["revoke"], True, id="async", marks=pytest.mark.slow),
    ],
)

PATHS = ["/set/key/x/", "/pop/start/", "/append/nested/x/"]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def browser(alice: User, is_async: bool) -> Browser:
    """A browser in which alice has signed in, and whose session has been read since."""
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.session_key = save(browser.session_key or "", start=0, nested={"list": []})
    browser.data()
    return browser


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER and record.levelno == logging.WARNING
    ]


@each_way
@pytest.mark.parametrize("path", PATHS)
def test_a_request_whose_session_is_revoked_while_it_runs_is_answered_and_stores_nothing(
    browser: Browser, revoke: Callable[[], object], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    session_key, secret, public_id = browser.session_key, browser.secret, browser.row.public_id
    assert session_key
    response = browser.get(path, meanwhile=revoke)
    assert response.status_code == 200
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()
    (message,) = warnings(caplog)
    assert str(public_id) in message
    assert session_key not in caplog.text
    assert secret not in caplog.text
    assert browser.get("/whoami/").text == ""
    assert not Session.objects.exists()


@each_way
def test_a_request_that_only_reads_is_answered_as_if_nothing_had_happened(
    browser: Browser, revoke: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(SESSIONKIT_LEASE=0):
        assert browser.get("/whoami/", meanwhile=revoke).text == "alice"
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()
    assert not warnings(caplog)


@each_way
def test_the_next_request_of_a_revoked_session_is_anonymous_and_leaves_the_cookie(
    browser: Browser, revoke: Callable[[], object]
) -> None:
    revoke()
    assert browser.get("/whoami/").text == ""
    assert not browser.cookie_was_touched
    assert browser.data() == {}
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()


@both_ways
def test_a_revoked_browser_that_stores_something_gets_a_new_session(browser: Browser) -> None:
    before, old_key = browser.public_id, browser.session_key
    registry.revoke(before, owner=registry.ANY_OWNER)
    browser.get("/set/key/x/")
    assert browser.session_key != old_key
    assert browser.public_id != before
    assert browser.data() == {"key": "x"}


@both_ways
def test_with_every_request_saved_a_revoked_one_is_answered_too(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        response = browser.get("/whoami/", meanwhile=registry.revoke_everyone)
        assert response.text == "alice"
        assert not browser.cookie_was_touched
        assert len(warnings(caplog)) == 1
        assert browser.get("/whoami/").text == ""
        assert not browser.cookie_was_touched
    assert not Session.objects.exists()


@both_ways
@pytest.mark.parametrize("path", ["/login/alice/", "/login-and-wait/alice/"])
def test_signing_in_again_starts_another_session_than_the_one_that_was_revoked_meanwhile(
    browser: Browser, path: str
) -> None:
    old, public_id = browser.session_key, browser.public_id
    assert browser.get(path, meanwhile=registry.revoke_everyone).status_code == 200
    assert browser.get("/whoami/").text == "alice"
    assert Session.objects.get().public_id == browser.public_id != public_id
    assert Browser(is_async=browser.is_async, session_key=old).get("/whoami/").text == ""


@both_ways
def test_another_user_who_signs_in_over_a_session_revoked_meanwhile_gets_a_new_one(
    browser: Browser,
) -> None:
    User.objects.create_user("bob")
    old_key = browser.session_key
    browser.get("/login/bob/", meanwhile=registry.revoke_everyone)
    assert browser.session_key != old_key
    assert browser.get("/whoami/").text == "bob"
    assert "start" not in browser.data()
    assert Session.objects.count() == 1


@both_ways
def test_signing_out_of_a_session_revoked_meanwhile_works(browser: Browser) -> None:
    assert browser.get("/logout/", meanwhile=registry.revoke_everyone).status_code == 200
    assert not Session.objects.exists()
    assert browser.get("/whoami/").text == ""


@both_ways
def test_a_visitor_revoked_while_signing_in_is_signed_in_with_a_new_session(
    alice: User, is_async: bool
) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/set/cart/x/")
    before = browser.public_id
    browser.get("/login/alice/", meanwhile=registry.revoke_everyone)
    assert browser.get("/whoami/").text == "alice"
    assert browser.row.public_id != before
    assert browser.data()["cart"] == "x"


@with_data_in_rows
@pytest.mark.parametrize("revoke", [WAYS["revoke"], WAYS["queryset"]], ids=["revoke", "queryset"])
@pytest.mark.parametrize("statement", range(1, 7))
@pytest.mark.parametrize("rivals", range(4))
def test_a_session_revoked_before_any_statement_of_a_save_stays_gone(
    engine: Engine, revoke: Callable[[], object], statement: int, rivals: int
) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    updates, is_revoked, is_saved = 0, False, True

    def rival(number: int, verb: str) -> None:
        nonlocal updates, is_revoked
        updates += verb == "UPDATE"
        if number == statement:
            revoke()
            is_revoked = True
        elif verb == "UPDATE" and updates <= rivals and not is_revoked:
            save(session_key, **{f"rival{updates}": 1})

    with before_each_statement(rival):
        try:
            session.save()
        except UpdateError:
            is_saved = False
    assert is_saved is not is_revoked
    assert stored(session_key).get("mine") == ("x" if is_saved else None)
    assert Session.objects.exists() is is_saved


@pytest.mark.django_db(transaction=True)
@with_data_in_rows
@pytest.mark.parametrize("statement", [7, 8, 9])
def test_a_session_revoked_around_the_locking_path_of_a_save_stays_gone(
    engine: Engine, statement: int
) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    revoker = threading.Thread(target=_revoke_everyone_and_close)
    verbs: list[str] = []

    def rival(number: int, verb: str) -> None:
        verbs.append(verb)
        if number == statement:
            revoker.start()
            if statement == 7:  # Nothing is locked yet: it must not wait.
                revoker.join(30)
                assert not revoker.is_alive()
        elif number <= 6 and verb == "UPDATE":
            save(session_key, **{f"rival{number}": 1})

    is_saved = True
    with before_each_statement(rival):
        try:
            session.save()
        except SessionGone:
            is_saved = False
        if revoker.ident is None:  # The save took fewer statements.
            revoker.start()
    revoker.join(30)
    assert not revoker.is_alive()
    assert is_saved is (statement > 7)
    assert not Session.objects.exists()
    assert stored(session_key) == {}


def _revoke_everyone_and_close() -> None:
    try:
        registry.revoke_everyone()
    finally:
        connections.close_all()


@pytest.mark.parametrize("act", ["save", "cycle_key", "flush", "delete"])
def test_no_act_of_a_store_brings_a_revoked_session_back(
    engine: Engine, alice: User, act: str
) -> None:
    session_key = saved(_auth_user_id=str(alice.pk), one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    registry.revoke_everyone()
    if act == "save":
        with pytest.raises(SessionGone):
            session.save()
    else:
        getattr(session, act)()
    if act == "cycle_key":
        with pytest.raises(SessionGone):
            session.save()
    assert not Session.objects.exists()
    assert stored(session_key) == {}


def test_a_revoked_session_that_was_never_read_does_not_come_back_by_clearing_it(
    engine: Engine,
) -> None:
    session_key = saved(**SIGNED_IN)
    session = engine.store(session_key)
    public_id = Session.objects.get().public_id
    session.clear()
    session["mine"] = "x"
    registry.revoke_everyone()
    session.save()  # as any request that starts after the revocation: a session of its own
    assert session.session_key != session_key
    assert stored(session_key) == {}
    assert registry.find_session(public_id) is None


def test_the_lease_of_a_revoked_session_is_not_renewed(engine: Engine) -> None:
    session = engine.store(saved(**SIGNED_IN))
    assert session["one"] == 1
    registry.revoke_everyone()
    with override_settings(SESSIONKIT_LEASE=0):
        session.renew_lease()
        async_to_sync(session.arenew_lease)()
    assert not Session.objects.exists()


@with_data_in_rows
def test_a_save_that_meets_the_uncommitted_revocation_of_its_own_transaction_fails(
    engine: Engine,
) -> None:
    session_key = saved(**SIGNED_IN)
    session = engine.store(session_key)
    session["mine"] = "x"
    with transaction.atomic():
        registry.revoke_everyone()
        with pytest.raises(SessionGone):
            session.save()
    assert stored(session_key) == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["revoke", "save"])
def test_a_session_saved_and_revoked_in_one_transaction_is_gone_with_its_commit(
    engine: Engine, first: str
) -> None:
    session_key = saved(**SIGNED_IN)
    session = engine.store(session_key)
    session["mine"] = "x"
    with transaction.atomic():
        if first == "save":
            session.save()
        registry.revoke_everyone()
        if first == "revoke":
            with suppress(SessionGone):  # or it waits for the commit, in vain
                session.save()
    assert stored(session_key) == {}
    assert not Session.objects.exists()
