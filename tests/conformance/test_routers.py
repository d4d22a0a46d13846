"""Sites with several databases: sessions are read where they are written."""

from __future__ import annotations

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client, override_settings

from django_sessionkit import registry
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests.conformance.engines import in_sync_code
from tests.conformance.faces import Faces

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine")]


class ReadsFromAReplica:
    """Sends reads of sessions to a database that is not there: reading from it raises."""

    def db_for_read(self, model: type[Model], **hints: object) -> str | None:
        return "replica" if issubclass(model, Session) else None

    def db_for_write(self, model: type[Model], **hints: object) -> str:
        return "default"


with_replica = override_settings(DATABASE_ROUTERS=[f"{__name__}.ReadsFromAReplica"])


@with_replica
def test_no_act_of_a_store_reads_from_a_replica(faces: Faces) -> None:
    session = faces.saved({SESSION_KEY: "1", "cat": "Tom"})
    session_key = session.session_key
    assert session.exists(session_key)
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("one", 1)
    other.set("other", 2)
    one.save()
    other.save()  # merges
    assert faces.read(one.session_key)["one"] == 1
    other.cycle_key()
    other.save()
    assert faces.has_ended(session_key)
    retired = faces.open(session_key)
    retired.flush()
    assert faces.read(SplitKey.generate().session_key) == {}
    other.clear_expired()
    other.delete()
    assert faces.has_ended(other.session_key)
    faces.open().create()


@with_replica
def test_requests_do_not_read_from_a_replica() -> None:
    User.objects.create_user("alice")
    browser = Client()
    browser.get("/set/cat/Tom/")
    browser.get("/login/alice/")
    assert browser.get("/whoami/").text == "alice"
    browser.get("/logout/")
    assert browser.get("/read/").json() == {}


@in_sync_code
@with_replica
def test_the_registry_does_not_read_from_a_replica(faces: Faces) -> None:
    user = User.objects.create_user("alice")
    public_ids = [faces.saved({SESSION_KEY: str(user.pk)}).public_id for _ in range(4)]
    assert {one.public_id for one in registry.list_sessions(user)} == set(public_ids)
    assert registry.find_session(public_ids[0]) is not None
    assert registry.revoke(public_ids[0], owner=registry.ANY_OWNER)
    assert registry.revoke_others(user, keep=public_ids[1]).count == 2
    assert registry.revoke_user(user).count == 1
    faces.saved({SESSION_KEY: str(user.pk)})
    user.delete()
    assert registry.revoke_everyone().count == 0
