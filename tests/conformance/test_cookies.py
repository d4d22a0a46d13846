"""The cookie that the middleware writes: the session's key, for as long as the session lives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookies import Morsel
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.utils import timezone

from django_sessionkit.keys import SplitKey
from django_sessionkit.middleware import SessionMiddleware
from tests.cases import for_each
from tests.conformance.engines import refused_at_once, with_keys_that_stay
from tests.conformance.faces import Face, Faces
from tests.engines import Engine

pytestmark = pytest.mark.django_db

AGE = settings.SESSION_COOKIE_AGE
Act = Callable[[Face], object]


def answer(faces: Faces, act: Act, session_key: str | None = None) -> HttpResponse:
    """Answer a request whose view does ``act`` to its session."""
    request = RequestFactory().get("/")
    if session_key:
        request.COOKIES[settings.SESSION_COOKIE_NAME] = session_key

    def view(request: HttpRequest) -> HttpResponse:
        act(Face(request.session, is_async=False))
        return HttpResponse()

    if not faces.is_async:
        response = SessionMiddleware(view)(request)
        assert isinstance(response, HttpResponse)
        return response

    middleware: Any = SessionMiddleware(sync_to_async(view))
    result: HttpResponse = async_to_sync(middleware)(request)
    return result


def cookie(response: HttpResponse) -> Morsel[str]:
    found: Morsel[str] = response.cookies[settings.SESSION_COOKIE_NAME]
    return found


def test_the_cookie_holds_the_session_key(faces: Faces, engine: Engine) -> None:
    keys = []

    def act(session: Face) -> None:
        session.set("cat", "Tom")
        session.save()
        keys.append(session.session_key)

    session_key = cookie(answer(faces, act)).value
    assert ([session_key] == keys) is not engine.key_is_token
    assert [faces.public_id(session_key)] == list(map(faces.public_id, keys))
    assert faces.read(session_key) == {"cat": "Tom"}


def test_the_cookie_lives_as_long_as_the_session(faces: Faces) -> None:
    def check(case: tuple[Any, int]) -> None:
        value, seconds = case

        def act(session: Face) -> None:
            session.set("cat", "Tom")
            session.set_expiry(value)

        morsel = cookie(answer(faces, act))
        assert seconds - 5 <= morsel["max-age"] <= seconds
        end = timezone.now() + timedelta(seconds=seconds)
        assert abs(parsedate_to_datetime(morsel["expires"]) - end) < timedelta(seconds=5)

    hour = timedelta(hours=1)
    for_each([(None, AGE), (3600, 3600), (hour, 3600), (timezone.now() + hour, 3600)], check)


def test_the_cookie_lives_as_long_as_the_browser_where_that_is_wanted(faces: Faces) -> None:
    def check(value: int | None) -> None:
        def act(session: Face) -> None:
            session.set("cat", "Tom")
            session.set_expiry(value)

        with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=value is None):
            morsel = cookie(answer(faces, act))
        assert (morsel["max-age"], morsel["expires"]) == ("", "")
        assert faces.read(morsel.value)["cat"] == "Tom"

    for_each([None, 0], check)


@override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
def test_an_expiry_of_its_own_outlives_the_browser(faces: Faces) -> None:
    assert cookie(answer(faces, lambda session: session.set_expiry(3600)))["max-age"] == 3600


def test_a_session_that_ends_in_the_past_takes_its_cookie_along(faces: Faces) -> None:
    morsel = cookie(answer(faces, lambda session: session.set_expiry(-10)))
    assert morsel["max-age"] <= 0
    assert faces.read(morsel.value) == {}


@with_keys_that_stay
def test_the_cookie_follows_an_end_that_an_overlapping_request_has_set(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key

    def act(session: Face) -> None:
        session.set("dog", "Rex")
        other = faces.open(session_key)
        other.set_expiry(3600)
        other.save()

    assert cookie(answer(faces, act, session_key))["max-age"] == 3600


def test_reading_sets_no_cookie(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    response = answer(faces, lambda session: session.get("cat"), session_key)
    assert not response.cookies
    assert response["Vary"] == "Cookie"


def test_changing_the_expiry_alone_is_a_change(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    response = answer(faces, lambda session: session.set_expiry(3600), session_key)
    assert cookie(response)["max-age"] == 3600
    assert 3590 <= faces.open(cookie(response).value).get_expiry_age() <= 3600


def test_a_session_emptied_but_not_flushed_is_saved(faces: Faces, engine: Engine) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    response = answer(faces, lambda session: session.pop("cat"), session_key)
    emptied = cookie(response).value
    assert (emptied == session_key) is not engine.key_is_token
    assert faces.public_id(emptied) == faces.public_id(session_key)
    assert faces.read(emptied) == {}
    assert faces.open().exists(emptied)


def test_a_flushed_session_takes_its_cookie_along(faces: Faces) -> None:
    session_key = faces.saved({"_auth_user_id": "1"}).session_key
    morsel = cookie(answer(faces, lambda session: session.flush(), session_key))
    assert (morsel.value, morsel["max-age"]) == ("", 0)
    assert not faces.open().exists(session_key)


def test_a_session_flushed_and_filled_again_gets_another_cookie(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key

    def act(session: Face) -> None:
        session.flush()
        session.set("dog", "Rex")

    morsel = cookie(answer(faces, act, session_key))
    assert morsel.value not in ("", session_key)
    assert faces.read(morsel.value) == {"dog": "Rex"}


def test_an_untouched_session_of_a_visitor_without_a_cookie_leaves_none(faces: Faces) -> None:
    assert not answer(faces, lambda session: session.get("cat")).cookies
    assert not answer(faces, lambda session: session.flush()).cookies
    assert not answer(faces, lambda session: session.clear()).cookies


def test_a_view_that_clears_first_is_not_kept_from_storing_by_a_stale_cookie(
    faces: Faces,
) -> None:
    for_each(["unknown", "malformed", "expired"], partial(store_after_clearing, faces))


@refused_at_once
def test_a_view_that_clears_first_is_not_kept_from_storing_by_a_cookie_that_was_ended(
    faces: Faces,
) -> None:
    store_after_clearing(faces, "ended")


def store_after_clearing(faces: Faces, cookie_was: str) -> None:
    """Answer a request with a stale cookie, whose view clears the session and fills it."""
    session = faces.saved({"_auth_user_id": "1"})
    session_key = session.session_key
    if cookie_was == "expired":
        session.set_expiry(-10)
        session.save()
        session_key = session.session_key
    elif cookie_was == "ended":
        session.delete()
    elif cookie_was == "unknown":
        session_key = SplitKey.generate().session_key
    else:
        session_key = "x" * 32  # as Django's own engines make them

    def act(session: Face) -> None:
        session.clear()
        session.set("dog", "Rex")

    new_key = cookie(answer(faces, act, session_key)).value
    assert faces.public_id(new_key) not in (None, faces.public_id(session_key))
    assert faces.read(new_key) == {"dog": "Rex"}
