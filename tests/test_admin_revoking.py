"""The admin as a place to revoke: what it ends, what it asks, reports and logs."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import AbstractBaseUser, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_sessionkit.admin import revoking
from django_sessionkit.admin.options import SessionAdmin
from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason, session_ended
from tests import admin_pages as pages
from tests.admin_pages import LIST, act, is_alive, page

pytestmark = [pytest.mark.django_db, pytest.mark.varies]

ACTIONS = ("delete_selected", "revoke_users")


@pytest.fixture
def guard() -> Client:
    return pages.browser(pages.guard())


@pytest.fixture
def alice() -> Client:
    return pages.browser(pages.person("alice"), address="203.0.113.7")


# What it ends


def test_selected_sessions_are_revoked_after_a_confirmation(guard: Client, alice: Client) -> None:
    rows = [pages.row(alice), pages.row(pages.browser())]
    other = pages.row(pages.browser(User.objects.get(username="alice")))

    confirmation = act(guard, "delete_selected", *rows)
    text = pages.html(confirmation)
    assert "<h1>Revoke sessions</h1>" in text
    assert "These 2 sessions will end." in text
    assert "<li>alice · Firefox on Windows · 203.0.113.7</li>" in text
    assert "<li>Visitor · Firefox on Windows · 192.0.2.1</li>" in text
    assert all(map(is_alive, rows))

    response = guard.post(LIST, pages.hidden_fields(confirmation), follow=True)
    assert pages.messages(response) == ["Revoked 2 sessions."]
    assert not any(map(is_alive, rows))
    assert is_alive(other)
    assert alice.get("/whoami/").content == b""


def test_all_sessions_of_the_selected_sessions_users_are_revoked(guard: Client) -> None:
    alice, bob, carol = (pages.person(name) for name in ("alice", "bob", "carol"))
    browsers = [pages.browser(user) for user in (alice, alice, bob, bob, carol, None)]
    rows = [pages.row(client) for client in browsers]

    confirmation = act(guard, "revoke_users", rows[0], rows[2], rows[5])
    assert "These 4 sessions will end." in pages.html(confirmation)
    late = pages.row(pages.browser(alice))
    response = guard.post(LIST, pages.hidden_fields(confirmation), follow=True)

    assert pages.messages(response) == ["Revoked 5 sessions."]
    assert [is_alive(session) for session in rows] == [False] * 4 + [True] * 2
    assert not is_alive(late)


def test_visitors_have_no_other_sessions_to_revoke(guard: Client) -> None:
    session = pages.row(pages.browser())
    for fields in ({}, {"post": "yes"}):
        response = act(guard, "revoke_users", session, **fields)
        assert response.status_code == 302
    assert pages.messages(guard.get(LIST))[0] == "No session of a user was selected."
    assert is_alive(session)


def test_a_session_is_revoked_from_its_page(guard: Client, alice: Client) -> None:
    session = pages.row(alice)
    filters = "?_changelist_filters=state%3Dactive"
    button = re.search(
        r'href="([^"]+)" class="deletelink">Revoke',
        detail := pages.html(guard.get(page(session) + filters)),
    )
    assert button is not None, detail

    confirmation = guard.get(button[1])
    assert "<h1>Revoke session</h1>" in pages.html(confirmation)
    assert "<li>alice · Firefox on Windows · 203.0.113.7</li>" in pages.html(confirmation)
    assert is_alive(session)

    response = guard.post(button[1], pages.hidden_fields(confirmation))
    assert response["Location"] == f"{LIST}?state=active"
    assert pages.messages(guard.get(LIST)) == ["Revoked 1 session."]
    assert alice.get("/whoami/").content == b""


def test_a_session_whose_user_is_missing_is_revoked_by_each_way(guard: Client) -> None:
    rows = pages.make_rows(3, user_id=987654)
    guard.post(page(rows[0], "delete"), {"post": "yes"})
    act(guard, "delete_selected", rows[1], post="yes")
    act(guard, "revoke_users", rows[2], post="yes")
    assert not any(map(is_alive, rows))


@pytest.mark.slow
def test_a_choice_across_pages_revokes_what_was_counted(guard: Client) -> None:
    rows = pages.make_rows(1200)
    first_page = rows[-100:]

    confirmation = act(guard, "delete_selected", *first_page, select_across="1")
    text, fields = pages.html(confirmation), pages.hidden_fields(confirmation)
    assert "These 1201 sessions will end." in text
    assert text.count("<li>Visitor · Unknown device</li>") == 100
    assert "<li>and 1101 more</li>" in text
    # Far from DATA_UPLOAD_MAX_NUMBER_FIELDS.
    assert sum(map(len, fields.values())) < 10
    late = pages.make_rows(1)[0]
    with CaptureQueriesContext(connection) as queries:
        response = guard.post(LIST, fields)

    assert response["Location"] == LIST
    assert list(Session.objects.all()) == [late]
    assert LogEntry.objects.count() == 1201
    assert len(queries) < 30
    assert all(len(q["sql"]) < 500_000 for q in queries)


def test_a_choice_across_pages_keeps_to_the_filters(guard: Client, alice: Client) -> None:
    visitor, session = pages.row(pages.browser()), pages.row(alice)
    confirmation = act(
        guard, "delete_selected", session, query="?q=alice&owner=users", select_across="1"
    )
    guard.post(f"{LIST}?q=alice&owner=users", pages.hidden_fields(confirmation))
    assert (is_alive(session), is_alive(visitor)) == (False, True)


@pytest.mark.parametrize("newest", ["", "x", "-1", "²", "9" * 40])
def test_a_confirmation_across_pages_made_by_hand_is_no_error(guard: Client, newest: str) -> None:
    fields = {"_selected_action": newest, "select_across": "1", "post": "yes"}
    for action in ACTIONS:
        assert guard.post(LIST, {"action": action, **fields}).status_code == 302


def test_what_ended_before_the_confirmation_is_no_error(guard: Client, alice: Client) -> None:
    session = pages.row(alice)
    for action in ACTIONS:
        fields = pages.hidden_fields(act(guard, action, session))
        Session.objects.filter(pk=session.pk).delete()
        assert guard.post(LIST, fields).status_code == 302
        session = pages.row(pages.browser(User.objects.get(username="alice")))
    Session.objects.filter(pk=session.pk).delete()
    for name in ("change", "delete", "history"):
        assert guard.get(page(session, name), follow=True).status_code == 200


def test_a_get_revokes_nothing(guard: Client, alice: Client) -> None:
    session = pages.row(alice)
    fields = {"action": "delete_selected", "_selected_action": str(session.pk), "post": "yes"}
    guard.get(LIST, fields)
    guard.get(page(session, "delete"), {"post": "yes"})
    assert is_alive(session)


# The own session


def test_the_own_session_is_warned_about_on_each_confirmation_page(
    guard: Client, alice: Client
) -> None:
    own, other = pages.row(guard), pages.row(alice)
    alone, among = "This is your own session", "Your own session is among them"

    assert alone in pages.html(guard.get(page(own, "delete")))
    assert alone in pages.html(act(guard, "delete_selected", own))
    assert alone in pages.html(act(guard, "revoke_users", own))
    assert among in pages.html(act(guard, "delete_selected", own, other))
    assert among in pages.html(act(guard, "revoke_users", own, other))
    # Of the same user, who is signed in twice.
    twin = pages.row(pages.browser(User.objects.get(username="guard")))
    assert among in pages.html(act(guard, "revoke_users", twin))
    for response in (
        guard.get(page(other, "delete")),
        act(guard, "delete_selected", other, twin),
        act(guard, "revoke_users", other),
    ):
        assert 'role="alert"' not in pages.html(response)


@pytest.mark.parametrize("way", ["delete", *ACTIONS])
def test_revoking_the_own_session_lands_on_the_login_page(guard: Client, way: str) -> None:
    own = pages.row(guard)
    if way == "delete":
        response = guard.post(page(own, "delete"), {"post": "yes"}, follow=True)
    else:
        response = guard.post(
            LIST, {"action": way, "_selected_action": own.pk, "post": "yes"}, follow=True
        )
    assert response.redirect_chain[-1][0].startswith("/admin/login/")
    assert "Revoked 1 session." in pages.html(response)
    assert not is_alive(own)


# What is told


def test_the_log_tells_who_revoked_whose_session_by_public_id(guard: Client, alice: Client) -> None:
    user = User.objects.get(username="alice")
    rows = [pages.row(alice), *(pages.row(pages.browser(user)) for _ in range(2))]
    guard.post(page(rows[0], "delete"), {"post": "yes"})
    act(guard, "delete_selected", rows[1], post="yes")
    act(guard, "revoke_users", rows[2], post="yes")

    entries = LogEntry.objects.order_by("id")
    assert [(entry.user.get_username(), entry.action_flag) for entry in entries] == [
        ("guard", DELETION)
    ] * 3
    assert [entry.object_id for entry in entries] == [str(session.public_id) for session in rows]
    assert {entry.object_repr for entry in entries} == {str(one.public_id) for one in rows}
    assert {entry.get_change_message() for entry in entries} == {
        "The session of alice ended: revoked."
    }


def test_the_signal_tells_who_revoked(
    guard: Client, alice: Client, django_capture_on_commit_callbacks: Any
) -> None:
    session, told = pages.row(alice), []

    def listen(
        session: Session, reason: SessionEndReason, actor: AbstractBaseUser, **kwargs: Any
    ) -> None:
        told.append((session.public_id, reason, actor.get_username(), bool(session.secret_hash)))

    session_ended.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            guard.post(page(session, "delete"), {"post": "yes"})
    finally:
        session_ended.disconnect(listen)
    assert told == [(session.public_id, SessionEndReason.REVOKED, "guard", True)]


def test_no_page_says_deleted_where_revoked_is_meant(guard: Client, alice: Client) -> None:
    user = User.objects.get(username="alice")
    rows = [pages.row(alice), pages.row(pages.browser(user))]
    shown = [guard.get(LIST), guard.get(page(rows[0])), guard.get(page(rows[0], "delete"))]
    shown += [act(guard, action, *rows) for action in ACTIONS]
    shown.append(guard.post(page(rows[0], "delete"), {"post": "yes"}, follow=True))
    fields = {"action": "delete_selected", "_selected_action": rows[1].pk, "post": "yes"}
    shown.append(guard.post(LIST, fields, follow=True))
    for response in shown:
        visible = re.sub(
            r"<(script|style).*?</\1>|<[^>]*>", " ", pages.html(response), flags=re.DOTALL
        )
        assert "delet" not in visible.lower()


# Users


@pytest.mark.parametrize("way", ["page", "action"])
def test_a_user_is_deleted_by_staff_who_may_not_delete_sessions(alice: Client, way: str) -> None:
    clerk = pages.browser(pages.person("clerk", "view_user", "delete_user"))
    session, own = pages.row(alice), pages.row(clerk)
    path = "/admin/auth/user/"
    if way == "page":
        path += f"{session.user_id}/delete/"
        fields: dict[str, Any] = {"post": "yes"}
    else:
        fields = {"action": "delete_selected", "_selected_action": session.user_id, "post": "yes"}
    confirmation = clerk.post(path, {**fields, "post": ""}) if way == "action" else clerk.get(path)
    assert confirmation.status_code == 200
    assert "permission to delete" not in pages.html(confirmation)

    assert clerk.post(path, fields).status_code == 302

    assert not User.objects.filter(username="alice").exists()
    assert not is_alive(session)
    assert is_alive(own)
    assert alice.get("/whoami/").content == b""


@pytest.mark.django_db(transaction=True)
def test_the_copy_of_what_another_process_has_just_ended_is_taken_back_too(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_ENGINE = "django_sessionkit.backends.cached_db"
    guard, alice = pages.browser(pages.guard()), pages.browser(pages.person("alice"))
    session = pages.row(alice)
    assert alice.get("/whoami/").content == b"alice"
    by_admin = SessionAdmin.delete_queryset

    def delete(self: Any, request: Any, queryset: Any) -> None:
        chosen = list(queryset)
        # It has committed, and not reached the cache.
        Session.objects.filter(pk=session.pk)._raw_delete("default")
        by_admin(self, request, chosen)

    monkeypatch.setattr(SessionAdmin, "delete_queryset", delete)
    act(guard, "delete_selected", session, post="yes")
    assert alice.get("/whoami/").content == b""


def test_an_action_over_all_pages_takes_nothing_older_than_was_confirmed(
    guard: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "MAX_ACROSS", 5)
    rows = pages.make_rows(9, ip_address="203.0.113.7")
    fields = {"select_across": "1", "query": "?q=203.0.113.7"}
    confirmation = act(guard, "delete_selected", rows[-1], **fields)
    # Three of the five end meanwhile.
    Session.objects.filter(pk__in=[row.pk for row in rows[-3:]]).delete()
    guard.post(f"{LIST}?q=203.0.113.7", pages.hidden_fields(confirmation))
    left = set(Session.objects.filter(ip_address="203.0.113.7").values_list("pk", flat=True))
    assert left == {row.pk for row in rows[:4]}
