"""Who has not signed in: a cookie, and nothing in the database."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit.models import Session
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_tokens

pytestmark = [pytest.mark.django_db, with_tokens, pytest.mark.usefixtures("engine")]


@both_ways
def test_a_visitor_has_a_session_without_a_row_and_without_a_query(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    with CaptureQueriesContext(connection) as queries:
        browser.get("/set/cat/Tom/")
        browser.get("/set/dog/Rex/")
        assert browser.data() == {"cat": "Tom", "dog": "Rex"}
        browser.get("/pop/cat/")
        assert browser.data() == {"dog": "Rex"}
    assert list(queries) == []


@both_ways
def test_a_visitors_public_id_stays(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")
    public_id = browser.public_id
    browser.get("/set/dog/Rex/")
    assert browser.public_id == public_id


@both_ways
def test_reading_sets_no_cookie_however_old_it_is(engine: Engine, is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")
    browser.data()
    assert not browser.cookie_was_touched


@both_ways
def test_a_visitors_data_move_along_under_a_new_id(is_async: bool) -> None:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")
    visitor, before = browser.session_key, browser.public_id
    browser.get("/login/alice/")
    assert browser.data()["cat"] == "Tom"
    assert browser.public_id != before
    assert Session.objects.get().public_id == browser.public_id
    old = Browser(is_async=is_async, session_key=visitor)
    assert old.get("/whoami/").text == ""
    assert old.data() == {"cat": "Tom"}


@both_ways
def test_a_visitor_who_signs_out_has_no_cookie_any_more(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")
    with CaptureQueriesContext(connection) as queries:
        browser.get("/logout/")
    assert browser.cookie_was_deleted
    assert list(queries) == []


@pytest.mark.parametrize("first", ["", "clear"])
def test_a_visitors_session_is_flushed_and_deleted_without_being_read(
    engine: Engine, first: str
) -> None:
    session = engine.store()
    session["cat"] = "Tom"
    session.save()
    for act in ("flush", "delete"):
        again = engine.store(session.session_key)
        with CaptureQueriesContext(connection) as queries:
            if first:
                again.clear()
            getattr(again, act)()
            engine.store().delete(session.session_key)
        assert list(queries) == []
        assert again.is_flushed is (act == "flush")


@pytest.mark.parametrize("first", ["", "clear", "load"])
def test_flushing_with_a_token_that_has_ended_leaves_the_cookie_alone(
    engine: Engine, first: str
) -> None:
    session = engine.store()
    session["cat"] = "Tom"
    session.save()
    ended = dataclasses.replace(
        engine.content(session.session_key), expire_date=timezone.now() - timedelta(seconds=1)
    )
    again = engine.store(engine.token(ended))
    if first:
        getattr(again, first)()
    again.flush()
    assert not again.is_flushed


def test_loading_again_after_the_key_was_cycled_shows_what_was_saved(engine: Engine) -> None:
    for data in ({"cat": "Tom"}, {"cat": "Tom", "_auth_user_id": "1"}):
        session = engine.store()
        session.update(data)
        session.save()
        again = engine.store(session.session_key)
        again["dog"] = "Rex"
        again.cycle_key()
        assert again.load() == (data if "_auth_user_id" in data else {})
        again.save()
        assert dict(engine.store(again.session_key).items()) == {**data, "dog": "Rex"}


def test_who_a_visitors_cookie_says_is_signed_in_is_not(engine: Engine) -> None:
    session = engine.store()
    session["cat"] = "Tom"
    session.save()
    content = engine.content(session.session_key)
    content.data.update(_auth_user_id="1", _auth_user_backend="x", _auth_user_hash="y")
    forged = engine.token(content)
    assert dict(engine.store(forged).items()) == {"cat": "Tom"}
    assert not Session.objects.exists()


def test_a_session_given_its_user_without_a_login_gets_a_row(engine: Engine) -> None:
    session = engine.store()
    session["cat"] = "Tom"
    session.save()
    again = engine.store(session.session_key)
    again["_auth_user_id"] = "1"
    again.save()
    assert Session.objects.get().public_id == again.public_id
    assert dict(engine.store(again.session_key).items()) == {"cat": "Tom", "_auth_user_id": "1"}
