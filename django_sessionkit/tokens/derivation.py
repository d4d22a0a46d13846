"""Keys for one purpose each, made of a secret that serves many."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_LENGTH = 32


def derive_key(secret: str | bytes, purpose: str) -> bytes:
    """Return 32 bytes that tell nothing of ``secret``, nor of the keys for other purposes.

    HKDF with SHA-256 and without a salt (RFC 5869); ``secret`` must be hard to guess.
    """
    if isinstance(secret, str):
        secret = secret.encode()
    return HKDF(SHA256(), KEY_LENGTH, salt=None, info=purpose.encode()).derive(secret)
