"""Who may look and who may revoke in the admin, by every page and by posts made by hand."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from tests import admin_pages as pages
from tests.admin_pages import LIST, act, is_alive, page

pytestmark = [pytest.mark.django_db, pytest.mark.varies]

ROLES: dict[str, tuple[str, ...]] = {
    "nobody": ("view_user",),
    "viewer": ("view_session",),
    "revoker": ("delete_session",),
    "guard": ("view_session", "delete_session"),
}
ACTIONS = ("delete_selected", "revoke_users")


def signed_in(role: str) -> Client:
    user = pages.boss() if role == "boss" else pages.person(role, *ROLES[role])
    return pages.browser(user)


@pytest.fixture
def guard() -> Client:
    return signed_in("guard")


@pytest.fixture
def alice() -> Client:
    return pages.browser(pages.person("alice"), address="203.0.113.7")


# Who may


@pytest.mark.parametrize("role", [*ROLES, "boss"])
def test_looking_needs_the_permission_to_view(alice: Client, role: str) -> None:
    client, session = signed_in(role), pages.row(alice)
    expected = 200 if role in ("viewer", "guard", "boss") else 403
    for path in (LIST, page(session), page(session, "history")):
        assert client.get(path).status_code == expected


@pytest.mark.parametrize("role", [*ROLES, "boss"])
def test_revoking_one_needs_the_permission_to_delete(alice: Client, role: str) -> None:
    client, session = signed_in(role), pages.row(alice)
    allowed = role in ("revoker", "guard", "boss")

    assert client.get(page(session, "delete")).status_code == (200 if allowed else 403)
    response = client.post(page(session, "delete"), {"post": "yes"})

    assert response.status_code == (302 if allowed else 403)
    assert is_alive(session) is not allowed


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", [*ROLES, "boss"])
def test_an_action_needs_both_permissions(alice: Client, role: str, action: str) -> None:
    client, session = signed_in(role), pages.row(alice)
    allowed = role in ("guard", "boss")

    act(client, action, session)
    assert is_alive(session)
    act(client, action, session, post="yes")
    assert is_alive(session) is not allowed
    act(client, action, session, post="yes", index="0", select_across="1")
    assert is_alive(session) is not allowed


def test_who_may_only_view_is_offered_no_way_to_revoke(alice: Client) -> None:
    client, session = signed_in("viewer"), pages.row(alice)
    assert '<select name="action"' not in pages.html(client.get(LIST))
    assert "Revoke" not in pages.html(client.get(page(session)))


def test_who_may_only_revoke_is_told_no_more_than_the_public_id(alice: Client) -> None:
    client, session = signed_in("revoker"), pages.row(alice)
    text = pages.html(client.get(page(session, "delete")))
    assert str(session.public_id) in text
    assert not {"alice", "203.0.113.7", "Firefox"} & set(re.split(r"[^\w.]", text))
    response = client.post(page(session, "delete"), {"post": "yes"})
    assert response["Location"] == "/admin/"


def test_who_is_not_staff_is_sent_to_sign_in(alice: Client) -> None:
    session = pages.row(alice)
    for client in (alice, Client(), pages.browser()):
        for path in (LIST, page(session), page(session, "delete"), page(session, "history")):
            assert client.post(path, {"post": "yes"})["Location"].startswith("/admin/login/")
    assert is_alive(session)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_page_of_a_session_takes_no_action_by_hand(alice: Client, action: str) -> None:
    client, session = signed_in("viewer"), pages.row(alice)
    for prefix in ("", "change_form-", "change-form-"):
        fields = {f"{prefix}action": action, "_selected_action": session.pk, "post": "yes"}
        assert client.post(page(session), fields).status_code == 403
    assert is_alive(session)


# A superuser's sessions


def test_only_superusers_revoke_a_superusers_session(guard: Client) -> None:
    boss = pages.browser(pages.boss())
    session = pages.row(boss)
    assert guard.get(page(session)).status_code == 200
    assert page(session, "delete") not in pages.html(guard.get(page(session)))
    assert guard.get(page(session, "delete")).status_code == 403
    assert guard.post(page(session, "delete"), {"post": "yes"}).status_code == 403
    assert is_alive(session)

    other_boss = pages.browser(pages.boss("other"))
    other_boss.post(page(session, "delete"), {"post": "yes"})
    assert not is_alive(session)


@pytest.mark.parametrize("across", ["0", "1"])
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_leaves_out_superusers_sessions_and_says_so(
    guard: Client, alice: Client, action: str, across: str
) -> None:
    bosses = [pages.browser(pages.boss(name)) for name in ("boss", "chief")]
    kept = [pages.row(one) for one in bosses]
    rows = [pages.row(alice), *kept]

    confirmation = act(guard, action, *rows, select_across=across)
    report = ["2 sessions were left out: only superusers may revoke a superuser's."]
    assert pages.messages(confirmation) == report
    assert "alice ·" in pages.html(confirmation)
    assert not {"boss ·", "chief ·"} & set(pages.html(confirmation).splitlines())

    # The form of the page, and one made by hand that names them all the same.
    guard.post(LIST, pages.hidden_fields(confirmation))
    assert not is_alive(rows[0])
    # Across pages, the guard's own session was among them.
    second = pages.browser(User.objects.get(username="guard"))
    act(second, action, *rows, post="yes", select_across=across)
    assert [is_alive(session) for session in kept] == [True, True]


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_on_a_superusers_session_alone_does_nothing_but_say_so(
    guard: Client, action: str
) -> None:
    session = pages.row(pages.browser(pages.boss()))
    for fields in ({}, {"post": "yes"}):
        response = guard.post(
            LIST, {"action": action, "_selected_action": session.pk, **fields}, follow=True
        )
        assert pages.messages(response) == [
            "1 session was left out: only superusers may revoke a superuser's."
        ]
    assert is_alive(session)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_who_becomes_a_superuser_before_the_confirmation_is_left_out(
    guard: Client, alice: Client, action: str
) -> None:
    session = pages.row(alice)
    confirmation = act(guard, action, session)
    User.objects.filter(username="alice").update(is_superuser=True)
    guard.post(LIST, pages.hidden_fields(confirmation))
    assert is_alive(session)
