"""A transaction that is rolled back takes a save along; the save at the response makes it again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from django_sessionkit import registry
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_data_in_rows
from tests.interleaving import saved, stored
from tests.test_cached_corners import taken_back

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("engine"),
    pytest.mark.database,
]


def log_in(request: HttpRequest) -> None:
    login(request, User.objects.get(username="alice"), backend=views.BACKEND)
    request.session["cart"] = "full"
    request.session.save()


def change_key(request: HttpRequest) -> None:
    request.session.cycle_key()
    request.session["cart"] = "full"
    request.session.save()


def in_transaction(act: Callable[[HttpRequest], None]) -> Callable[[HttpRequest], None]:
    def view(request: HttpRequest) -> None:
        with taken_back():
            act(request)

    return view


def in_savepoint(act: Callable[[HttpRequest], None]) -> Callable[[HttpRequest], None]:
    def view(request: HttpRequest) -> None:
        with transaction.atomic(), taken_back():
            act(request)

    return view


rolled_back = pytest.mark.parametrize(
    "rolled_back", [in_transaction, in_savepoint], ids=["transaction", "savepoint"]
)
Wrap = Callable[[Callable[[HttpRequest], None]], Callable[[HttpRequest], None]]


@rolled_back
@both_ways
def test_who_signs_in_without_a_session_is_signed_in(
    engine: Engine, rolled_back: Wrap, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User.objects.create_user("alice")
    monkeypatch.setitem(views.acts, "in", rolled_back(log_in))
    browser = Browser(is_async=is_async)
    assert browser.get("/do/in/").status_code == 200
    assert browser.get("/whoami/").text == "alice"
    assert browser.data()["cart"] == "full"
    assert len(registry.list_sessions(user)) == Session.objects.count() == 1


@rolled_back
@both_ways
def test_whose_key_changes_is_signed_in_by_the_new_key_alone(
    engine: Engine, rolled_back: Wrap, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("alice")
    monkeypatch.setitem(views.acts, "key", rolled_back(change_key))
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    before = browser.session_key
    assert browser.get("/do/key/").status_code == 200
    assert browser.session_key != before
    assert browser.get("/whoami/").text == "alice"
    assert browser.data()["cart"] == "full"
    if engine.refuses_at_once:
        assert Browser(session_key=before).data() == {}


@both_ways
def test_a_session_that_was_revoked_after_its_login_was_committed_is_not_inserted_again(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User.objects.create_user("alice")

    def view(request: HttpRequest) -> None:
        with transaction.atomic():
            log_in(request)
        registry.revoke_user(user)
        request.session["late"] = "x"

    monkeypatch.setitem(views.acts, "in", view)
    browser = Browser(is_async=is_async)
    assert browser.get("/do/in/").status_code == 200
    assert not Session.objects.exists()


@both_ways
def test_a_session_does_not_come_back_when_a_callback_of_the_site_has_failed(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All was committed, though the callbacks behind the one that failed were not called."""
    user = User.objects.create_user("alice")

    def fail() -> None:
        raise ConnectionError("The mail server does not answer.")

    def view(request: HttpRequest) -> None:
        with suppress(ConnectionError), transaction.atomic():
            transaction.on_commit(fail)
            log_in(request)
        registry.revoke_user(user)
        request.session["late"] = "x"

    monkeypatch.setitem(views.acts, "in", view)
    browser = Browser(is_async=is_async)
    assert browser.get("/do/in/").status_code == 200
    assert not Session.objects.exists()
    assert browser.get("/whoami/").text == ""


@with_data_in_rows
def test_what_a_savepoint_took_back_is_saved_after_the_rest_was_committed(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    with transaction.atomic():
        session["first"] = "x"
        session.save()
        with taken_back():
            session["second"] = "x"
            session.save()
    session.save()
    assert stored(session_key) == {"one": 1, "first": "x", "second": "x"}
