"""The middleware: what a response does to the session and its cookie."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.middleware import SessionMiddleware
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser, both_ways, both_ways_always
from tests.engines import Engine
from tests.interleaving import stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.varies]

DATA = {"_auth_user_id": "1", "key": "x"}  # of a user, so that every engine has a row
NAME = settings.SESSION_COOKIE_NAME
View = Callable[[HttpRequest], HttpResponse]


@pytest.fixture(autouse=True)
def alice() -> User:
    return User.objects.create_user("alice")


def answer(request: HttpRequest, view: View, *, is_async: bool) -> HttpResponseBase:
    """Send the request through the middleware alone."""
    if not is_async:
        response = SessionMiddleware(view)(request)
        assert isinstance(response, HttpResponseBase)
        return response

    async def aview(request: HttpRequest) -> HttpResponse:
        return view(request)

    async def run() -> HttpResponseBase:
        middleware: Any = SessionMiddleware(aview)
        response: HttpResponseBase = await middleware(request)
        return response

    return async_to_sync(run)()


def ok(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def test_it_is_a_subclass_of_djangos() -> None:
    assert issubclass(SessionMiddleware, DjangoSessionMiddleware)


@both_ways_always
def test_a_request_that_leaves_the_session_alone_costs_nothing(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    with override_settings(SESSIONKIT_LEASE=0), CaptureQueriesContext(connection) as queries:
        response = browser.get("/untouched/")
    assert len(queries) == 0
    assert not browser.cookie_was_touched
    assert not response.has_header("Vary")


def test_its_async_half_runs_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, int] = {}
    engine_store: Any = conf.session_store

    def refuse(*args: object) -> None:
        raise AssertionError("a thread was asked for")

    class Store(engine_store):  # type: ignore[misc]
        def __init__(self, session_key: str | None = None) -> None:
            threads["made"] = threading.get_ident()
            super().__init__(session_key)

    async def view(request: HttpRequest) -> HttpResponse:
        threads["view"] = threading.get_ident()
        return HttpResponse("ok")

    async def run() -> None:
        middleware: Any = SessionMiddleware(view)
        middleware.SessionStore = Store
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
        threads["loop"] = threading.get_ident()
        await middleware(RequestFactory().get("/"))

    asyncio.run(run())
    assert len(set(threads.values())) == 1
    assert threads.keys() == {"made", "view", "loop"}


@both_ways_always
def test_the_response_varies_on_the_cookie_if_the_session_was_looked_at(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    assert browser.get("/read/")["Vary"] == "Cookie"
    assert not browser.cookie_was_touched
    browser.get("/set/key/x/")
    assert browser.response["Vary"] == "Cookie"
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert browser.get("/untouched/")["Vary"] == "Cookie"
    assert NAME in browser.response.cookies
    assert browser.get("/logout/")["Vary"] == "Cookie"


COOKIE = {
    "SESSION_COOKIE_NAME": "sid",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Strict",
    "SESSION_COOKIE_DOMAIN": ".example.com",
    "SESSION_COOKIE_PATH": "/shop",
    "SESSION_COOKIE_AGE": 1000,
}


@both_ways_always
def test_the_cookie_has_the_attributes_of_the_settings_when_set_and_when_deleted(
    is_async: bool,
) -> None:
    with override_settings(**COOKIE):
        browser = Browser(is_async=is_async)
        cookie = browser.get("/login/alice/").cookies["sid"]
        assert cookie.value == browser.session_key
        assert cookie["secure"] is True
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Strict"
        assert cookie["domain"] == ".example.com"
        assert cookie["path"] == "/shop"
        assert 998 <= cookie["max-age"] <= 1000
        assert cookie["expires"]
        cookie = browser.get("/logout/").cookies["sid"]
        assert browser.cookie_was_deleted
        assert cookie["max-age"] == 0
        assert cookie["samesite"] == "Strict"
        assert cookie["domain"] == ".example.com"
        assert cookie["path"] == "/shop"


@both_ways_always
def test_the_cookie_has_no_attribute_that_the_settings_do_not_want(is_async: bool) -> None:
    wanted = {"SESSION_COOKIE_HTTPONLY": False, "SESSION_EXPIRE_AT_BROWSER_CLOSE": True}
    with override_settings(**wanted):
        cookie = Browser(is_async=is_async).get("/set/key/x/").cookies[NAME]
    assert {name for name, value in cookie.items() if value} == {"path", "samesite"}


@both_ways_always
def test_a_cookie_is_set_by_a_change_alone(is_async: bool, engine: Engine) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/read/")
    assert not browser.cookie_was_touched
    browser.get("/set/key/x/")
    key, public_id = browser.session_key, browser.public_id
    assert NAME in browser.response.cookies
    browser.get("/read/")
    assert not browser.cookie_was_touched
    browser.get("/pop/key/")
    assert NAME in browser.response.cookies
    assert (browser.session_key == key) is not engine.key_is_token
    assert browser.public_id == public_id
    assert browser.data() == {}


@both_ways_always
def test_nothing_is_stored_and_no_cookie_set_when_the_server_fails(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    assert browser.get("/fail/").status_code == 503
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()
    browser.get("/login/alice/")
    browser.get("/set/key/x/")
    data, before = browser.data(), Session.objects.get()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True, SESSIONKIT_LEASE=0):
        browser.get("/fail/")
    after = Session.objects.get()
    assert not browser.cookie_was_touched
    assert after.version == before.version
    assert after.last_seen_at == before.last_seen_at
    assert browser.data() == data


@both_ways_always
def test_signing_out_ends_the_session_and_deletes_the_cookie(is_async: bool) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.data()
    other_tab = Browser(is_async=is_async, session_key=browser.session_key)
    browser.get("/logout/")
    assert browser.cookie_was_deleted
    assert not Session.objects.exists()
    assert other_tab.get("/whoami/").text == ""
    assert other_tab.data() == {}


@both_ways_always
def test_a_flushed_session_that_is_filled_again_gets_a_new_key(
    is_async: bool, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(request: HttpRequest) -> None:
        request.session.flush()
        request.session["again"] = "x"

    monkeypatch.setitem(views.acts, "refill", act)
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    key = browser.session_key
    browser.get("/do/refill/")
    assert browser.session_key not in (key, None)
    assert browser.data() == {"again": "x"}
    assert Browser(is_async=is_async, session_key=key).data() == {}
    assert Session.objects.count() == engine.rows_for_visitors


VALID = SplitKey.generate().session_key
cookies = (
    st.text(st.characters(codec="latin-1"), max_size=200)
    | st.text(st.sampled_from("0123456789abcdefxyz"), min_size=60, max_size=70)
    | st.from_regex(r"[0-9a-f]{32}[0-9a-z]{32}", fullmatch=True)
    | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1"))
)


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("always", [False, True], ids=["", "every request saved"])
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(cookie="")
@example(cookie=VALID)
@example(cookie=VALID.upper())
@example(cookie=VALID + "a" * 100_000)
@example(cookie="a" * 100_000)
@example(cookie="é" * 64)
@example(cookie="\0" * 64)
@example(cookie=f'"{VALID}"')
@given(cookie=cookies)
def test_no_cookie_that_somebody_made_up_writes_anything_or_fails(
    engine: Engine, is_async: bool, always: bool, cookie: str
) -> None:
    browser = Browser(is_async=is_async)
    header: dict[str, Any] = {"headers": {"cookie": f"{NAME}={cookie}"}}
    with (
        override_settings(SESSION_SAVE_EVERY_REQUEST=always, SESSIONKIT_LEASE=0),
        CaptureQueriesContext(connection) as queries,
    ):
        response = browser.get("/read/", **header)
    assert response.status_code == 200
    assert response.json() == {}
    assert not browser.cookie_was_touched
    may_be_a_key = SplitKey.parse(cookie.strip().strip('"')) is not None
    assert len(queries) <= (may_be_a_key and not engine.key_is_token)
    assert not Session.objects.exists()
    assert browser.get("/whoami/", **header).text == ""
    assert browser.get("/untouched/", **header).text == "untouched"
    assert not browser.cookie_was_touched
    assert not Session.objects.exists()


@both_ways_always
def test_another_engines_sessions_are_handled_as_django_does(is_async: bool) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        browser = Browser(is_async=is_async)
        browser.get("/login/alice/")
        assert browser.get("/whoami/").text == "alice"
        browser.get("/set/key/x/")
        assert browser.data()["key"] == "x"
        browser.get("/logout/")
        assert browser.cookie_was_deleted
        assert browser.data() == {}
    assert not Session.objects.exists()


@both_ways_always
def test_a_request_without_a_session_is_answered(is_async: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        del request.session
        return HttpResponse("ok")

    response = answer(RequestFactory().get("/"), view, is_async=is_async)
    assert response.status_code == 200
    bare = SessionMiddleware(ok).process_response(HttpRequest(), HttpResponse("ok"))
    assert bare.status_code == 200


@both_ways_always
def test_a_bare_request_gets_a_session(is_async: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session.update(DATA)
        return HttpResponse("ok")

    response = answer(HttpRequest(), view, is_async=is_async)
    assert isinstance(response, HttpResponse)
    assert stored(response.cookies[NAME].value) == DATA
    assert Session.objects.get().ip_address is None


@both_ways_always
@pytest.mark.parametrize("other", [None, SignedCookies, dict], ids=["ours", "Django's", "dict"])
def test_a_view_may_put_another_session_in_the_place_of_its_own(
    engine: Engine, is_async: bool, other: Callable[[], Any] | None
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session = other() if other else engine.store()
        request.session.update(DATA)
        return HttpResponse("ok")

    response = answer(RequestFactory().get("/"), view, is_async=is_async)
    assert isinstance(response, HttpResponse)
    assert (NAME in response.cookies) is (other is not dict)
    assert Session.objects.count() == (other is None)


@both_ways_always
def test_a_view_that_raises_leaves_the_session_as_it_was(is_async: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session["key"] = "x"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer(RequestFactory().get("/"), view, is_async=is_async)
    assert not Session.objects.exists()


class Stricter(SessionMiddleware):
    """A site's own, written for Django's middleware: it knows no async twin."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:  # type: ignore[override]
        super().process_request(request)
        return HttpResponse(status=403) if "HTTP_X_BLOCKED" in request.META else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        for cookie in response.cookies.values():
            cookie["samesite"] = "Strict"
        return response


@both_ways_always
def test_the_hooks_of_a_subclass_are_called(is_async: bool) -> None:
    ours = "django_sessionkit.middleware.SessionMiddleware"
    theirs = f"{__name__}.Stricter"
    middleware = [theirs if path == ours else path for path in settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware):
        browser = Browser(is_async=is_async)
        browser.get("/set/key/x/")
        assert browser.response.cookies["sessionid"]["samesite"] == "Strict"
        assert browser.data() == {"key": "x"}
        assert browser.get("/read/", headers={"X-Blocked": "1"}).status_code == 403
