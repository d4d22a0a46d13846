"""Another key for the same session."""

from __future__ import annotations

import pytest

from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.conformance.engines import refused_at_once
from tests.conformance.faces import Face, Faces
from tests.engines import Engine

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_signed_in", [False, True])
def test_cycling_the_key_keeps_the_data_and_kills_the_old_key(
    faces: Faces, engine: Engine, is_signed_in: bool
) -> None:
    data = {"cat": "Tom", "dog": "Rex"} | ({"_auth_user_id": "1"} if is_signed_in else {})
    session = faces.saved(data)
    old = session.session_key
    session.cycle_key()
    assert session.session_key != old
    is_written = engine.keeps_public_id_at_login or (is_signed_in and not engine.key_is_token)
    assert session.exists(old) is not is_written
    assert dict(session.items()) == data
    session.save()
    assert faces.has_ended(old) or (engine.key_is_token and not is_signed_in)
    assert faces.read(session.session_key) == data


def test_cycling_the_key_of_a_session_that_was_not_loaded_keeps_the_data(faces: Faces) -> None:
    session = faces.open(faces.saved({"cat": "Tom"}).session_key)
    session.cycle_key()
    assert dict(session.items()) == {"cat": "Tom"}
    session.save()
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_cycling_the_key_keeps_public_id_and_start(faces: Faces) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    before = Session.objects.get()
    session.cycle_key()
    session.save()
    after = Session.objects.get()
    assert (after.public_id, after.created_at) == (before.public_id, before.created_at)
    assert session.public_id == before.public_id
    assert bytes(after.secret_hash) != bytes(before.secret_hash)
    assert after.version > before.version


def test_cycling_the_key_of_a_new_session_writes_nothing_before_the_save(
    session: Face, faces: Faces
) -> None:
    session.set("cat", "Tom")
    session.cycle_key()
    assert not Session.objects.exists()
    session.save()
    assert faces.read(session.session_key) == {"cat": "Tom"}


@refused_at_once
def test_cycling_a_key_twice_keeps_the_last(faces: Faces) -> None:
    data = {"_auth_user_id": "1"}
    session = faces.saved(data)
    keys = [session.session_key]
    for _ in range(2):
        session.cycle_key()
        keys.append(session.session_key)
    session.save()
    assert [faces.read(key) for key in keys] == [{}, {}, data]
    assert Session.objects.count() == 1


def test_a_visitors_session_that_ended_starts_anew_when_its_key_is_cycled(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    old = session.session_key
    faces.open(old).delete()
    session.cycle_key()
    session.save()
    assert faces.public_id(session.session_key) != faces.public_id(old)
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_a_signed_in_session_that_ended_stays_gone_when_its_key_is_cycled(faces: Faces) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    faces.open(session.session_key).delete()
    session.cycle_key()
    with pytest.raises(SessionGone):
        session.save()
    assert not Session.objects.exists()
    assert faces.has_ended(session.session_key)
