"""Seals that Node's iron-session opens, and that open what it seals.

A seal is

    Fe26.2 * password id * salt * IV * ciphertext * expiry * salt of the MAC * MAC ~2

without the spaces: salts are 64 hex digits used as the text that they are, the expiry is
milliseconds since the epoch or empty, and the rest is base64url without padding. AES-256-CBC
encrypts; HMAC-SHA256 over all that precedes the second salt authenticates. Both keys are made of
the password by PBKDF2 with SHA-1 and one iteration: fast, which is why the password must be long
and random. The sources are iron-session 8.0.4 and 9.0.1, and iron-webcrypto below them.

``~2`` lies outside of the MAC. iron-session 8 takes another payload out of the same bytes when
somebody strips it, so it is always written here and means nothing: with it or without it, a seal
holds the same. Nothing else may follow the MAC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from django_sessionkit.tokens.errors import BadToken, ExpiredToken

#: The shortest password, in characters (iron-session's own rule, which counts UTF-16 code units, so
#: that an emoji is two: it takes whatever is long enough here).
PASSWORD_LENGTH = 32
#: The skew of clocks that iron-session allows when it looks at the expiry, in seconds.
SKEW = 60

_BLOCK = 16  # bytes
_KEY_LENGTH = 32  # bytes
_SAFE = 2**53 - 1  # the greatest whole number that JavaScript counts to
_ID = re.compile(r"0|[1-9][0-9]{0,15}")
# Each part has its own alphabet and none has the separator, so the time to match is linear. What
# the text of the IV and the ciphertext is, down to unused bits of the last character, is under the
# MAC, and that of the MAC is compared as text: nobody but who has the password has a choice.
_SEAL = re.compile(
    r"(?P<signed>Fe26\.2"
    r"\*(?P<id>[0-9]{1,16})"
    r"\*(?P<salt>[0-9a-f]{64})"
    r"\*(?P<iv>[\w-]{22})"
    r"\*(?P<ciphertext>[\w-]+)"
    r"\*(?P<expiry>(?:[1-9][0-9]{0,15})?))"
    r"\*(?P<mac_salt>[0-9a-f]{64})"
    r"\*(?P<mac>[\w-]{43})"
    r"(?:~2)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What a seal held, when that ends (seconds since the epoch; None: never), and its password."""

    payload: bytes = field(repr=False)
    expires_at: float | None
    password_id: int


class Sealer:
    """Makes and opens seals with passwords: the one with the highest id seals, all of them open.

    A lone password has the id 1, as in iron-session. Ids are whole numbers from 0 on, given as
    such or in decimal digits. ``current`` is the id that seals if it is not the highest.

    Raises ValueError if there is no password, one is shorter than PASSWORD_LENGTH or not Unicode,
    or an id is no such number or there twice, or ``current`` is not among them.
    """

    __slots__ = ("_id", "_passwords")

    def __init__(
        self, passwords: str | Mapping[int | str, str], *, current: int | None = None
    ) -> None:
        # From a site's settings, so the values may be anything.
        given: Mapping[int | str, object]
        given = {1: passwords} if isinstance(passwords, str) else passwords
        if not given:
            raise ValueError("There is no password.")
        #: By the id as a seal has it, so that a stranger's digits are never counted with.
        self._passwords: dict[str, bytes] = {}
        for number, password in given.items():
            name = str(number)
            if not _ID.fullmatch(name) or int(name) > _SAFE:
                # It is not shown: it may be the password, given the wrong way round.
                raise ValueError("The id of a password must be a whole number from 0 on.")
            if name in self._passwords:
                raise ValueError(f"There are two passwords with the id {name}.")
            if not isinstance(password, str) or len(password) < PASSWORD_LENGTH:
                raise ValueError(
                    f"A password must be text of at least {PASSWORD_LENGTH} characters; "
                    f"the one with the id {name} is not."
                )
            self._passwords[name] = _encoded(name, password)
        self._id = max(self._passwords, key=int) if current is None else str(current)
        if self._id not in self._passwords:
            raise ValueError(f"There is no password with the id {self._id}, which is to seal.")

    def seal(self, payload: bytes, *, expires_at: float | None = None) -> str:
        """Return a seal of the payload, for iron-session the UTF-8 of a JSON text.

        It is good until ``expires_at`` (seconds since the epoch; None: for ever), and by the
        reader's clock for another minute (SKEW).

        Raises ValueError if that is no moment that a seal can hold.
        """
        password = self._passwords[self._id]
        salt, iv = secrets.token_hex(32), secrets.token_bytes(_BLOCK)
        padder = PKCS7(_BLOCK * 8).padder()
        padded = padder.update(payload) + padder.finalize()
        encryptor = Cipher(AES256(_key(password, salt)), CBC(iv)).encryptor()
        ciphertext = encryptor.update(padded) + encryptor.finalize()
        expiry = "" if expires_at is None else _milliseconds(expires_at)
        signed = f"Fe26.2*{self._id}*{salt}*{_base64(iv)}*{_base64(ciphertext)}*{expiry}"
        mac_salt = secrets.token_hex(32)
        return f"{signed}*{mac_salt}*{_mac(password, mac_salt, signed)}~2"

    def unseal(
        self, seal: str, *, now: float | None = None, may_be_expired: bool = False
    ) -> Unsealed:
        """Return what the seal holds.

        Raises BadToken if it is no seal made with one of the passwords, and ExpiredToken if it
        is and ended more than a minute (SKEW) before ``now`` (seconds since the epoch; None: the
        present), unless it ``may_be_expired``. Takes a time linear in the length of the seal.
        """
        match = _SEAL.fullmatch(seal)
        if match is None:
            raise BadToken("It does not have the form of a seal.")
        password = self._passwords.get(match["id"])
        if password is None:
            raise BadToken("It was made with a password of an unknown id.")
        mac = _mac(password, match["mac_salt"], match["signed"])
        if not hmac.compare_digest(mac, match["mac"]):
            raise BadToken("It was changed, or made with another password.")
        # From here on it comes from somebody who has the password.
        expires_at = int(match["expiry"]) / 1000 if match["expiry"] else None
        if expires_at is not None and not may_be_expired:
            now = time.time() if now is None else now
            if expires_at <= now - SKEW:
                raise ExpiredToken("Its time is over.")
        payload = _decrypt(password, match["salt"], match["iv"], match["ciphertext"])
        return Unsealed(payload, expires_at, int(match["id"]))


def _encoded(name: str, password: str) -> bytes:
    with suppress(UnicodeEncodeError):  # it holds the password, so it is not the cause of ours
        return password.encode()
    raise ValueError(f"The password with the id {name} has lone surrogates.")


def _decrypt(password: bytes, salt: str, iv: str, ciphertext: str) -> bytes:
    """Raises BadToken if the parts are no encryption, which the MAC can't tell."""
    try:
        mode = CBC(urlsafe_b64decode(f"{iv}=="))
        decryptor = Cipher(AES256(_key(password, salt)), mode).decryptor()
        padded = decryptor.update(urlsafe_b64decode(f"{ciphertext}==")) + decryptor.finalize()
        unpadder = PKCS7(_BLOCK * 8).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise BadToken("It is authentic and can't be decrypted.") from error


def _key(password: bytes, salt: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", password, salt.encode(), 1, _KEY_LENGTH)


def _mac(password: bytes, salt: str, signed: str) -> str:
    return _base64(hmac.digest(_key(password, salt), signed.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _milliseconds(moment: float) -> int:
    if not 0.001 <= moment <= _SAFE / 1000:  # NaN included
        raise ValueError("It is no moment that a seal can hold.")
    return round(moment * 1000)
