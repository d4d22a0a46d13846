"""New keys by other ways than a login: none revives, and a retired key is not retired for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest

from django_sessionkit import registry
from django_sessionkit.models import Session
from django_sessionkit.storage.retired import IN_FLIGHT
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine
from tests.interleaving import replaced_earlier, saved

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.database]


def _create(request: HttpRequest) -> None:
    request.session.create()


def _cycle(request: HttpRequest) -> None:
    request.session.cycle_key()


def _flush_and_fill(request: HttpRequest) -> None:
    data = dict(request.session.items())
    request.session.flush()
    request.session.update(data)


each_rotation = pytest.mark.parametrize("rotate", [_create, _cycle, _flush_and_fill])


@pytest.fixture
def browser(is_async: bool) -> Browser:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.data()  # so that there is a copy, where the engine makes one
    return browser


@both_ways
@each_rotation
def test_no_rotation_brings_a_revoked_session_back(
    browser: Browser,
    rotate: Callable[[HttpRequest], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def view(request: HttpRequest) -> None:
        assert registry.revoke_user(int(request.session["_auth_user_id"])).count == 1
        rotate(request)

    monkeypatch.setitem(views.acts, "act", view)
    assert browser.get("/do/act/").status_code == 200
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()
    assert browser.get("/whoami/").text == ""


@both_ways
@each_rotation
def test_a_session_goes_on_under_its_new_key_and_the_old_one_is_dead(
    browser: Browser,
    rotate: Callable[[HttpRequest], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def view(request: HttpRequest) -> None:
        assert request.session["_auth_user_id"]
        rotate(request)

    monkeypatch.setitem(views.acts, "act", view)
    old_key = browser.session_key
    browser.get("/do/act/")
    assert browser.session_key != old_key
    assert browser.get("/whoami/").text == "alice"
    old = Browser(is_async=browser.is_async, session_key=old_key)
    assert old.get("/whoami/").text == ""
    assert Session.objects.count() == 1


@both_ways
def test_a_browser_that_lost_the_response_to_its_login_can_start_over(
    browser: Browser, engine: Engine
) -> None:
    lost = engine.retired_key(browser.session_key or "")
    stale = Browser(is_async=browser.is_async, session_key=lost)
    stale.get("/set/cart/tea/")
    assert not stale.cookie_was_touched
    replaced_earlier(IN_FLIGHT + timedelta(seconds=1))
    stale.get("/set/cart/tea/")
    assert stale.session_key != lost
    assert stale.data() == {"cart": "tea"}
    assert Session.objects.filter(user__username="alice").count() == 1


@pytest.mark.parametrize("data", [{"one": 1}, {"_auth_user_id": "1"}], ids=["visitor", "user"])
def test_a_cookie_that_was_not_proven_shows_no_public_id(
    engine: Engine, data: dict[str, object]
) -> None:
    session = engine.store(engine.wrong_key(saved(**data)))
    session.clear()
    assert session.public_id is None


@both_ways
def test_a_path_forges_no_line_of_the_log(
    browser: Browser, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    public_id = browser.public_id
    retired = engine.retired_key(browser.session_key or "")
    stale = Browser(is_async=browser.is_async, session_key=retired)
    stale.get("/set/key/x%0aCRITICAL forged%1b/")
    (message,) = [
        record.getMessage()
        for record in caplog.records
        if record.name == "django.security.SessionInterrupted"
    ]
    assert "\n" not in message
    assert "\x1b" not in message
    assert str(public_id) in message
