"""The bytes that lie in a cache: versioned, authenticated, and read by nothing but this module.

An entry is

    kind (1), format (1), stamp (8), MAC (16), then the body:
    time of writing and expiry in microseconds (8 each), primary key (8), secret hash (32),
    length of the user's id (2), 1 if the data is compressed else 0 (1), the user's id, the data

with whole numbers as big-endian and signed. The stamp of a copy is the version of its row, so
that a script in the cache can tell the newer of two; that of data is random. The MAC is over kind,
format, public id, stamp and body, with a key made of SECRET_KEY: whoever can write to the cache can
neither forge an entry nor put that of one session under the key of another.

A voucher says that the row of some data was there when it was last asked: kind, format, MAC,
then the time of writing (8), the expiry (8) and the primary key (8) of the row.

The cache ends what is believed for a lease, by its own clock. The time of writing bounds that once
more: who can write to the cache could put back, again and again, what it has ended.
"""

from __future__ import annotations

import secrets
import struct
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_sessionkit.exceptions import BadEntry
from django_sessionkit.moments import microseconds, moment
from django_sessionkit.signing import salted_digest

FORMAT = b"\x01"
STAMP = struct.Struct(">q")
HEAD = 2 + STAMP.size
MAC_SIZE = 16
_BODY = struct.Struct(">qqq32sHB")
_VOUCHER = struct.Struct(">qqq")
_SALT = "django_sessionkit.copies"
#: How far the clocks of a site's servers may differ.
SKEW = timedelta(seconds=60)


class Kind(bytes, Enum):
    """What an entry is."""

    COPY = b"C"  # of a row with its data
    DATA = b"D"  # of a session that has a row
    VISITOR = b"V"  # data of a session without a row
    RETIRED = b"R"  # the session goes on under another public id
    VOUCHER = b"M"


@dataclass(frozen=True, slots=True)
class Entry:
    """A session as a cache knows it. ``pk`` is 0 and ``user`` empty where there is none."""

    kind: Kind
    stamp: int
    expire_date: datetime
    secret_hash: bytes = bytes(32)
    pk: int = 0
    user: str = ""
    data: bytes = b""
    written_at: datetime = field(default_factory=timezone.now, compare=False)

    def is_within(self, lease: int) -> bool:
        """Whether it was written no longer than ``lease`` seconds ago, give or take a minute."""
        return _is_within(self.written_at, lease)

    def pack(self, public_id: uuid.UUID) -> bytes:
        """Return the bytes of the entry, good for this session alone."""
        data, user = self.data, self.user.encode()
        compressed = zlib.compress(data)
        is_compressed = len(compressed) < len(data)
        body = _BODY.pack(
            microseconds(self.written_at),
            microseconds(self.expire_date),
            self.pk,
            self.secret_hash,
            len(user),
            is_compressed,
        )
        body += user + (compressed if is_compressed else data)
        head = self.kind.value + FORMAT + STAMP.pack(self.stamp)
        return head + _mac(head, public_id, body, settings.SECRET_KEY) + body


def unpack(raw: object, public_id: uuid.UUID) -> Entry:
    """Return the entry that ``raw`` is.

    Raises BadEntry if it was not packed by us for this session, or was changed since.
    """
    if not isinstance(raw, bytes) or len(raw) < HEAD + MAC_SIZE + _BODY.size:
        raise BadEntry("It is too short.")
    head, mac, body = raw[:HEAD], raw[HEAD : HEAD + MAC_SIZE], raw[HEAD + MAC_SIZE :]
    if head[1:2] != FORMAT:
        raise BadEntry("Its format is unknown.")
    if not _is_authentic(mac, head, public_id, body):
        raise BadEntry("It was not written by this site, or not for this session.")
    written_at, expire_date, pk, secret_hash, length, is_compressed = _BODY.unpack_from(body)
    user, data = body[_BODY.size : _BODY.size + length], body[_BODY.size + length :]
    return Entry(
        kind=Kind(head[:1]),
        stamp=STAMP.unpack(head[2:])[0],
        expire_date=moment(expire_date),
        written_at=moment(written_at),
        secret_hash=secret_hash,
        pk=pk,
        user=user.decode(),
        data=zlib.decompress(data) if is_compressed else data,
    )


def pack_voucher(entry: Entry, public_id: uuid.UUID, expire_date: datetime, pk: int) -> bytes:
    """Return the bytes which say that the row, as ``entry`` has it, ends at ``expire_date``."""
    head = Kind.VOUCHER.value + FORMAT
    told = _VOUCHER.pack(microseconds(timezone.now()), microseconds(expire_date), pk)
    return head + _mac(head, public_id, told + _vouched(entry), settings.SECRET_KEY) + told


def unpack_voucher(
    raw: object, entry: Entry, public_id: uuid.UUID, lease: int
) -> tuple[datetime, int]:
    """Return when the row ends that vouches for ``entry``, and its primary key.

    Raises BadEntry if ``raw`` vouches for something else, or no longer.
    """
    if not isinstance(raw, bytes) or len(raw) != 2 + MAC_SIZE + _VOUCHER.size:
        raise BadEntry("It is no voucher.")
    head, mac, told = raw[:2], raw[2 : 2 + MAC_SIZE], raw[2 + MAC_SIZE :]
    is_good = _is_authentic(mac, head, public_id, told + _vouched(entry))
    if head != Kind.VOUCHER.value + FORMAT or not is_good:
        raise BadEntry("It does not vouch for this session as it is.")
    written_at, expire_date, pk = _VOUCHER.unpack(told)
    if not _is_within(moment(written_at), lease):
        raise BadEntry("It is too old.")
    return moment(expire_date), pk


def _vouched(entry: Entry) -> bytes:
    return entry.secret_hash + entry.user.encode()


def new_stamp() -> int:
    """Return a random stamp: a counter could repeat after a snapshot was restored."""
    return secrets.randbits(63)


def _is_within(written_at: datetime, lease: int) -> bool:
    age = timezone.now() - written_at
    return -SKEW <= age <= timedelta(seconds=lease) + SKEW


def _mac(head: bytes, public_id: uuid.UUID, body: bytes, key: str | bytes) -> bytes:
    # What precedes the body has a fixed length, so no two entries give the same text.
    text = head + public_id.bytes + body
    return salted_digest(_SALT, text, key)[:MAC_SIZE]


def _is_authentic(mac: bytes, head: bytes, public_id: uuid.UUID, body: bytes) -> bool:
    return any(
        constant_time_compare(mac, _mac(head, public_id, body, key))
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )
