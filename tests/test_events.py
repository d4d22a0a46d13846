"""What happened to a session, and why it ended: told once, by one type, with the right reason."""

from __future__ import annotations

import contextvars
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from django_sessionkit import audit, events, signals
from django_sessionkit.announcing import undecided_ends
from django_sessionkit.clients import Client
from django_sessionkit.current import current_request
from django_sessionkit.events import SessionEndReason, SessionEvent, SessionEventType
from django_sessionkit.models import Session
from django_sessionkit.signals import session_ended
from tests.app.views import BACKEND, acts
from tests.browsers import Browser, both_ways
from tests.engines import Engine, params

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.varies]

REFERENCE = Path(__file__).resolve().parent.parent / "docs/reference.md"

#: One that keeps its data in rows, for what has nothing to do with where they lie.
one_engine = pytest.mark.parametrize(
    "engine", params(lambda engine: engine.name == "db"), indirect=True
)

#: Whose session ended, why, and by whom.
Told = list[tuple[str, str, str]]


@pytest.fixture(autouse=True)
def people() -> None:
    User.objects.create_user("alice")
    User.objects.create_user("bob")


@pytest.fixture
def told() -> Iterator[Told]:
    told: Told = []

    def listen(session: Session, reason: SessionEndReason, actor: Any, **kwargs: object) -> None:
        owner = session.user.get_username() if session.user else ""
        told.append((owner, reason.value, actor.get_username() if actor else ""))

    session_ended.connect(listen)
    yield told
    session_ended.disconnect(listen)


def sign_in(request: HttpRequest, name: str) -> None:
    login(request, User.objects.get(username=name), backend=BACKEND)


def do(monkeypatch: pytest.MonkeyPatch, browser: Browser, act: Callable[[HttpRequest], Any]) -> Any:
    """Let a view do that; return the response."""
    monkeypatch.setitem(acts, "that", act)
    return browser.get("/do/that/")


@both_ways
def test_a_login_over_another_users_session_supersedes_it(
    engine: Engine, is_async: bool, told: Told
) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.get("/set/cart/x/")
    assert told == []
    browser.get("/login/bob/")
    assert told == [("alice", "superseded", "bob")]
    assert browser.get("/whoami/").text == "bob"
    browser.get("/logout/")
    assert told[1:] == [("bob", "logout", "bob")]


