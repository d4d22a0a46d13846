"""Saving, loading and ending a session."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.base import CreateError

from tests.cases import for_each
from tests.conformance.faces import Face, Faces
from tests.engines import Engine

pytestmark = pytest.mark.django_db


def test_a_saved_session_exists_and_is_found_by_its_key(session: Face, faces: Faces) -> None:
    session.set("cat", "Tom")
    session.save()
    assert session.exists(session.session_key)
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_an_empty_session_can_be_saved(session: Face, faces: Faces) -> None:
    session.save()
    assert session.exists(session.session_key)
    assert faces.read(session.session_key) == {}


def test_saving_keeps_the_dictionary(session: Face) -> None:
    session.set("cat", "Tom")
    session.save()
    assert session.get("cat") == "Tom"


def test_saving_again_keeps_the_session_and_writes_what_changed(
    faces: Faces, engine: Engine
) -> None:
    first = faces.saved({"cat": "Tom", "dog": "Rex"})
    second = faces.open(first.session_key)
    second.set("cat", "Felix")
    second.pop("dog")
    second.save()
    assert (second.session_key == first.session_key) is not engine.key_is_token
    assert second.public_id == first.public_id
    assert faces.read(second.session_key) == {"cat": "Felix"}


def test_load_returns_the_data_of_the_key(faces: Faces) -> None:
    saved = faces.saved({"cat": "Tom"})
    assert faces.open(saved.session_key).load() == {"cat": "Tom"}


def test_a_nested_value_changed_in_place_is_saved(faces: Faces) -> None:
    session = faces.open(faces.saved({"cart": [1]}).session_key)
    session.get("cart").append(2)
    session.save()
    assert faces.read(session.session_key) == {"cart": [1, 2]}


def test_a_session_cleared_without_being_loaded_is_saved_empty(faces: Faces) -> None:
    session = faces.open(faces.saved({"cat": "Tom"}).session_key)
    session.clear()
    session.set("dog", "Rex")
    session.save()
    assert faces.read(session.session_key) == {"dog": "Rex"}


def test_create_stores_the_session_at_once(session: Face, faces: Faces) -> None:
    session.create()
    assert session.session_key is not None
    assert session.exists(session.session_key)
    assert session.modified
    session.set("cat", "Tom")
    session.save()
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_create_gives_each_session_a_key_of_its_own(faces: Faces) -> None:
    keys = set()
    for _ in range(5):
        session = faces.open()
        session.create()
        keys.add(session.session_key)
    assert len(keys) == 5


def test_saving_with_must_create_a_second_time_is_a_create_error(
    session: Face, faces: Faces
) -> None:
    session.set("cat", "Tom")
    session.save(must_create=True)
    with pytest.raises(CreateError):
        session.save(must_create=True)
    again = faces.open(session.session_key)
    with pytest.raises(CreateError):
        again.save(must_create=True)
    # Neither has broken the transaction, nor what was there.
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_delete_ends_the_own_session(faces: Faces) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    session.delete()
    assert faces.has_ended(session.session_key)


def test_delete_ends_the_session_of_a_given_key_alone(faces: Faces) -> None:
    mine, other = faces.saved({"_auth_user_id": "1"}), faces.saved({"_auth_user_id": "2"})
    mine.delete(other.session_key)
    assert faces.has_ended(other.session_key)
    assert faces.read(mine.session_key) == {"_auth_user_id": "1"}


def test_deleting_what_is_not_there_does_nothing(faces: Faces) -> None:
    def check(session_key: str | None) -> None:
        session = faces.open()
        session.delete(session_key)
        assert not session.exists(session_key)

    for_each([None, "", "unknown", "f" * 64], check)


def test_flush_ends_the_session_and_forgets_key_and_data(faces: Faces) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    old = session.session_key
    session.flush()
    assert session.session_key is None
    assert session.public_id is None
    assert dict(session.items()) == {}
    assert faces.has_ended(old)
    assert session.flags == (True, True)


def test_a_flushed_session_can_be_filled_again_under_another_key(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    old = session.session_key
    session.flush()
    session.set("dog", "Rex")
    session.save()
    assert faces.public_id(session.session_key) != faces.public_id(old)
    assert faces.read(session.session_key) == {"dog": "Rex"}
