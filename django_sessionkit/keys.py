"""Session keys: split tokens, of which one half finds the row and the other is proven.

A key is 32 hexadecimal digits of the session's public id followed by 32 characters of secret.
The row keeps the SHA-256 of the secret alone, so a stolen table logs nobody in. A plain hash is
enough for a random secret of 165 bits: there is nothing to guess (OWASP Session Management
Cheat Sheet asks for 64 bits of entropy, NIST SP 800-63B section 5.1 for a hash at rest).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass, field

from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.utils.crypto import constant_time_compare

SECRET_LENGTH = 32
_KEY = re.compile(rf"([0-9a-f]{{32}})([0-9a-z]{{{SECRET_LENGTH}}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SplitKey:
    """A session key taken apart: ``public_id`` may be shown, ``secret`` never (nor by repr)."""

    public_id: uuid.UUID
    secret: str = field(repr=False)

    @classmethod
    def generate(cls, public_id: uuid.UUID | None = None) -> SplitKey:
        """Return a key with a new random secret, for ``public_id`` or a new public id."""
        return cls(public_id or uuid.uuid4(), _new_secret())

    @classmethod
    def parse(cls, session_key: object) -> SplitKey | None:
        """Take a raw session key apart; return None if it cannot be one of ours."""
        if not isinstance(session_key, str) or not (match := _KEY.fullmatch(session_key)):
            return None
        return cls(uuid.UUID(hex=match[1]), match[2])

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def session_key(self) -> str:
        """The raw session key, as it stands in the cookie."""
        return self.public_id.hex + self.secret

    @property
    def secret_hash(self) -> bytes:
        """The SHA-256 digest of the secret, 32 bytes."""
        return hashlib.sha256(self.secret.encode("ascii")).digest()

    def proves(self, secret_hash: bytes | memoryview) -> bool:
        """Tell, in constant time, whether ``secret_hash`` was made of this secret."""
        return constant_time_compare(self.secret_hash, bytes(secret_hash))


def _new_secret() -> str:
    """Return random characters, all of them equally likely.

    One number with so many digits: to ask the system for each takes most of a key's time.
    """
    base, characters = len(VALID_KEY_CHARS), []
    number = secrets.randbelow(base**SECRET_LENGTH)
    for _ in range(SECRET_LENGTH):
        number, digit = divmod(number, base)
        characters.append(VALID_KEY_CHARS[digit])
    return "".join(characters)