def test_a_login_in_the_transaction_of_its_request_supersedes_as_well(
    engine: Engine, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    browser = Browser()
    browser.get("/login/alice/")
    browser.get("/login/bob/", meanwhile=lambda: told.append(("", "in the view", "")))
    browser.get("/login-and-wait/alice/", meanwhile=lambda: told.append(("", "signed in", "")))
    assert told == [
        ("", "in the view", ""),
        ("alice", "superseded", "bob"),
        ("", "signed in", ""),  # the commit comes with the end of the view
        ("bob", "superseded", "alice"),
    ]


@both_ways
def test_what_a_view_flushes_is_flushed_even_if_somebody_signs_in_after_it(
    engine: Engine, is_async: bool, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush_and_sign_in(request: HttpRequest) -> None:
        request.session.flush()
        sign_in(request, "bob")

    def sign_out_and_in(request: HttpRequest) -> None:
        assert request.user.is_authenticated  # Loaded, so that logout() knows who it is.
        logout(request)
        sign_in(request, "alice")

    def flush(request: HttpRequest) -> None:
        request.session.flush()

    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    do(monkeypatch, browser, flush_and_sign_in)
    assert told == [("alice", "flushed", "")]
    do(monkeypatch, browser, sign_out_and_in)
    assert told[1:] == [("bob", "logout", "bob")]
    do(monkeypatch, browser, flush)
    assert told[2:] == [("alice", "flushed", "")]


@one_engine
def test_of_several_logins_in_one_request_each_ends_the_session_before(
    engine: Engine, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hand_over(request: HttpRequest) -> None:
        engine.store(third.session_key).flush()
        sign_in(request, "bob")
        request.session.save()
        sign_in(request, "bob")
        sign_in(request, "alice")
        engine.store(other.session_key).flush()
        sign_in(request, "alice")

    browser, other, third = Browser(), Browser(), Browser()
    browser.get("/login/alice/")
    other.get("/login/bob/")
    third.get("/login/alice/")
    do(monkeypatch, browser, hand_over)
    assert told == [
        ("alice", "superseded", "bob"),
        ("bob", "superseded", "alice"),
        ("alice", "flushed", ""),
        ("bob", "flushed", ""),
    ]


@one_engine
def test_a_sign_in_over_a_session_of_another_password_supersedes_it(
    engine: Engine, told: Told
) -> None:
    browser = Browser()
    browser.get("/login/alice/")
    User.objects.filter(username="alice").update(password="!")  # seen by no receiver
    browser.get("/login/alice/")
    assert told == [("alice", "superseded", "alice")]


@one_engine
@both_ways
def test_what_a_view_has_flushed_is_told_where_the_view_fails(
    engine: Engine, is_async: bool, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: HttpRequest) -> None:
        request.session.flush()
        raise ZeroDivisionError

    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    with pytest.raises(ZeroDivisionError):
        do(monkeypatch, browser, fail)
    assert told == [("alice", "flushed", "")]


def test_a_flush_outside_of_requests_is_told_at_once(engine: Engine, told: Told) -> None:
    browser = Browser()
    browser.get("/login/alice/")
    engine.store(browser.session_key).flush()
    assert told == [("alice", "flushed", "")]


@one_engine
@both_ways
def test_a_flush_by_what_outlives_the_request_is_told_at_once(
    engine: Engine, is_async: bool, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a task does that a view starts, which goes on in the view's context."""
    contexts: list[contextvars.Context] = []
    browser, other = Browser(is_async=is_async), Browser()
    other.get("/login/alice/")
    do(monkeypatch, browser, lambda request: contexts.append(contextvars.copy_context()))
    assert contexts[0][current_request] is not None
    contexts[0].run(lambda: engine.store(other.session_key).flush())
    assert told == [("alice", "flushed", "")]
    assert undecided_ends(contexts[0][current_request]) == []


@one_engine
def test_a_flush_that_is_rolled_back_is_not_told_by_a_login_after_it(
    engine: Engine, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(request: HttpRequest) -> None:
        with transaction.atomic():
            sign_in(request, "bob")
            transaction.set_rollback(True)

    browser = Browser()
    browser.get("/login/alice/")
    do(monkeypatch, browser, act)
    assert told == []
    assert [row.user.get_username() for row in Session.objects.order_by("id") if row.user] == [
        "alice",
        "bob",
    ]


# The types


def test_an_event_shows_neither_row_nor_key(engine: Engine) -> None:
    browser = Browser()
    browser.get("/login/alice/")
    row = browser.row
    event = SessionEvent.of(SessionEventType.ENDED, vars(row), session=row)
    shown = repr(event) + str(event)
    assert str(row.public_id) in shown
    for secret in (browser.secret, bytes(row.secret_hash).hex(), repr(bytes(row.secret_hash))):
        assert secret not in shown
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.user_id = 7  # type: ignore[misc]


def test_an_event_of_a_row_that_was_not_read_as_a_whole_asks_for_nothing(
    django_assert_num_queries: Any,
) -> None:
    browser = Browser()
    browser.get("/login/alice/")
    row = Session.objects.only("public_id", "user").get()
    with django_assert_num_queries(0):
        event = SessionEvent.of(SessionEventType.ENDED, vars(row))
    assert (event.public_id, event.user_id, event.client) == (row.public_id, row.user_id, None)


def test_the_reasons_are_one_enum_whose_members_have_a_label_each() -> None:
    assert signals.SessionEndReason is events.SessionEndReason
    labels = [str(label) for label in SessionEndReason.labels]
    assert all(labels)
    assert len(set(labels)) == len(SessionEndReason)


def test_the_docs_name_each_reason_and_each_field() -> None:
    page = REFERENCE.read_text("utf-8")
    named = [reason.name for reason in SessionEndReason if f"`{reason.name}`" in page]
    assert named == SessionEndReason.names
    assert [field for field in audit.FIELDS if f"`{field}`" in page] == list(audit.FIELDS)


def test_a_client_is_told_within_what_may_be_kept_now(settings: Any) -> None:
    columns = {
        "public_id": uuid.uuid4(),
        "user_id": 1,
        "ip_address": "203.0.113.77",
        "user_agent": "Firefox\nsigned in",
    }
    expected = {"full": "203.0.113.77", "truncated": "203.0.113.0", "none": None}
    for setting, address in expected.items():
        settings.SESSIONKIT_IP_ADDRESS = setting
        event = SessionEvent.of(SessionEventType.ENDED, columns)
        assert event.client == Client(address, "Firefoxsigned in"), setting
    assert event.at <= timezone.now()
