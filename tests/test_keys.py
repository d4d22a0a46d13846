"""Tests of keys.py: split keys, and what is no key."""

from __future__ import annotations

import hashlib
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.keys import (
    ID_BYTES,
    KEY_LENGTH,
    SECRET_BYTES,
    SplitKey,
    is_public_id,
    new_public_id,
    secret_from_text,
    secret_to_text,
)

PUBLIC_ID = uuid.UUID("5e55104b-0000-8abc-810d-00000000c0de")
SECRET = bytes(range(16))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
keys = st.text(ALPHABET, min_size=KEY_LENGTH, max_size=KEY_LENGTH)


@given(keys)
def test_every_text_of_40_characters_of_base64url_is_one_key(text: str) -> None:
    key = SplitKey.parse(text)
    assert key is not None
    assert key.session_key == text
    assert SplitKey(key.public_id, key.secret) == key
    assert is_public_id(key.public_id)


@given(st.one_of(st.text(), st.text(ALPHABET + "=+/", min_size=38, max_size=42)))
def test_whatever_is_parsed_is_a_key_or_nothing(text: str) -> None:
    key = SplitKey.parse(text)
    assert key is None or key.session_key == text


@given(secret=secrets, position=st.integers(0, KEY_LENGTH - 1), character=st.characters())
def test_a_key_with_another_character_is_another_key_or_none(
    secret: bytes, position: int, character: str
) -> None:
    right = SplitKey(PUBLIC_ID, secret)
    text = right.session_key
    changed = text[:position] + character + text[position + 1 :]
    key = SplitKey.parse(changed)
    if changed == text:
        assert key == right
    elif key is not None:
        assert not (key.public_id == right.public_id and key.proves(right.secret_hash))


def test_what_is_no_text_of_a_key_is_no_key() -> None:
    key = SplitKey.generate().session_key
    others = [None, 0, 1.5, True, key.encode(), [key], uuid.uuid4(), object(), "", key[:-1]]
    others += [key + "A", key + "\n", " " + key[1:], key[:-1] + "=", key[:-1] + "+", "é" + key[1:]]
    others += ["0" * 32, "0" * 64, "\N{ARABIC-INDIC DIGIT ZERO}" * 40]
    for other in others:
        assert SplitKey.parse(other) is None, other


def test_a_session_key_fits_the_columns_that_others_have_for_it() -> None:
    for _ in range(1000):
        assert len(SplitKey.generate().session_key) == 40


def test_generated_keys_are_all_different() -> None:
    keys = [SplitKey.generate() for _ in range(1000)]
    assert len({key.public_id for key in keys}) == 1000
    assert len({key.secret for key in keys}) == 1000


def test_a_public_id_is_a_uuid_of_version_8_with_112_random_bits() -> None:
    shape = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-810[0-9a-f]-[0-9a-f]{12}")
    ones, zeros = 0, (1 << 128) - 1
    for _ in range(200):
        public_id = new_public_id()
        assert shape.fullmatch(str(public_id)), public_id
        assert public_id.version == 8
        assert public_id.variant == uuid.RFC_4122
        ones, zeros = ones | public_id.int, zeros & public_id.int
    # The bits that were sometimes 1 and sometimes 0.
    assert (ones & ~zeros).bit_count() == 8 * ID_BYTES


def test_no_other_uuid_is_a_public_id() -> None:
    others = [uuid.uuid4(), uuid.uuid1(), uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1)]
    # Each of the ten fixed bits, the version and the variant.
    fixed = (*range(52, 64), *range(76, 80))
    others += [uuid.UUID(int=PUBLIC_ID.int ^ (1 << bit)) for bit in fixed]
    assert is_public_id(PUBLIC_ID)
    for other in others:
        assert not is_public_id(other), other
        with pytest.raises(ValueError, match="is not the public id of a session"):
            _ = SplitKey(other, SECRET).session_key


def test_another_key_of_the_same_session_has_another_secret() -> None:
    one, other = SplitKey.generate(PUBLIC_ID), SplitKey.generate(PUBLIC_ID)
    assert one.public_id == other.public_id == PUBLIC_ID
    assert one.secret != other.secret
    assert not one.proves(other.secret_hash)


def test_the_secret_holds_at_least_128_bits() -> None:
    assert 8 * SECRET_BYTES >= 128


def test_the_hash_is_that_of_the_secret_alone() -> None:
    key = SplitKey(PUBLIC_ID, SECRET)
    assert key.secret_hash == hashlib.sha256(SECRET).digest()
    assert SplitKey(new_public_id(), SECRET).secret_hash == key.secret_hash
    assert key.mark == key.secret_hash[:8]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_secret_proves_its_hash_however_the_database_returns_it(kind: type) -> None:
    key = SplitKey.generate()
    assert key.proves(kind(key.secret_hash))
    assert not key.proves(kind(hashlib.sha256(b"another").digest()))
    assert not key.proves(kind(b""))


@given(secrets)
def test_a_secret_is_written_as_text_and_read_again(secret: bytes) -> None:
    text = secret_to_text(secret)
    assert len(text) == 22
    assert secret_from_text(text) == secret


def test_what_is_no_text_of_a_secret_is_none() -> None:
    text = secret_to_text(SECRET)
    for other in ("", text[:-1], text + "A", text + "==", text[:-1] + "+", text + "\n"):
        assert secret_from_text(other) is None, other


def test_text_of_a_key_shows_the_public_id_alone() -> None:
    key = SplitKey(PUBLIC_ID, SECRET)
    assert str(key) == str(PUBLIC_ID)
    assert str(PUBLIC_ID) in repr(key)
    for text in (str(key), repr(key), f"{key}", f"{[key]}"):
        for secret in (repr(SECRET), secret_to_text(SECRET), key.session_key[20:]):
            assert secret not in text
