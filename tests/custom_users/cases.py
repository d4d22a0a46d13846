"""What has to work whatever the primary key of users is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.models import Session

pytestmark = [pytest.mark.django_db, pytest.mark.varies]

PRIMARY_KEYS: dict[str, list[Any]] = {
    "IntegerUser": [2147483647, -1],
    "UUIDUser": ["6b1d3b0e-8a2f-4b57-9d70-0f6a0b1f5c11", "00000000-0000-4000-8000-000000000000"],
    "StringUser": ["Zoë O'Hara <zoe@example.com>", "0"],
}
MISFITS = {
    "IntegerUser": ["6b1d3b0e-8a2f-4b57-9d70-0f6a0b1f5c11", "x", str(2**64)],
    "UUIDUser": ["42", "x" * 32, ""],
    "StringUser": ["x" * 101],
}
MODEL = get_user_model().__name__


@pytest.fixture
def users() -> list[Any]:
    """Two users whose primary keys are as unlike as the model allows."""
    manager: Any = get_user_model()._default_manager
    for pk, name in zip(PRIMARY_KEYS[MODEL], ("alice", "bob"), strict=True):
        manager.create(pk=pk, name=name)
    return list(manager.order_by("name"))


def signed_in(name: str) -> Client:
    browser = Client()
    browser.get(f"/login/{name}/")
    return browser


def test_the_row_names_the_owner(users: list[Any]) -> None:
    for user in users:
        browser = signed_in(user.name)
        assert browser.get("/whoami/").text == user.name
        (session,) = registry.list_sessions(user)
        assert session.user_id == user.pk
        assert session.user == user
        assert session.get_decoded()[SESSION_KEY] == str(user.pk)


def test_sessions_are_found_and_revoked_by_user_and_by_primary_key(users: list[Any]) -> None:
    alice, bob = users
    kept, revoked, other = signed_in("alice"), signed_in("alice"), signed_in("bob")
    assert len(registry.list_sessions(alice)) == len(registry.list_sessions(alice.pk)) == 2
    keep = registry.list_sessions(alice)[-1]
    assert registry.revoke_others(alice, keep=keep).count == 1
    assert registry.list_sessions(alice) == [keep]
    assert [browser.get("/whoami/").text for browser in (kept, revoked, other)] == [
        "alice",
        "",
        "bob",
    ]
    assert registry.revoke_user(bob.pk).count == 1
    assert other.get("/whoami/").text == ""


def test_signing_in_as_another_user_is_another_session(users: list[Any]) -> None:
    browser = signed_in("alice")
    browser.get("/login/bob/")
    assert registry.list_sessions(users[0]) == []
    assert len(registry.list_sessions(users[1])) == 1


def test_signing_in_again_keeps_the_session(users: list[Any]) -> None:
    browser = signed_in("alice")
    before = Session.objects.get()
    browser.get("/login/alice/")
    assert Session.objects.get().public_id == before.public_id


def test_deleting_a_user_ends_their_sessions_alone(users: list[Any]) -> None:
    gone, stays = signed_in("alice"), signed_in("bob")
    users[0].delete()
    assert [session.user for session in Session.objects.all()] == [users[1]]
    assert gone.get("/whoami/").text == ""
    assert stays.get("/whoami/").text == "bob"


def test_deactivating_a_user_ends_their_sessions(users: list[Any]) -> None:
    signed_in("alice")
    users[0].is_active = False
    users[0].save()
    assert not Session.objects.exists()


def test_a_new_password_ends_the_sessions(users: list[Any]) -> None:
    signed_in("alice")
    users[0].set_password("new")
    users[0].save()
    assert not Session.objects.exists()


def test_the_session_that_an_overlapping_request_saved_keeps_its_owner(users: list[Any]) -> None:
    session_key = signed_in("alice").cookies["sessionid"].value
    one, other = SessionStore(session_key), SessionStore(session_key)
    one["one"] = 1
    other["other"] = 2
    one.save()
    other.save()
    assert Session.objects.get().user == users[0]


def test_sessions_of_missing_users_are_cleaned_up(users: list[Any]) -> None:
    signed_in("alice")
    signed_in("bob")
    table = connection.ops.quote_name(get_user_model()._meta.db_table)
    with connection.cursor() as cursor:  # no signal is sent
        cursor.execute(f"DELETE FROM {table} WHERE name = 'alice'")  # noqa: S608
    yesterday = timezone.now() - timedelta(days=1)
    Session.objects.update(created_at=yesterday, authenticated_at=yesterday)
    call_command("clearsessions", verbosity=0)
    assert [session.user for session in Session.objects.all()] == [users[1]]


@pytest.mark.parametrize("value", MISFITS[MODEL])
def test_a_value_of_another_user_model_is_nobody(value: str) -> None:
    store = SessionStore()
    store[SESSION_KEY] = value
    store.save()
    assert Session.objects.get().user_id is None
    assert dict(SessionStore(store.session_key).items()) == {SESSION_KEY: value}
