"""Tests of keys.py: split keys, and what is no key."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.keys import SECRET_LENGTH, SplitKey

pytestmark = pytest.mark.varies

PUBLIC_ID = uuid.UUID("5e55104b-0000-4000-8000-00000000c0de")
SECRET = "0123456789abcdefghijklmnopqrstuv"
secrets = st.text(VALID_KEY_CHARS, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)


@given(public_id=st.uuids(), secret=secrets)
def test_a_key_is_taken_apart_into_what_it_was_made_of(public_id: uuid.UUID, secret: str) -> None:
    key = SplitKey(public_id, secret)
    assert len(key.session_key) == 64
    assert key.session_key == public_id.hex + secret
    assert SplitKey.parse(key.session_key) == key


@given(st.one_of(st.text(), st.text("0123456789abcdef", min_size=60, max_size=70)))
def test_whatever_is_parsed_is_a_key_or_nothing(text: str) -> None:
    key = SplitKey.parse(text)
    assert key is None or key.session_key == text


@given(secret=secrets, position=st.integers(0, 63), character=st.characters())
def test_a_key_with_another_character_is_another_key_or_none(
    secret: str, position: int, character: str
) -> None:
    right = SplitKey(PUBLIC_ID, secret)
    text = right.session_key
    changed = text[:position] + character + text[position + 1 :]
    key = SplitKey.parse(changed)
    if changed == text:
        assert key == right
    elif key is not None:
        assert not (key.public_id == right.public_id and key.proves(right.secret_hash))


@pytest.mark.parametrize(
    "value",
    [None, 0, 1.5, True, b"0" * 64, ["0" * 64], uuid.uuid4(), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_string_is_no_key(value: object) -> None:
    assert SplitKey.parse(value) is None


def test_generated_keys_are_all_different() -> None:
    keys = {SplitKey.generate().session_key for _ in range(1000)}
    assert len({key[:32] for key in keys}) == 1000
    assert len({key[32:] for key in keys}) == 1000


def test_a_generated_public_id_is_a_random_uuid() -> None:
    assert SplitKey.generate().public_id.version == 4


def test_another_key_of_the_same_session_has_another_secret() -> None:
    one, other = SplitKey.generate(PUBLIC_ID), SplitKey.generate(PUBLIC_ID)
    assert one.public_id == other.public_id == PUBLIC_ID
    assert one.secret != other.secret
    assert not one.proves(other.secret_hash)


def test_the_secret_holds_at_least_160_bits() -> None:
    assert len(VALID_KEY_CHARS) ** SECRET_LENGTH > 2**160


def test_the_hash_is_that_of_the_secret_alone() -> None:
    key = SplitKey(PUBLIC_ID, SECRET)
    assert key.secret_hash == hashlib.sha256(SECRET.encode()).digest()
    assert SplitKey(uuid.uuid4(), SECRET).secret_hash == key.secret_hash


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_secret_proves_its_hash_however_the_database_returns_it(kind: type) -> None:
    key = SplitKey.generate()
    assert key.proves(kind(key.secret_hash))
    assert not key.proves(kind(hashlib.sha256(b"another").digest()))
    assert not key.proves(kind(b""))


def test_text_of_a_key_shows_the_public_id_alone() -> None:
    key = SplitKey(PUBLIC_ID, SECRET)
    assert str(key) == str(PUBLIC_ID)
    assert str(PUBLIC_ID) in repr(key)
    for text in (str(key), repr(key), f"{key}", f"{[key]}"):
        assert SECRET not in text
