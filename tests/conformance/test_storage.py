"""Saving, loading and ending a session."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError

from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests.conformance.faces import Face, Faces

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


def test_saving_again_keeps_the_key_and_writes_what_changed(faces: Faces) -> None:
    first = faces.saved({"cat": "Tom", "dog": "Rex"})
    second = faces.open(first.session_key)
    second.set("cat", "Felix")
    second.pop("dog")
    second.save()
    assert second.session_key == first.session_key
    assert faces.read(first.session_key) == {"cat": "Felix"}


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
    session = faces.saved({"cat": "Tom"})
    session.delete()
    assert not session.exists(session.session_key)
    assert faces.read(session.session_key) == {}


def test_delete_ends_the_session_of_a_given_key_alone(faces: Faces) -> None:
    mine, other = faces.saved({"cat": "Tom"}), faces.saved({"dog": "Rex"})
    mine.delete(other.session_key)
    assert faces.read(other.session_key) == {}
    assert faces.read(mine.session_key) == {"cat": "Tom"}


@pytest.mark.parametrize("session_key", [None, "", "unknown", "f" * 64])
def test_deleting_what_is_not_there_does_nothing(session: Face, session_key: str | None) -> None:
    session.delete(session_key)
    assert not session.exists(session_key)


def test_flush_ends_the_session_and_forgets_key_and_data(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    old = session.session_key
    session.flush()
    assert session.session_key is None
    assert session.public_id is None
    assert dict(session.items()) == {}
    assert not session.exists(old)
    assert session.flags == (True, True)


def test_a_flushed_session_can_be_filled_again_under_another_key(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    old = session.session_key
    session.flush()
    session.set("dog", "Rex")
    session.save()
    assert SplitKey.parse(session.session_key).public_id.hex != old[:32]  # type: ignore[union-attr]
    assert faces.read(session.session_key) == {"dog": "Rex"}


def test_cycling_the_key_keeps_the_data_and_kills_the_old_key(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom", "dog": "Rex"})
    old = session.session_key
    session.cycle_key()
    assert session.session_key != old
    assert not session.exists(old)
    assert dict(session.items()) == {"cat": "Tom", "dog": "Rex"}
    session.save()
    assert faces.read(old) == {}
    assert faces.read(session.session_key) == {"cat": "Tom", "dog": "Rex"}


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
    assert session.session_key[:32] != old[:32]
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_a_signed_in_session_that_ended_stays_gone_when_its_key_is_cycled(faces: Faces) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    faces.open(session.session_key).delete()
    session.cycle_key()
    with pytest.raises(SessionGone):
        session.save()
    assert not Session.objects.exists()
    assert faces.read(session.session_key) == {}


def test_saving_a_session_that_another_request_ended_raises_and_revives_nothing(
    faces: Faces,
) -> None:
    session = faces.saved({"cat": "Tom"})
    faces.open(session.session_key).delete()
    session.set("cat", "Felix")
    with pytest.raises(UpdateError):
        session.save()
    with pytest.raises(SessionGone):
        session.save()
    assert session.load() == {}
    assert not Session.objects.exists()


def test_saving_a_session_whose_key_another_request_replaced_raises_and_writes_nothing(
    faces: Faces,
) -> None:
    session = faces.saved({"cat": "Tom"})
    other = faces.open(session.session_key)
    other.cycle_key()
    other.save()
    session.set("cat", "Felix")
    with pytest.raises(SessionGone):
        session.save()
    assert faces.read(other.session_key) == {"cat": "Tom"}


def test_overlapping_saves_of_different_keys_both_survive(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom", "gone": 1}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("one", 1)
    other.set("other", 2)
    other.pop("gone")
    one.save()
    other.save()
    assert faces.read(session_key) == {"cat": "Tom", "one": 1, "other": 2}
    assert dict(other.items()) == {"cat": "Tom", "one": 1, "other": 2}


def test_of_overlapping_saves_of_one_key_the_later_wins(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("cat", "one")
    other.set("cat", "other")
    other.save()
    one.save()
    assert faces.read(session_key) == {"cat": "one"}


def test_a_store_goes_on_from_what_it_saved(faces: Faces) -> None:
    session_key = faces.saved({"count": 0}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.get("count")
    other.set("other", 1)
    other.save()
    for count in (1, 2, 3):
        one.set("count", count)
        one.save()
    other.set("other", 2)
    other.save()
    assert faces.read(session_key) == {"count": 3, "other": 2}
