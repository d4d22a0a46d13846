"""Keys of each algorithm, signers of the tests, and signed tokens that no signer would make."""

from __future__ import annotations

import functools
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from django_sessionkit.tokens.jwt import Signer

AUDIENCE = "tests"
NOW = 1_900_000_000
CLAIMS: dict[str, Any] = {"iat": NOW, "exp": NOW + 60, "sub": "7", "data": {"cat": "Tom"}}
WHOLE = {**CLAIMS, "aud": AUDIENCE}  # as a signer of the tests completes them
ASYMMETRIC = ("Ed25519", "EdDSA", "ES256", "RS256")

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def private_key(algorithm: str, number: int = 0) -> PrivateKey:
    """Return one of the keys for an asymmetric algorithm; both names of Ed25519 have the same."""
    return _private_key("Ed25519" if algorithm == "EdDSA" else algorithm, number)


@functools.cache
def _private_key(algorithm: str, number: int) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate()


def secret(number: int = 0) -> bytes:
    return f"secret {number} for the tests, and no other".encode()


def pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: PrivateKey) -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def key(algorithm: str, number: int = 0) -> bytes | str:
    """Return one of the keys for the algorithm, as a signer takes it."""
    return secret(number) if algorithm == "HS256" else pem(private_key(algorithm, number))


def signing_key(algorithm: str, number: int = 0) -> PrivateKey | bytes:
    """Return the same key, as forged() takes it."""
    return secret(number) if algorithm == "HS256" else private_key(algorithm, number)


def signer(algorithm: str, *numbers: int, **options: Any) -> Signer:
    """Return a signer with these keys."""
    if options:
        return _signer.__wrapped__(algorithm, numbers, **options)
    return _signer(algorithm, numbers)


@functools.cache  # reading an RSA key takes long
def _signer(algorithm: str, numbers: tuple[int, ...], **options: Any) -> Signer:
    keys = [key(algorithm, number) for number in numbers or (0,)]
    return Signer(algorithm, keys, **{"audience": AUDIENCE, **options})


def header_of(algorithm: str, number: int = 0, /, **changes: object) -> dict[str, object]:
    """Return the header that the signer with this key writes, changed; None leaves a member out."""
    kid = json.loads(decoded(signer(algorithm, number).sign(CLAIMS).split(".")[0]))["kid"]
    header = {"alg": algorithm, "typ": "session+jwt", "kid": kid, **changes}
    return {name: value for name, value in header.items() if value is not None}


def forged(header: object, payload: object, key: PrivateKey | bytes) -> str:
    """Return a token with a good signature of the key, whatever the header says.

    The header and the payload may be bytes, or anything that can be written as JSON.
    """
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(signature(text.encode(), key))}"


def signature(text: bytes, key: PrivateKey | bytes) -> bytes:
    """Return the signature as JWS has it; of bytes, the HMAC."""
    if isinstance(key, bytes):
        return hmac.digest(key, text, "sha256")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, PKCS1v15(), SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(text)
    r, s = decode_dss_signature(key.sign(text, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
