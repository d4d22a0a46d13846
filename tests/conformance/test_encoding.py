"""How the data is written down: signed, by the serializer and with the keys of the settings."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore as DjangoSessionStore
from django.core.signing import TimestampSigner
from django.test import override_settings

from django_sessionkit.models import Session
from tests.cases import for_each
from tests.conformance.engines import in_sync_code, with_data_in_rows, with_keys_that_stay
from tests.conformance.faces import Face, Faces

pytestmark = [pytest.mark.django_db, in_sync_code]

SUSPICIOUS = "django.security.SuspiciousSession"


class ReversingSerializer:
    """A serializer of a site's own, which writes tuples too."""

    def dumps(self, obj: Any) -> bytes:
        def mark(value: Any) -> Any:
            return {"()": list(value)} if isinstance(value, tuple) else value

        return json.dumps({key: mark(value) for key, value in obj.items()})[::-1].encode()

    def loads(self, data: bytes) -> Any:
        def unmark(value: dict[str, Any]) -> Any:
            return tuple(value["()"]) if "()" in value else value

        return json.loads(data.decode()[::-1], object_hook=unmark)


def test_what_is_encoded_is_decoded(session: Face) -> None:
    data = {"cat": "Tom", "list": [1, None, {"a": "é"}]}
    assert session.decode(session.encode(data)) == data


GARBAGE = [
    "",
    "no signature",
    "bad:encoded:value",
    base64.b64encode(b"flask:alkdjf").decode(),
    "é\0\udcff",
    "x" * 100_000,
]


def test_garbage_is_an_empty_session_and_is_logged(
    session: Face, caplog: pytest.LogCaptureFixture
) -> None:
    def check(garbage: str) -> None:
        caplog.clear()
        with caplog.at_level(logging.WARNING, SUSPICIOUS):
            assert session.decode(garbage) == {}
        assert [(one.name, one.message) for one in caplog.records] == [
            (SUSPICIOUS, "Session data corrupted")
        ]

    for_each(GARBAGE, check)


def test_what_is_signed_but_cannot_be_read_is_an_empty_session(session: Face) -> None:
    signer = TimestampSigner(salt=session.key_salt)
    assert session.decode(signer.sign("invalid data")) == {}


@with_data_in_rows
def test_data_that_was_tampered_with_is_an_empty_session_that_goes_on(
    faces: Faces, caplog: pytest.LogCaptureFixture
) -> None:
    session = faces.saved({"_auth_user_id": "1", "cat": "Tom"})
    Session.objects.update(data="tampered")
    again = faces.open(session.session_key)
    with caplog.at_level(logging.WARNING, SUSPICIOUS):
        assert again.load() == {}
    assert "Session data corrupted" in caplog.messages
    assert session.session_key not in caplog.text
    again = faces.open(session.session_key)
    again.set("dog", "Rex")
    again.save()
    assert faces.read(session.session_key) == {"dog": "Rex"}


def test_data_is_signed_for_djangos_own_salt(session: Face) -> None:
    data = {"cat": "Tom"}
    assert DjangoSessionStore().decode(session.encode(data)) == data


@override_settings(SESSION_SERIALIZER=f"{__name__}.ReversingSerializer")
def test_the_sites_own_serializer_is_used(faces: Faces) -> None:
    session_key = faces.saved({"pair": (1, 2)}).session_key
    assert faces.read(session_key) == {"pair": (1, 2)}


@with_keys_that_stay
@override_settings(SESSION_SERIALIZER=f"{__name__}.ReversingSerializer")
def test_what_is_merged_is_compared_as_the_sites_own_serializer_writes_it(faces: Faces) -> None:
    session_key = faces.saved({"pair": (1, 2)}).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("one", (3,))
    other.set("other", [4])
    other.save()
    one.save()
    assert faces.read(session_key) == {"pair": (1, 2), "one": (3,), "other": [4]}


def test_what_the_serializer_cannot_write_raises_and_changes_nothing(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    session.set("thing", object())
    with pytest.raises(TypeError):
        session.save()
    assert faces.read(session.session_key) == {"cat": "Tom"}


def test_a_session_outlives_a_change_of_the_secret_key_through_the_fallbacks(
    faces: Faces,
) -> None:
    with override_settings(SECRET_KEY="old"):
        session_key = faces.saved({"cat": "Tom"}).session_key
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"]):
        session = faces.open(session_key)
        assert dict(session.items()) == {"cat": "Tom"}
        session.set("dog", "Rex")
        session.save()
    with override_settings(SECRET_KEY="new"):
        assert faces.read(session.session_key) == {"cat": "Tom", "dog": "Rex"}


@with_keys_that_stay
def test_overlapping_saves_merge_across_a_change_of_the_secret_key(faces: Faces) -> None:
    with override_settings(SECRET_KEY="old"):
        session_key = faces.saved({"cat": "Tom"}).session_key
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        one, other = faces.open(session_key), faces.open(session_key)
        one.set("one", 1)
        other.set("other", 2)
        other.save()
        one.save()
        assert faces.read(session_key) == {"cat": "Tom", "one": 1, "other": 2}


def test_without_the_fallback_the_session_is_empty(faces: Faces) -> None:
    with override_settings(SECRET_KEY="old"):
        session_key = faces.saved({"cat": "Tom"}).session_key
    with override_settings(SECRET_KEY="new"):
        assert faces.read(session_key) == {}
