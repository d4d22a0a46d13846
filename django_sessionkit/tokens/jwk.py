"""Keys of signed tokens: PEM text or secrets come in, keys as joserfc wants them come out."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

#: The shortest secret, in bytes: as long as what HS256 computes (RFC 7518, section 3.2).
SECRET_LENGTH = 32
#: The shortest RSA key, in bits (RFC 7518, section 3.3).
RSA_LENGTH = 2048

_NEEDED = {
    "Ed25519": "an Ed25519 key",
    "EdDSA": "an Ed25519 key",
    "ES256": "a key on the curve P-256",
    "RS256": f"an RSA key of at least {RSA_LENGTH} bits",
}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key and its name in a token's header.

    ``signing`` is None where only the public part is known. ``jwk`` is what all the world may
    know, as a JWK (RFC 7517); None for a secret.
    """

    kid: str
    verifying: Key = field(repr=False)
    signing: Key | None = field(repr=False)
    jwk: dict[str, Any] | None


def read_key(algorithm: str, given: bytes | str) -> TokenKey:
    """Return the key that ``given`` is: a secret for HS256, for the other algorithms PEM text.

    Raises ValueError if it is not of the kind that the algorithm takes; the message says nothing
    of the key but what is wrong with it.
    """
    if not isinstance(given, bytes | str):  # it comes from a site's settings
        raise ValueError("It must be bytes or text.")
    raw = _encoded(given) if isinstance(given, str) else given
    if algorithm == "HS256":
        return _secret(raw)
    private, public = _load(raw)
    verifying = _jose_key(algorithm, public)
    signing = None if private is None else _jose_key(algorithm, private)
    # The thumbprint of RFC 7638: another service computes the same.
    kid = verifying.thumbprint()
    jwk = {**verifying.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}
    return TokenKey(kid, verifying, signing, jwk)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass  # it holds the key, so it is not the cause of ours
    raise ValueError("It has lone surrogates.")


def _secret(raw: bytes) -> TokenKey:
    if len(raw) < SECRET_LENGTH:
        raise ValueError(f"It must be a secret of at least {SECRET_LENGTH} bytes.")
    if b"-----BEGIN" in raw:
        # Half of the confusion of RFC 8725, section 2.1: a public key is no secret.
        raise ValueError("It must be a secret, and is PEM text.")
    # Not its thumbprint, which is a plain hash of the secret and helps to guess it (RFC 7638,
    # section 7). A MAC tells no more than that of each token; and since what a token signs has a
    # dot in it, this one is never a signature.
    name = hmac.digest(raw, b"kid", "sha256")[:8]
    key = OctKey.import_key(raw)
    return TokenKey(urlsafe_b64encode(name).rstrip(b"=").decode(), key, key, None)


def _load(pem: bytes) -> tuple[object | None, object]:
    """Return the private key, if it is one, and the public one."""
    try:
        if b"PRIVATE KEY-----" in pem:
            private = load_pem_private_key(pem, password=None)
            return private, private.public_key()
        return None, load_pem_public_key(pem)
    except TypeError as error:
        raise ValueError("It is encrypted; decrypt it first.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(
            "It can't be read: it must be PEM text of a private key (PKCS #8) or a public one."
        ) from error


def _jose_key(algorithm: str, key: object) -> Key:
    """Return the key for joserfc. Raises ValueError if the algorithm takes no such key."""
    if algorithm == "ES256":
        if isinstance(key, EllipticCurvePrivateKey | EllipticCurvePublicKey) and isinstance(
            key.curve, SECP256R1
        ):
            return ECKey.import_key(key)
    elif algorithm == "RS256":
        if isinstance(key, RSAPrivateKey | RSAPublicKey) and key.key_size >= RSA_LENGTH:
            return RSAKey.import_key(key)
    elif isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        return OKPKey.import_key(key)
    raise ValueError(f"It must be {_NEEDED[algorithm]}.")
