"""What has to work where sessions and users lie in two databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.models import Session

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sessions"]),
    pytest.mark.varies,
]


@pytest.fixture
def alice() -> User:
    return User.objects.create_superuser("alice")


def sessions() -> SessionQuerySet:
    return Session.objects.using("sessions")


def signed_in(name: str) -> Client:
    browser = Client()
    browser.get(f"/login/{name}/")
    return browser


def test_the_session_is_written_and_read_in_its_own_database(alice: User) -> None:
    browser = signed_in("alice")
    browser.get("/set/cat/Tom/")
    assert browser.get("/read/").json()["cat"] == "Tom"
    assert browser.get("/whoami/").text == "alice"
    assert sessions().get().user_id == alice.pk
    browser.get("/logout/")
    assert not sessions().exists()


def test_overlapping_requests_are_merged(alice: User) -> None:
    session_key = signed_in("alice").cookies["sessionid"].value
    one, other = SessionStore(session_key), SessionStore(session_key)
    one["one"] = 1
    other["other"] = 2
    one.save()
    other.save()
    data = dict(SessionStore(session_key).items())
    assert (data["one"], data["other"]) == (1, 2)


def test_the_registry_lists_and_revokes(alice: User) -> None:
    browser = signed_in("alice")
    (session,) = registry.list_sessions(alice)
    assert registry.find_session(session.public_id) == session
    assert registry.revoke(session, owner=registry.ANY_OWNER)
    assert browser.get("/whoami/").text == ""


def change_password(user: User) -> None:
    user.set_password("new")
    user.save()


def deactivate(user: User) -> None:
    user.is_active = False
    user.save()


@pytest.mark.parametrize(
    "change", [User.delete, change_password, deactivate], ids=["delete", "password", "deactivate"]
)
def test_what_happens_to_the_user_ends_the_sessions_once_it_has_committed(
    alice: User, change: Callable[[User], object]
) -> None:
    signed_in("alice")
    with transaction.atomic():
        change(alice)
        assert sessions().exists()
    assert not sessions().exists()


def test_a_change_of_the_user_that_is_rolled_back_ends_nothing(alice: User) -> None:
    browser = signed_in("alice")
    with transaction.atomic():
        deactivate(alice)
        transaction.set_rollback(True)
    assert browser.get("/whoami/").text == "alice"


def test_sessions_of_missing_users_are_cleaned_up(alice: User) -> None:
    User.objects.create_user("bob")
    signed_in("alice")
    signed_in("bob")
    User.objects.filter(pk=alice.pk)._raw_delete("default")
    yesterday = timezone.now() - timedelta(days=1)
    sessions().update(created_at=yesterday, authenticated_at=yesterday)
    call_command("clearsessions", verbosity=0)
    (left,) = sessions()
    assert left.user_id == User.objects.get(username="bob").pk


def test_many_missing_users_are_found_among_many() -> None:
    present = [
        user.pk for user in User.objects.bulk_create(User(username=f"{n}") for n in range(1500))
    ]
    yesterday, tomorrow = (timezone.now() + timedelta(days=days) for days in (-1, 1))
    sessions().bulk_create(
        Session(
            secret_hash=b"h" * 32,
            user_id=pk,
            created_at=yesterday,
            # Ties that are larger than a chunk.
            expire_date=tomorrow if pk % 3 else tomorrow + timedelta(hours=1),
        )
        for found in present
        for pk in (found, max(present) + found)
    )
    call_command("clearsessions", verbosity=0)
    assert sorted(sessions().values_list("user_id", flat=True)) == sorted(present)


def test_the_admin_shows_searches_and_revokes(alice: User) -> None:
    browser = signed_in("alice")
    User.objects.create_user("bob")
    other = signed_in("bob")
    session = sessions().get(user=User.objects.get(username="bob"))
    url = "/admin/sessionkit/session/"
    for query in ({}, {"q": "bob"}, {"q": "192.0.2.7"}, {"o": "1"}):
        page = browser.get(url, query)
        assert page.status_code == 200
    page = browser.get(f"{url}{session.public_id}/change/", follow=True)
    assert page.status_code == 200
    chosen = {"action": "delete_selected", "_selected_action": str(session.pk), "post": "yes"}
    browser.post(url, chosen)
    del other
    assert [each.user_id for each in sessions()] == [alice.pk]


def test_the_site_has_no_problem_that_checks_find() -> None:
    call_command("check", fail_level="WARNING", databases=["default", "sessions"])
