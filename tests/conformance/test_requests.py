"""Logins and settings, seen by a browser."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_sessionkit.models import Session
from tests.engines import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine")]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def browser(alice: User) -> Client:
    """A browser in which alice has signed in."""
    browser = Client()
    browser.get("/login/alice/")
    return browser


def test_signing_in_again_moves_only_the_time_of_signing_in(browser: Client) -> None:
    before = Session.objects.get()
    browser.get("/login/alice/")
    after = Session.objects.get()
    assert before.authenticated_at is not None
    assert after.authenticated_at is not None
    assert after.authenticated_at > before.authenticated_at
    assert (after.public_id, after.created_at) == (before.public_id, before.created_at)


def test_another_users_login_starts_another_session(browser: Client) -> None:
    User.objects.create_user("bob")
    browser.get("/set/cat/Tom/")
    first = Session.objects.get()
    browser.get("/login/bob/")
    second = Session.objects.get()
    assert second.public_id != first.public_id
    assert second.user_id != first.user_id
    assert browser.get("/whoami/").text == "bob"
    assert "cat" not in browser.get("/read/").json()


def test_what_a_visitor_stored_is_kept_by_the_login(alice: User) -> None:
    browser = Client()
    browser.get("/set/cat/Tom/")
    browser.get("/login/alice/")
    assert browser.get("/read/").json()["cat"] == "Tom"
    assert Session.objects.get().user == alice


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_every_request_saves_where_the_setting_asks_for_it(browser: Client, engine: Engine) -> None:
    before = Session.objects.get()
    with override_settings(SESSIONKIT_LEASE=engine.lease_of_saves):
        response = browser.get("/untouched/")
    after = Session.objects.get()
    assert after.expire_date > before.expire_date
    assert response.cookies["sessionid"]["max-age"] > 0
    assert browser.get("/whoami/").text == "alice"


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_nothing_is_saved_for_a_visitor_without_a_session() -> None:
    response = Client().get("/read/")
    assert "sessionid" not in response.cookies
    assert not Session.objects.exists()


def test_a_signed_in_session_outlives_a_change_of_the_secret_key(alice: User) -> None:
    browser = Client()
    with override_settings(SECRET_KEY="old"):
        browser.get("/login/alice/")
    old = browser.cookies["sessionid"].value
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert browser.get("/whoami/").text == "alice"
    assert browser.cookies["sessionid"].value != old
    assert Session.objects.get().user == alice
    with override_settings(SECRET_KEY="new"):
        assert browser.get("/whoami/").text == "alice"
