"""Django's signatures, byte for byte, with keys that are derived once.

Django derives the key of a signature from ``SECRET_KEY`` and a salt each time, and makes a signer
each time; a session is signed or verified with every request.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import cast

from django.conf import settings
from django.core.signing import TimestampSigner, b64_encode
from django.utils.encoding import force_bytes

ALGORITHM = "sha256"


def salted_digest(salt: str, text: str | bytes, secret: str | bytes) -> bytes:
    """Return the digest of ``django.utils.crypto.salted_hmac()`` with SHA-256."""
    return hmac.digest(_key(salt, secret), force_bytes(text), ALGORITHM)


def session_signer(salt: str) -> TimestampSigner:
    """Return what ``django.core.signing.loads()`` and ``dumps()`` sign with."""
    return _signer(salt, settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))


class _Signer(TimestampSigner):
    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        salt = cast(str, self.salt) + "signer"
        digest = salted_digest(salt, value, key or self.key)
        return b64_encode(digest).decode()


# A few: the stores of a project by the secrets that they know; those change in tests alone.
@lru_cache(maxsize=32)
def _signer(salt: str, key: str | bytes, fallback_keys: tuple[str | bytes, ...]) -> TimestampSigner:
    return _Signer(key=key, salt=salt, algorithm=ALGORITHM, fallback_keys=list(fallback_keys))


@lru_cache(maxsize=64)
def _key(salt: str, secret: str | bytes) -> bytes:
    return hashlib.sha256(force_bytes(salt) + force_bytes(secret)).digest()
