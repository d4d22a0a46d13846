"""What is saved within a transaction, which may be taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from django_sessionkit.storage.records import RequestFacts
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_tokens

pytestmark = [
    pytest.mark.django_db,
    with_tokens,
    pytest.mark.usefixtures("engine"),
    pytest.mark.database,
]


@pytest.fixture
def browser(engine: Engine, is_async: bool) -> Browser:
    User.objects.create_user("alice")
    return Browser(is_async=is_async)


def aged(browser: Browser, engine: Engine) -> Browser:
    """Return a browser with the cookie, past its lease."""
    token = engine.aged(browser.session_key or "")
    return Browser(is_async=browser.is_async, session_key=token)


CHANGES: dict[str, Callable[[Any], object]] = {
    "cycle_key": lambda request: request.session.cycle_key(),
    "login": lambda request: views.sign_in(request, "alice"),
    "set_expiry": lambda request: request.session.set_expiry(1000),
}


def sign_in(request: Any, *, save: str, taken_back: bool) -> HttpResponse:
    with transaction.atomic():
        views.sign_in(request, "alice")
        if save:
            request.session.save()
        if save == "saved and cycled":
            request.session.cycle_key()
        transaction.set_rollback(taken_back)
    return HttpResponse("in")


@both_ways
@pytest.mark.parametrize("save", ["", "saved", "saved and cycled"])
@pytest.mark.parametrize("taken_back", [False, True], ids=["committed", "taken back"])
def test_a_login_within_a_transaction_lasts_longer_than_the_lease(
    browser: Browser, engine: Engine, save: str, taken_back: bool
) -> None:
    browser.get("/set/cat/Tom/")
    views.acts["act"] = lambda request: sign_in(request, save=save, taken_back=taken_back)
    browser.get("/do/act/")
    assert browser.get("/whoami/").text == "alice"
    assert Session.objects.get().public_id == browser.public_id
    assert aged(browser, engine).get("/whoami/").text == "alice"
    assert browser.data()["cat"] == "Tom"


@both_ways
def test_a_row_that_may_be_taken_back_is_not_believed_before_it_is_asked(
    browser: Browser, engine: Engine
) -> None:
    kept: list[str] = []

    def act(request: Any) -> None:
        with transaction.atomic():
            views.sign_in(request, "alice")
            request.session.save()
            kept.append(request.session.session_key)
            transaction.set_rollback(True)

    views.acts["act"] = act
    browser.get("/do/act/")
    assert engine.content(kept[0]).checked_at == 0
    assert not Session.objects.filter(public_id=engine.content(kept[0]).public_id).exclude(
        secret_hash=bytes(Session.objects.get().secret_hash)
    )


@both_ways
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_saved_in_a_transaction_that_is_taken_back_is_saved_again_by_the_response(
    browser: Browser, engine: Engine, change: Callable[[Any], object]
) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            change(request)
            request.session.save()
            transaction.set_rollback(True)

    views.acts["act"] = act
    browser.get("/login/alice/")
    browser.get("/do/act/")
    assert aged(browser, engine).get("/whoami/").text == "alice"
    end = engine.content(browser.session_key or "").expire_date
    assert abs(Session.objects.get().expire_date - end) < timedelta(seconds=1)


@both_ways
def test_what_was_revoked_after_the_commit_of_its_login_is_not_saved_again(
    browser: Browser, engine: Engine
) -> None:
    def act(request: Any) -> None:
        sign_in(request, save="saved", taken_back=False)
        assert registry.revoke_user(User.objects.get()).count == 1

    views.acts["act"] = act
    browser.get("/do/act/")
    assert not Session.objects.exists()
    assert aged(browser, engine).get("/whoami/").text == ""


@both_ways
def test_a_key_that_was_replaced_in_what_is_committed_is_the_new_one(
    browser: Browser, engine: Engine
) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            request.session.cycle_key()

    views.acts["act"] = act
    browser.get("/login/alice/")
    old = aged(browser, engine)
    browser.get("/do/act/")
    assert aged(browser, engine).get("/whoami/").text == "alice"
    assert old.get("/whoami/").text == ""


def test_a_key_that_a_savepoint_took_back_is_not_handed_out(engine: Engine) -> None:
    session = engine.store()
    session["_auth_user_id"] = "1"
    session.save()
    again = engine.store(session.session_key)
    with transaction.atomic():
        with transaction.atomic():
            again.cycle_key()
            again.save()
            transaction.set_rollback(True)
        with pytest.raises(SessionGone):
            again.save()
    again.save()
    key = engine.split_key(again.session_key)
    assert key is not None
    assert key.proves(bytes(Session.objects.get().secret_hash))


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_save_does_not_move_back_when_another_request_saw_the_session(
    engine: Engine, is_loaded: bool
) -> None:
    session = engine.store()
    session["_auth_user_id"] = "1"
    session.save()
    if is_loaded:
        session = engine.store(session.session_key)
    later = timezone.now() + timedelta(seconds=100)
    Session.objects.update(last_seen_at=later)
    session.facts = RequestFacts({"REMOTE_ADDR": "192.0.2.1"})
    session.set_expiry(1000)
    session.save()
    assert Session.objects.get().last_seen_at == later
