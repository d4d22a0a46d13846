"""Keys of signed tokens: which ones serve, what they are called, and what is public of them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from django_sessionkit.tokens.jwk import read_key
from django_sessionkit.tokens.jwt import ALGORITHMS, Signer
from tests.cases import looped
from tests.tokens.signed import (
    ASYMMETRIC,
    AUDIENCE,
    encoded,
    header_of,
    key,
    pem,
    private_key,
    public_pem,
    secret,
    signer,
)

MEMBERS = {
    "Ed25519": {"kty", "crv", "x"},
    "EdDSA": {"kty", "crv", "x"},
    "ES256": {"kty", "crv", "x", "y"},
    "RS256": {"kty", "n", "e"},
}
P256 = pem(private_key("ES256"))
OTHERS: dict[str, Any] = {
    "X25519": x25519.X25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "RSA of 1024 bits": rsa.generate_private_key(65537, 1024),  # noqa: S505
    "Ed25519": private_key("Ed25519"),
    "P-256": private_key("ES256"),
    "RSA": private_key("RS256"),
}
SERVES = {"Ed25519": "Ed25519", "EdDSA": "Ed25519", "ES256": "P-256", "RS256": "RSA"}
WRONG: list[tuple[str, Any, str]] = [
    ("none", [b"x" * 32], "must be one of HS256, Ed25519, EdDSA, ES256, RS256"),
    ("HS512", [b"x" * 64], "must be one of"),
    ("hs256", [b"x" * 32], "must be one of"),
    ("HS256", [], "list of keys"),
    ("HS256", b"x" * 32, "list of keys"),
    ("ES256", P256, "list of keys"),
    ("HS256", [b"x" * 31], "Key 1: .*32 bytes"),
    ("HS256", [b"x" * 32, b""], "Key 2: .*32 bytes"),
    ("HS256", [P256], "Key 1: .*PEM"),
    ("HS256", [b"\n" + public_pem(private_key("RS256")).encode()], "Key 1: .*PEM"),
    ("HS256", [7], "bytes or text"),
    ("ES256", [None], "bytes or text"),
    ("ES256", [public_pem(private_key("ES256")), P256], "Key 1: .*must be a private key"),
    ("ES256", [P256[:100]], "can't be read"),
    ("ES256", [P256.replace("M", "N", 1)], "can't be read"),
    ("ES256", [P256.replace("\n", "\\n")], "can't be read"),
    ("ES256", ["the path of a file"], "can't be read"),
    ("ES256", [b"\x30\x81\x87"], "can't be read"),
    ("ES256", [""], "can't be read"),
    ("ES256", [P256 + "\udc80"], "surrogates"),
]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_set_holds_what_is_public_and_nothing_else(algorithm: str) -> None:
    keys = [key(algorithm, 1), public_pem(private_key(algorithm, 0)), key(algorithm, 0)]
    key_set = Signer(algorithm, keys, audience=AUDIENCE).jwks()
    assert key_set.keys() == {"keys"}
    assert [jwk["kid"] for jwk in key_set["keys"]] == [
        header_of(algorithm, number)["kid"] for number in (1, 0)
    ]
    for jwk in key_set["keys"]:
        assert jwk.keys() == MEMBERS[algorithm] | {"kid", "use", "alg"}
        assert (jwk["use"], jwk["alg"]) == ("sig", algorithm)
    assert key_set == json.loads(json.dumps(key_set))


def test_a_secret_is_in_no_key_set() -> None:
    assert signer("HS256", 0, 1).jwks() == {"keys": []}


def test_who_changes_a_key_set_changes_no_other() -> None:
    one = signer("Ed25519")
    one.jwks()["keys"][0]["x"] = "changed"
    one.jwks()["keys"].clear()
    assert one.jwks()["keys"][0]["x"] != "changed"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_is_called_by_its_thumbprint(algorithm: str) -> None:
    (jwk,) = signer(algorithm).jwks()["keys"]
    members = {name: jwk[name] for name in sorted(MEMBERS[algorithm])}
    text = json.dumps(members, separators=(",", ":")).encode()  # RFC 7638, section 3
    assert jwk["kid"] == encoded(hashlib.sha256(text).digest()) == header_of(algorithm)["kid"]


def test_a_thumbprint_is_that_of_the_standard() -> None:
    # RFC 8037, appendix A.1 and A.3.
    text = (
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        "-----END PRIVATE KEY-----\n"
    )
    (jwk,) = Signer("Ed25519", [text], audience=AUDIENCE).jwks()["keys"]
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_name_of_a_secret_is_short_its_own_and_no_hash_of_it() -> None:
    names = [str(header_of("HS256", number)["kid"]) for number in range(3)]
    assert len(set(names)) == 3
    for number, name in enumerate(names):
        assert len(name) == 11
        assert not encoded(hashlib.sha256(secret(number)).digest()).startswith(name)
        assert encoded(hmac.digest(secret(number), b"kid", "sha256")).startswith(name[:10])


def test_text_can_be_a_secret() -> None:
    one = Signer("HS256", [secret().decode()], audience=AUDIENCE)
    claims = {"iat": 1, "exp": 2}
    assert one.sign(claims) == signer("HS256").sign(claims)


@pytest.mark.parametrize("ends", ["\r\n", "\n    ", " "])
def test_pem_text_may_be_broken_into_lines_in_other_ways(ends: str) -> None:
    text = P256.replace("\n", ends)
    for given in (text, text.encode()):
        assert Signer("ES256", [given], audience=AUDIENCE).jwks() == signer("ES256").jwks()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@looped("name", OTHERS)
def test_a_key_of_another_kind_is_refused(algorithm: str, name: str) -> None:
    for text in (pem(OTHERS[name]), public_pem(OTHERS[name])):
        keys = [key(algorithm), text]
        if name == SERVES[algorithm]:
            Signer(algorithm, keys, audience=AUDIENCE)
            continue
        with pytest.raises(ValueError, match=r"Key 2: It must be an? .*key"):
            Signer(algorithm, keys, audience=AUDIENCE)


@looped(("algorithm", "keys", "message"), WRONG)
def test_what_is_no_key_is_refused(algorithm: str, keys: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Signer(algorithm, keys, audience=AUDIENCE)
    assert P256.splitlines()[1] not in repr(raised.value) + repr(raised.value.__cause__)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused(form: PrivateFormat) -> None:
    encryption = BestAvailableEncryption(b"a passphrase")
    text = private_key("ES256").private_bytes(Encoding.PEM, form, encryption)
    with pytest.raises(ValueError, match="Key 1: It is encrypted"):
        Signer("ES256", [text], audience=AUDIENCE)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_shows_a_key(algorithm: str) -> None:
    given = key(algorithm)
    text = given.decode() if isinstance(given, bytes) else given
    shown = repr(signer(algorithm)) + repr(read_key(algorithm, given))
    assert "kid=" in shown
    for line in text.splitlines():
        assert line not in shown
