"""Our authentication middleware: the same user as Django's, for fewer queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User, UserManager
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_sessionkit import users
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.varies]

DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "django_sessionkit.authentication.AuthenticationMiddleware"


class OwnBackend(ModelBackend):
    """Finds users in a way of its own, which has to be asked."""

    def get_user(self, user_id: Any) -> Any:
        return User.objects.exclude(username="hidden").filter(pk=user_id).first()


class EverybodyBackend(ModelBackend):
    def user_can_authenticate(self, user: Any) -> bool:
        return True


@pytest.fixture(autouse=True)
def middleware() -> Iterator[None]:
    paths = [OURS if path == DJANGOS else path for path in settings.MIDDLEWARE]
    assert OURS in paths
    with override_settings(MIDDLEWARE=paths):
        yield


@pytest.fixture
def browser(engine: Engine, is_async: bool) -> Browser:
    """A browser in which alice has signed in."""
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    return browser


def queries(browser: Browser) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get("/whoami/").text == "alice"
    return [query["sql"].split()[0] for query in captured]


@both_ways
def test_session_and_user_are_one_query_where_the_row_is_read(
    browser: Browser, engine: Engine
) -> None:
    if engine.cache_alias is None:
        assert queries(browser) == ["SELECT", *engine.costs("renew")]
        return
    queries(browser)
    assert queries(browser) == ["SELECT"]  # of the user; the session comes from the cache


@both_ways
def test_a_request_that_does_not_ask_for_the_user_costs_no_more(
    browser: Browser, engine: Engine
) -> None:
    browser.data()
    with CaptureQueriesContext(connection) as captured:
        browser.data()
    again = [*engine.costs("load in the lease"), *engine.costs("renew")]
    assert [query["sql"].split()[0] for query in captured] == again


@both_ways
def test_who_is_not_active_any_more_is_nobody(browser: Browser) -> None:
    User.objects.update(is_active=False)
    assert browser.get("/whoami/").text == ""
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.EverybodyBackend"]):
        assert browser.get("/whoami/").text == ""  # that is not the one that signed her in


@both_ways
def test_a_backend_that_lets_everybody_in_has_its_say(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{__name__}.EverybodyBackend"
    monkeypatch.setattr(views, "BACKEND", path)
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    with override_settings(AUTHENTICATION_BACKENDS=[path]):
        browser.get("/login/alice/")
        User.objects.update(is_active=False)
        assert browser.get("/whoami/").text == "alice"


@both_ways
def test_a_backend_that_finds_users_in_its_own_way_is_asked(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{__name__}.OwnBackend"
    monkeypatch.setattr(views, "BACKEND", path)
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    with override_settings(AUTHENTICATION_BACKENDS=[path]):
        browser.get("/login/alice/")
        assert browser.get("/whoami/").text == "alice"
        User.objects.update(username="hidden")
        assert browser.get("/whoami/").text == ""
    assert browser.get("/whoami/").text == ""  # the backend is not configured any more


@both_ways
def test_a_new_password_elsewhere_ends_the_session(browser: Browser) -> None:
    User.objects.update(password="changed behind Django's back")
    assert browser.get("/whoami/").text == ""
    assert browser.data() == {}


@both_ways
def test_a_change_of_the_secret_key_is_followed_through_the_fallbacks(
    engine: Engine, is_async: bool
) -> None:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    with override_settings(SECRET_KEY="old"):
        browser.get("/login/alice/")
    before = browser.session_key
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert browser.get("/whoami/").text == "alice"
    assert browser.session_key != before
    with override_settings(SECRET_KEY="new"):
        assert browser.get("/whoami/").text == "alice"


@both_ways
def test_a_user_who_is_gone_is_nobody(browser: Browser) -> None:
    User.objects.all()._raw_delete("default")
    assert browser.get("/whoami/").text == ""
    assert Session.objects.exists()


@both_ways
def test_a_user_who_signs_in_later_in_the_request_is_the_one(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("bob")

    def act(request: HttpRequest) -> HttpResponse:
        before = request.user.get_username()
        views.sign_in(request, "bob")
        return HttpResponse(f"{before}, {request.user.get_username()}")

    monkeypatch.setitem(views.acts, "act", act)
    assert browser.get("/do/act/").text == "alice, bob"
    assert browser.get("/whoami/").text == "bob"


class ActiveManager(UserManager[User]):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(is_staff=False)


def test_a_manager_that_has_a_say_is_asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = User.objects.create_user("alice")
    assert users.are_plain("default")
    assert users.find(alice.pk) == alice
    manager = ActiveManager()
    manager.model = User
    monkeypatch.setitem(vars(User._meta), "default_manager", manager)
    assert User._default_manager is manager
    assert not users.are_plain("default")
    assert users.find(alice.pk) == alice
    User.objects.update(is_staff=True)
    assert users.find(alice.pk) is None


@pytest.mark.parametrize("name", ["cache", "signed_cookies"])
def test_a_session_of_djangos_engines_is_left_to_django(name: str) -> None:
    User.objects.create_user("alice")
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{name}"):
        browser = Client()
        browser.get("/login/alice/")
        assert browser.get("/whoami/").text == "alice"


def test_a_visitor_is_an_anonymous_user(engine: Engine) -> None:
    browser = Client()
    with CaptureQueriesContext(connection) as captured:
        response = browser.get("/whoami/")
    assert response.text == ""
    assert isinstance(response.wsgi_request.user, AnonymousUser)
    assert list(captured) == []
