"""Tests of base_session.py: the row on its own, and under the models of other sites."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.test import override_settings
from django.utils import timezone

from django_sessionkit.backends.db import SessionStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import device_label
from django_sessionkit.keys import is_public_id
from django_sessionkit.models import Session

pytestmark = pytest.mark.varies

ROOT = Path(__file__).resolve().parent.parent
HOUR = timedelta(hours=1)


def make(end: timedelta = HOUR, **fields: Any) -> Session:
    return Session.objects.create(
        secret_hash=b"\0" * 32, expire_date=timezone.now() + end, **fields
    )


def run_on_another_site(settings: str, *cases: str, **environment: str) -> None:
    """Run the test cases under other settings, in a process and a test database of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--ds={settings}", "--create-db", *cases],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("user_model", ["IntegerUser", "UUIDUser", "StringUser"])
def test_users_may_have_a_primary_key_of_any_kind(user_model: str) -> None:
    run_on_another_site(
        "tests.custom_users.settings", "tests/custom_users/cases.py", TEST_USER_MODEL=user_model
    )


@pytest.mark.slow
def test_a_project_may_have_a_session_model_of_its_own() -> None:
    run_on_another_site("tests.custom_session.settings", "tests/custom_session/cases.py")


@pytest.mark.slow
def test_sessions_may_lie_in_another_database_than_users() -> None:
    run_on_another_site("tests.two_databases.settings", "tests/two_databases/cases.py")


@pytest.mark.django_db
def test_sessions_are_active_until_their_end_and_expired_from_then_on() -> None:
    ended, active = make(-HOUR), make(HOUR)
    assert list(Session.objects.active()) == [active]
    assert list(Session.objects.expired()) == [ended]
    assert (active.is_active, ended.is_active) == (True, False)
    moment = active.expire_date
    assert list(Session.objects.active(moment)) == []
    assert list(Session.objects.active(moment - timedelta(microseconds=1))) == [active]
    assert set(Session.objects.expired(moment)) == {ended, active}
    assert list(Session.objects.expired(moment - 3 * HOUR)) == []


@pytest.mark.django_db
def test_sessions_of_a_user_are_listed_newest_first() -> None:
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    mine = [make(user=alice), make(user=alice, end=-HOUR), make(user=alice)]
    make(user=bob)
    make()
    assert list(Session.objects.for_user(alice)) == mine[::-1]
    assert list(Session.objects.for_user(alice.pk)) == mine[::-1]
    assert list(Session.objects.active().for_user(alice)) == [mine[2], mine[0]]


@pytest.mark.django_db
def test_the_questions_can_be_asked_of_each_others_answers() -> None:
    alice = User.objects.create_user("alice")
    session = make(user=alice, end=-HOUR)
    assert list(Session.objects.for_user(alice).expired().filter(pk=session.pk)) == [session]


@pytest.mark.django_db
def test_the_public_id_is_unique() -> None:
    session = make()
    with pytest.raises(IntegrityError), transaction.atomic():
        make(public_id=session.public_id)


@pytest.mark.django_db
def test_a_bare_row_is_complete() -> None:
    before = timezone.now()
    make()
    session = Session.objects.get()
    assert is_public_id(session.public_id)
    assert before <= session.created_at <= timezone.now()
    assert before <= session.last_seen_at <= timezone.now()
    assert (session.user_id, session.authenticated_at, session.ip_address) == (None, None, None)
    assert (session.user_agent, session.data, session.version) == ("", None, 1)
    assert bytes(session.secret_hash) == b"\0" * 32


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", None])
def test_addresses_of_both_kinds_fit(address: str | None) -> None:
    session = make(ip_address=address, user_agent="x" * 512)
    session.refresh_from_db()
    assert session.ip_address == address
    assert session.user_agent == "x" * 512


@pytest.mark.slow
@pytest.mark.django_db
def test_megabytes_of_data_fit() -> None:
    store = SessionStore()
    # Random, so that compressing it does not help.
    store["big"] = "".join(uuid.uuid4().hex for _ in range(60_000))
    store.save()
    assert SessionStore(store.session_key)["big"] == store["big"]


@pytest.mark.django_db
def test_the_row_decodes_its_data() -> None:
    store = SessionStore()
    store["cat"] = "Tom"
    store.save()
    session = Session.objects.get()
    assert session.get_decoded() == {"cat": "Tom"}
    session.data = None
    assert session.get_decoded() == {}
    session.data = "garbage"
    assert session.get_decoded() == {}


@pytest.mark.django_db
def test_the_row_is_shown_by_its_public_id() -> None:
    session = make()
    assert str(session) == str(session.public_id)
    assert repr(session) == f"<Session: {session.public_id}>"


@pytest.mark.django_db
def test_the_label_is_that_of_the_user_agent() -> None:
    assert make().label == device_label("")
    assert make(user_agent="Example/1.0 (X11)").label == device_label("Example/1.0 (X11)")


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
def test_the_store_class_is_that_of_the_configured_engine() -> None:
    store = Session.get_session_store_class()
    assert store.__module__ == "django.contrib.sessions.backends.signed_cookies"


@pytest.mark.django_db
def test_rows_of_users_who_are_not_there_are_no_error() -> None:
    session = make(user_id=987654)
    session.refresh_from_db()
    assert session.user_id == 987654


def test_users_are_deleted_without_looking_at_sessions() -> None:
    field: Any = Session._meta.get_field("user")
    assert field.remote_field.on_delete is models.DO_NOTHING
    assert not field.db_constraint
    assert field.remote_field.hidden
    # Nothing collects sessions when a user is deleted, nor asks for permission to delete them.
    assert not [
        relation
        for relation in User._meta.get_fields(include_hidden=True)
        if relation.auto_created
        and relation.related_model is Session
        and getattr(relation, "on_delete", None) is not models.DO_NOTHING
    ]


def test_there_is_no_permission_to_add_or_change_a_session() -> None:
    assert Session._meta.default_permissions == ("view", "delete")


def test_the_abstract_model_has_no_table() -> None:
    assert AbstractSession._meta.abstract
    assert Session._meta.app_label == "sessionkit"
