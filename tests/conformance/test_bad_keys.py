"""Keys that somebody made up: they find nothing, cost next to nothing and leave nothing behind."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from pytest_django.fixtures import DjangoAssertNumQueries

from django_sessionkit.events import SessionEndReason
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from django_sessionkit.storage.records import EndCause
from tests.cases import for_each
from tests.conformance.engines import in_sync_code, with_rows_of_visitors
from tests.conformance.faces import Face, Faces

pytestmark = pytest.mark.django_db

VALID = SplitKey.generate(uuid.UUID("5e55104b-0000-8000-8100-00000000c0de")).session_key
MALFORMED = {
    "empty": "",
    "short": "1234567",
    "of Django's length": "abcdefghijklmnopqrstuvwxyz012345",
    "one too short": VALID[:-1],
    "one too long": VALID + "0",
    "with hyphens": "-".join([VALID[:8], VALID[8:]])[:64],
    "of standard base64": VALID[:-2] + "+/",
    "padded": VALID[:-1] + "=",
    "100 kB": "a" * 100_000,
    "100 kB behind a valid key": VALID + "a" * 100_000,
    "not ASCII": VALID[:-1] + "é",
    "digits of another script": "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
    "full width": "\N{FULLWIDTH DIGIT ZERO}" + VALID[1:],
    "lone surrogate": VALID[:-1] + "\udcff",
    "NUL": VALID[:-1] + "\0",
    "line break": VALID + "\n",
    "spaces": f" {VALID} ",
    "percent": VALID[:-1] + "%",
    "quote": "' OR 1=1 --".ljust(64, "0"),
}


def test_a_malformed_key_finds_nothing_and_costs_no_query(
    faces: Faces, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        for_each(MALFORMED.values(), partial(finds_nothing, faces))
    assert not Session.objects.exists()


def finds_nothing(faces: Faces, session_key: str) -> None:
    """Ask for the malformed key in each way."""
    session = faces.open(session_key)
    assert session.load() == {}
    assert session.session_key is None
    assert session.public_id is None
    assert dict(session.items()) == {}
    assert not session.exists(session_key)
    session.delete(session_key)
    session.flush()


def test_a_session_saved_after_a_malformed_key_was_read_gets_a_key_of_its_own(
    faces: Faces,
) -> None:
    for_each(MALFORMED.values(), partial(gets_a_key_of_its_own, faces))


def gets_a_key_of_its_own(faces: Faces, session_key: str) -> None:
    """Read the malformed key, and save."""
    session = faces.open(session_key)
    assert session.get("cat") is None
    session.set("cat", "Tom")
    session.save()
    assert session.session_key != session_key
    assert faces.public_id(session.session_key) is not None
    assert faces.read(session.session_key) == {"cat": "Tom"}
    assert faces.read(session_key) == {}


def test_an_unknown_key_finds_nothing_and_creates_nothing(faces: Faces) -> None:
    session = faces.open(VALID)
    assert session.load() == {}
    assert session.session_key is None
    assert session.public_id is None
    assert not session.exists(VALID)
    assert not session.is_retired
    assert not Session.objects.exists()


def test_an_unknown_key_is_never_adopted(faces: Faces) -> None:
    session = faces.open(VALID)
    session.set("cat", "Tom")
    session.save()
    assert faces.public_id(session.session_key) != SplitKey.parse(VALID).public_id  # type: ignore[union-attr]
    assert faces.read(VALID) == {}


def test_saving_an_unknown_key_that_was_not_read_raises_or_makes_a_new_one(faces: Faces) -> None:
    for_each([VALID, "unknown-key", VALID.upper()], partial(is_not_saved, faces))


def is_not_saved(faces: Faces, session_key: str) -> None:
    """Save under a key that nobody has handed out."""
    Session.objects.all().delete()
    session = faces.open(session_key)
    try:
        session.save()
    except UpdateError:
        assert not Session.objects.exists()
    else:
        assert session.session_key != session_key
    assert not session.exists(session_key)


@pytest.mark.parametrize("data", [{"cat": "Tom"}, {"_auth_user_id": "1"}])
def test_a_right_public_id_with_a_wrong_secret_finds_nothing_and_touches_nothing(
    faces: Faces, data: dict[str, str]
) -> None:
    right = faces.saved(data)
    wrong = faces.engine.wrong_key(right.session_key)
    session = faces.open(wrong)
    assert not session.exists(wrong)
    assert session.load() == {}
    assert session.session_key is None
    assert session.public_id is None
    session.delete(wrong)
    assert faces.read(right.session_key) == data


def test_a_made_up_secret_is_an_unknown_key_under_which_a_visitor_starts_over(
    faces: Faces,
) -> None:
    right = faces.saved({"_auth_user_id": "1"})
    session = faces.open(faces.engine.wrong_key(right.session_key))
    session.set("cat", "Tom")
    assert not session.is_retired
    session.save()
    assert session.public_id != right.public_id
    assert faces.read(session.session_key) == {"cat": "Tom"}
    assert faces.read(right.session_key) == {"_auth_user_id": "1"}


def replace_key(faces: Faces, data: dict[str, Any]) -> tuple[Face, str]:
    """Return a session and the key that it had a moment ago; a token is past its lease."""
    session = faces.saved(data)
    old_key = session.session_key
    session.cycle_key()
    session.save()
    return session, faces.engine.aged(old_key) if faces.engine.key_is_token else old_key


@with_rows_of_visitors
def test_a_retired_key_neither_saves_nor_flushes(faces: Faces) -> None:
    right, old_key = replace_key(faces, {"cat": "Tom"})
    session = faces.open(old_key)
    session.set("cat", "Tim")
    assert session.is_retired
    with pytest.raises(UpdateError):
        session.save()
    session.flush()
    assert not session.is_flushed
    session.set("cat", "Tim")
    with pytest.raises(UpdateError):
        session.save()
    assert Session.objects.count() == 1
    assert faces.read(right.session_key) == {"cat": "Tom"}


def test_a_retired_key_of_the_user_does_not_save_but_signs_out(faces: Faces) -> None:
    right, old_key = replace_key(faces, {"_auth_user_id": "1"})
    session = faces.open(old_key)
    session.set("cat", "Tim")
    assert session.is_retired
    with pytest.raises(UpdateError):
        session.save()
    assert faces.read(right.session_key) == {"_auth_user_id": "1"}
    session.flush()
    assert not session.is_flushed
    assert faces.read(right.session_key) == {"_auth_user_id": "1"}
    session = faces.open(old_key)
    session.store.flush_cause = EndCause(SessionEndReason.LOGOUT)
    session.flush()
    assert session.is_flushed
    assert not Session.objects.exists()


def test_flushing_with_a_wrong_secret_ends_nothing(faces: Faces) -> None:
    right = faces.saved({"_auth_user_id": "1"})
    session = faces.open(faces.engine.wrong_key(right.session_key))
    session.flush()
    assert not session.is_flushed
    assert faces.read(right.session_key) == {"_auth_user_id": "1"}


@in_sync_code
def test_a_key_in_upper_case_is_another_key(faces: Faces) -> None:
    right = faces.saved({"cat": "Tom"})
    assert faces.read(right.session_key.upper()) == {}
    assert not right.exists(right.session_key.upper())


@in_sync_code
def test_what_is_no_string_does_not_exist(session: Face) -> None:
    keys: list[object] = [None, 0, b"bytes", ["list"], uuid.uuid4()]
    assert [key for key in keys if session.exists(key)] == []
