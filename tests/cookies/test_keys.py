"""What tokens are made with: the settings, and what the checks say of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.core import checks
from django.test import override_settings

from django_sessionkit.backends.encrypted_cookies import SessionStore as Sealed
from django_sessionkit.backends.signed_cookies import SessionStore as Signed
from django_sessionkit.tokens.derivation import derive_key

pytestmark = pytest.mark.varies

SIGNED, SEALED = Signed.__module__, Sealed.__module__
LONG, OTHER = "p" * 32, "q" * 32


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def public_pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


ED25519, EC, P384 = (
    Ed25519PrivateKey.generate(),
    generate_private_key(SECP256R1()),
    generate_private_key(SECP384R1()),
)
RSA, SHORT_RSA = generate_rsa(65537, 2048), generate_rsa(65537, 1024)  # noqa: S505
KEYS = {"Ed25519": ED25519, "EdDSA": ED25519, "ES256": EC, "RS256": RSA}


def messages(engine: str, **settings: Any) -> Iterator[str]:
    with override_settings(SESSION_ENGINE=engine, **settings):
        for message in checks.run_checks(tags=["sessionkit"]):
            assert message.id == "sessionkit.E008"
            assert message.hint
            yield message.msg


def saved(store: type[Any], **data: Any) -> str:
    session = store()
    session.update(data)
    session.save()
    token: str = session.session_key
    return token


def test_the_keys_derived_from_the_secret_key_need_no_setting() -> None:
    for engine in (SIGNED, SEALED):
        assert list(messages(engine)) == []


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_signs_and_its_public_key_verifies(algorithm: str) -> None:
    own, older = pem(KEYS[algorithm]), public_pem(KEYS[algorithm])
    settings = {"SESSIONKIT_JWT_ALGORITHM": algorithm, "SESSIONKIT_JWT_KEYS": [own]}
    assert list(messages(SIGNED, **settings)) == []
    with override_settings(**settings):
        token = saved(Signed, cat="Tom")
        assert dict(Signed(token).items()) == {"cat": "Tom"}
    with override_settings(**{**settings, "SESSIONKIT_JWT_KEYS": [own, older]}):
        assert dict(Signed(token).items()) == {"cat": "Tom"}
    assert Signed(token).load() == {}  # HS256 is the only algorithm again


def test_keys_rotate_and_the_first_signs() -> None:
    new, old = pem(Ed25519PrivateKey.generate()), pem(ED25519)
    with override_settings(SESSIONKIT_JWT_ALGORITHM="Ed25519"):
        with override_settings(SESSIONKIT_JWT_KEYS=[old]):
            token = saved(Signed, cat="Tom")
        with override_settings(SESSIONKIT_JWT_KEYS=[new, old]):
            session = Signed(token)
            session["dog"] = "Rex"
            session.save()
        with override_settings(SESSIONKIT_JWT_KEYS=[new]):
            assert dict(Signed(session.session_key).items()) == {"cat": "Tom", "dog": "Rex"}
            assert Signed(token).load() == {}


@pytest.mark.parametrize(
    ("algorithm", "keys"),
    [
        ("none", []),
        ("HS512", []),
        ("RSA-OAEP", []),
        (None, []),
        (["HS256"], []),
        ("HS256", ["short"]),
        ("HS256", [pem(ED25519)]),
        ("HS256", LONG),
        ("HS256", [5]),
        ("HS256", 5),
        ("HS256", [[LONG]]),
        ("Ed25519", []),
        ("Ed25519", ["no PEM"]),
        ("Ed25519", [pem(EC)]),
        ("Ed25519", pem(ED25519)),
        ("Ed25519", [public_pem(ED25519)]),
        ("ES256", [pem(P384)]),
        ("ES256", [pem(EC), "no PEM"]),
        ("RS256", [pem(SHORT_RSA)]),
    ],
    ids=lambda value: "" if isinstance(value, list | str) and len(value) > 9 else str(value)[:30],
)
def test_keys_that_do_not_fit_are_found_by_the_checks(algorithm: Any, keys: Any) -> None:
    found = list(messages(SIGNED, SESSIONKIT_JWT_ALGORITHM=algorithm, SESSIONKIT_JWT_KEYS=keys))
    assert len(found) == 1
    for key in keys if isinstance(keys, list) else [keys]:
        assert len(str(key)) < 9 or str(key) not in found[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"SECRET_KEY_FALLBACKS": [""]},
        {"SESSIONKIT_JWT_AUDIENCE": None},
        {"SESSIONKIT_JWT_AUDIENCE": ""},
        {"SESSIONKIT_JWT_ISSUER": 5},
        {"SESSIONKIT_JWT_ISSUER": ""},
    ],
    ids=str,
)
def test_other_settings_that_make_no_sense_are_found_by_the_checks(wrong: dict[str, Any]) -> None:
    assert len(list(messages(SIGNED, **wrong))) == 1


def test_no_secret_key_at_all_is_left_to_djangos_own_words() -> None:
    for engine in (SIGNED, SEALED):
        assert list(messages(engine, SECRET_KEY="")) == []


@pytest.mark.parametrize(
    "passwords",
    [
        "",
        "p" * 31,
        {},
        {1: "p" * 31},
        {1: LONG, 2: "short"},
        {"one": LONG},
        {-1: LONG},
        {1: 5},
        [LONG],
        5,
    ],
    ids=str,
)
def test_passwords_that_do_not_fit_are_found_by_the_checks(passwords: Any) -> None:
    (message,) = messages(SEALED, SESSIONKIT_SEAL_PASSWORDS=passwords)
    assert "p" * 31 not in message


@pytest.mark.parametrize(
    "passwords", [LONG, {1: LONG}, {"1": LONG}, {1: LONG, 2: OTHER}, {"0": LONG}], ids=str
)
def test_passwords_that_fit(passwords: Any) -> None:
    assert list(messages(SEALED, SESSIONKIT_SEAL_PASSWORDS=passwords)) == []


def test_passwords_rotate_and_the_highest_number_seals() -> None:
    with override_settings(SESSIONKIT_SEAL_PASSWORDS=LONG):
        token = saved(Sealed, cat="Tom")
    with override_settings(SESSIONKIT_SEAL_PASSWORDS={2: OTHER, "1": LONG}):
        session = Sealed(token)
        session["dog"] = "Rex"
        session.save()
    with override_settings(SESSIONKIT_SEAL_PASSWORDS={2: OTHER}):
        assert dict(Sealed(session.session_key).items()) == {"cat": "Tom", "dog": "Rex"}
        assert Sealed(token).load() == {}


def test_a_token_is_for_one_audience_and_one_issuer() -> None:
    with override_settings(SESSIONKIT_JWT_AUDIENCE="shop", SESSIONKIT_JWT_ISSUER="https://a.test"):
        token = saved(Signed, cat="Tom")
        assert dict(Signed(token).items()) == {"cat": "Tom"}
        with override_settings(SESSIONKIT_JWT_AUDIENCE="mail"):
            assert Signed(token).load() == {}
        with override_settings(SESSIONKIT_JWT_ISSUER="https://b.test"):
            assert Signed(token).load() == {}


def test_keys_for_one_purpose_tell_nothing_of_those_for_another() -> None:
    one, other = derive_key("secret", "one"), derive_key("secret", "other")
    assert len(one) == len(other) == 32
    assert one != other
    assert one == derive_key(b"secret", "one")
    # RFC 5869, appendix A.3: SHA-256 without salt and info.
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derive_key(b"\x0b" * 22, "").hex() == expected


def test_data_of_one_engine_are_no_cookie_of_the_other() -> None:
    assert Sealed(saved(Signed, cat="Tom")).load() == {}
    assert Signed(saved(Sealed, cat="Tom")).load() == {}
