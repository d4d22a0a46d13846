"""Session keys: split tokens, of which one half finds the row and the other is proven.

A session key is the base64url text (RFC 4648, section 5) of 30 random bytes, so 40 characters:
columns for session keys have that many (Django's own, ``allauth.usersessions``, carts). 14 bytes
are the public id, 16 are the secret. The row keeps the SHA-256 of the secret alone, so a stolen
table logs nobody in. A plain hash is enough for a random secret of 128 bits, which nobody guesses
(OWASP ASVS 5.0, 7.2.3, asks for 128 bits; NIST SP 800-63B-4, 5.1, for a hash at rest).

The public id is a UUID of version 8 (RFC 9562, section 5.8). From the left: 48 bits of the id, the
version, 12 bits of the id, the variant, ten fixed bits, 52 bits of the id; so every public id reads
``xxxxxxxx-xxxx-8xxx-810x-xxxxxxxxxxxx``. The fixed bits are not all 0, since MariaDB 10.11 refuses
a UUID of version 8 whose ninth byte is 0x80.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from django.utils.crypto import constant_time_compare

#: How many random bytes a public id, and a secret, consist of.
ID_BYTES, SECRET_BYTES = 14, 16
#: How many characters a session key has.
KEY_LENGTH = 40
#: How many bytes of a secret's hash mark the secret that a row had before.
MARK_BYTES = 8

_KEY = re.compile(rf"[A-Za-z0-9_-]{{{KEY_LENGTH}}}", re.ASCII)
_SECRET = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
# The bits of a UUID that hold no part of the id: version 8, variant 0b10, ten fixed ones.
_FIXED_BITS = (0xF << 76) | (0xFFF << 52)
_FIXED = (0x8 << 76) | (0x810 << 52)
_LOW, _MIDDLE = (1 << 52) - 1, (1 << 12) - 1


@dataclass(frozen=True, slots=True)
class SplitKey:
    """A session key taken apart: ``public_id`` may be shown, ``secret`` never (nor by repr)."""

    public_id: uuid.UUID
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, public_id: uuid.UUID | None = None) -> SplitKey:
        """Return a key with a new random secret, for ``public_id`` or a new public id."""
        return cls(public_id or new_public_id(), secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, session_key: object) -> SplitKey | None:
        """Take a raw session key apart; return None if it cannot be one of ours."""
        if not isinstance(session_key, str) or not _KEY.fullmatch(session_key):
            return None
        raw = urlsafe_b64decode(session_key)
        return cls(public_id_of(raw[:ID_BYTES]), raw[ID_BYTES:])

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def session_key(self) -> str:
        """The raw session key, as it stands in the cookie."""
        return urlsafe_b64encode(_id_bytes(self.public_id) + self.secret).decode("ascii")

    @property
    def secret_hash(self) -> bytes:
        """The SHA-256 digest of the secret, 32 bytes."""
        return hashlib.sha256(self.secret).digest()

    @property
    def mark(self) -> bytes:
        """The first bytes of the secret's hash: tells a secret again, and proves nothing."""
        return self.secret_hash[:MARK_BYTES]

    def proves(self, secret_hash: bytes | memoryview) -> bool:
        """Tell, in constant time, whether ``secret_hash`` was made of this secret."""
        return constant_time_compare(self.secret_hash, bytes(secret_hash))


def new_public_id() -> uuid.UUID:
    """Return a public id that no session has had: 112 random bits."""
    return public_id_of(secrets.token_bytes(ID_BYTES))


def is_public_id(value: uuid.UUID) -> bool:
    """Tell whether the UUID can be the public id of a session."""
    return value.int & _FIXED_BITS == _FIXED


def secret_to_text(secret: bytes) -> str:
    """Return the secret as base64url text without padding, 22 characters."""
    return urlsafe_b64encode(secret).decode("ascii").rstrip("=")


def secret_from_text(text: str) -> bytes | None:
    """Return the secret that ``secret_to_text()`` wrote, or None if the text is none."""
    return urlsafe_b64decode(text + "==") if _SECRET.fullmatch(text) else None


def public_id_of(raw: bytes) -> uuid.UUID:
    """Return the public id that consists of these ``ID_BYTES`` random bytes."""
    bits = int.from_bytes(raw)
    # uuid.UUID(version=8) raises before Python 3.14, so the bits are set here.
    high, middle, low = bits >> 64, (bits >> 52) & _MIDDLE, bits & _LOW
    return uuid.UUID(int=(high << 80) | (middle << 64) | low | _FIXED)


def _id_bytes(public_id: uuid.UUID) -> bytes:
    """Return the random bytes of a public id. Raises ValueError if no session can have it."""
    if not is_public_id(public_id):
        raise ValueError(f"{public_id} is not the public id of a session.")
    bits = public_id.int
    high, middle, low = bits >> 80, (bits >> 64) & _MIDDLE, bits & _LOW
    return ((high << 64) | (middle << 52) | low).to_bytes(ID_BYTES)
