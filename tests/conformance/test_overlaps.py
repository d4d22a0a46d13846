"""Two requests of one session, side by side: two stores, and who saves when is forced."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.cases import looped
from tests.conformance.engines import refused_at_once, with_keys_that_stay
from tests.conformance.faces import Faces

pytestmark = pytest.mark.django_db


@refused_at_once
def test_saving_a_session_that_another_request_ended_raises_and_revives_nothing(
    faces: Faces,
) -> None:
    session = faces.saved({"_auth_user_id": "1", "cat": "Tom"})
    faces.open(session.session_key).delete()
    session.set("cat", "Felix")
    with pytest.raises(UpdateError):
        session.save()
    with pytest.raises(SessionGone):
        session.save()
    assert session.load() == {}
    assert not Session.objects.exists()


@refused_at_once
def test_saving_a_session_whose_key_another_request_replaced_raises_and_writes_nothing(
    faces: Faces,
) -> None:
    data = {"_auth_user_id": "1", "cat": "Tom"}
    session = faces.saved(data)
    other = faces.open(session.session_key)
    other.cycle_key()
    other.save()
    session.set("cat", "Felix")
    with pytest.raises(SessionGone):
        session.save()
    assert faces.read(other.session_key) == data


@with_keys_that_stay
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


@with_keys_that_stay
def test_of_overlapping_saves_of_one_key_the_later_wins(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("cat", "one")
    other.set("cat", "other")
    other.save()
    one.save()
    assert faces.read(session_key) == {"cat": "one"}


@with_keys_that_stay
@looped("before", [{"cat": "Tom"}, {"_auth_user_id": "1"}])
def test_nothing_is_merged_into_the_session_of_another_user(
    faces: Faces, before: dict[str, str]
) -> None:
    session_key = faces.saved(before).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("cat", "Felix")
    # Without login(), which would replace the key: as some that let staff act as another user do.
    other.set("_auth_user_id", "2")
    other.save()
    with pytest.raises(SessionGone):
        one.save()
    assert faces.read(session_key) == {**before, "_auth_user_id": "2"}


@with_keys_that_stay
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


@with_keys_that_stay
def test_loading_again_is_no_reason_to_overwrite_what_others_saved(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("one", 1)
    other.set("other", 2)
    other.save()
    assert one.load() == {"cat": "Tom", "other": 2}
    assert dict(one.items()) == {"cat": "Tom", "one": 1}
    one.save()
    assert faces.read(session_key) == {"cat": "Tom", "one": 1, "other": 2}


@refused_at_once
@pytest.mark.parametrize("is_cycled", [False, True])
def test_loading_again_does_not_revive_a_session_that_ended(faces: Faces, is_cycled: bool) -> None:
    session = faces.saved({"_auth_user_id": "1"})
    faces.open(session.session_key).delete()
    assert session.load() == {}
    session.set("cat", "Tom")
    if is_cycled:
        session.cycle_key()
    with pytest.raises(SessionGone):
        session.save()
    assert not Session.objects.exists()
