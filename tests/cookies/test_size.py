"""What does not fit into a cookie is an error that says so, and loses nothing."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessionkit.exceptions import CookieTooLarge
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_each_token

pytestmark = [pytest.mark.django_db, with_each_token, pytest.mark.usefixtures("engine")]

LIMIT = 4096


def test_the_error_gives_the_size_and_the_largest_keys(engine: Engine) -> None:
    session = engine.store()
    session.update({"cart": "x" * 3000, "draft": "y" * 1000, "cat": "Tom", "form": "z" * 500})
    with pytest.raises(CookieTooLarge) as caught:
        session.save()
    error = caught.value
    assert error.size > LIMIT == error.limit
    assert error.largest == {"cart": 3011, "draft": 1012, "form": 511}
    for text in (str(error.size), "4096", "'cart' (3011 bytes)", "engine that keeps"):
        assert text in str(error)
    assert "xxx" not in str(error)


def test_name_and_value_together_may_have_4096_bytes(engine: Engine) -> None:
    def size(length: int) -> int:
        session = engine.store()
        session["x"] = "x" * length
        session.save()
        return len(session.session_key) + len(settings.SESSION_COOKIE_NAME)

    fits, too_long = 0, LIMIT
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        try:
            fits = middle if size(middle) <= LIMIT else 0
        except CookieTooLarge:
            too_long = middle
    assert fits > 2000
    # Encryption pads to blocks of 16 bytes, and base64 makes 4 bytes of 3.
    assert size(fits) > LIMIT - 24
    with override_settings(SESSION_COOKIE_NAME="a-name-that-is-32-bytes-longer-than-it"):
        assert size(fits - 32) <= LIMIT
        with pytest.raises(CookieTooLarge):
            size(fits)


@both_ways
def test_the_response_is_an_error_and_the_session_of_before_stays(is_async: bool) -> None:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.get("/set/cat/Tom/")
    before = Session.objects.values().get()
    views.acts["overload"] = lambda request: request.session.update({"cart": "x" * 5000})
    with pytest.raises(CookieTooLarge):
        browser.get("/do/overload/")
    assert browser.data()["cat"] == "Tom"
    assert browser.get("/whoami/").text == "alice"
    assert Session.objects.values().get()["expire_date"] == before["expire_date"]


@both_ways
def test_a_login_that_does_not_fit_signs_nobody_in_and_leaves_no_row(is_async: bool) -> None:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")

    def act(request: object) -> None:
        request.session["cart"] = "x" * 5000  # type: ignore[attr-defined]
        views.sign_in(request, "alice")  # type: ignore[arg-type]

    views.acts["overload"] = act
    with pytest.raises(CookieTooLarge):
        browser.get("/do/overload/")
    assert not Session.objects.exists()
    assert browser.data() == {"cat": "Tom"}
