"""What a cache must do for copies of rows, and for data that lies nowhere else.

Both raise ``CacheUnreachable`` when the cache fails. Entries are bytes, which only ``format``
reads. Key names are made of the public id, never of the session key.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


def copy_key(public_id: uuid.UUID) -> str:
    """The key of a copy, before the cache adds its prefix and version."""
    return f"sk:{public_id.hex}"


def data_key(public_id: uuid.UUID) -> str:
    """The key of data; the braces are what a Redis Cluster places keys by."""
    return f"sk:{{{public_id.hex}}}"


def voucher_key(public_id: uuid.UUID) -> str:
    """The key of the row's voucher, beside the data."""
    return f"sk:{{{public_id.hex}}}m"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A copy, or the right to put one there (``ticket``), or neither."""

    raw: bytes | None = None
    ticket: object = None
    #: Bytes that nobody of ours had put there were overwritten.
    was_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """The data, with a voucher or the right to put one there; all None where there is none."""

    raw: bytes | None = None
    voucher: bytes | None = None
    ticket: object = None


@dataclass(frozen=True, slots=True)
class Swapped:
    """Whether new data was put; if not, what lies there instead (None: nothing)."""

    is_done: bool = False
    theirs: bytes | None = None


class Copies(Protocol):
    """Copies of rows, each of which dies a lease after its ticket was taken."""

    def fetch(
        self, public_id: uuid.UUID, *, wants_ticket: bool = True, bad: bytes = b""
    ) -> Fetched:
        """Return the copy, else take a ticket. ``bad`` is a copy that proved to be none."""
        ...

    def fill(self, public_id: uuid.UUID, ticket: object, raw: bytes) -> None:
        """Put the copy of a row that was read after the ticket was taken; else do nothing."""
        ...

    def replace(self, public_id: uuid.UUID, raw: bytes) -> None:
        """Put a copy over an older one, after the row was changed; never where there is none."""
        ...

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        """Take the copies back, and every right to put one there."""
        ...


class Data(Protocol):
    """Data of sessions, each under a stamp, and vouchers of rows that live for a lease."""

    def read(self, public_id: uuid.UUID, *, wants_ticket: bool = True) -> Read:
        """Return the data with its voucher; without one take a ticket, if a row must vouch."""
        ...

    def vouch(self, public_id: uuid.UUID, ticket: object, voucher: bytes) -> None:
        """Put the voucher of a row that was read after the ticket was taken."""
        ...

    def create(self, public_id: uuid.UUID, raw: bytes, seconds: float) -> bool:
        """Put new data; return False if there are some already."""
        ...

    def swap(
        self,
        public_id: uuid.UUID,
        stamp: int,
        raw: bytes,
        seconds: float,
        *,
        unvouch: bool = False,
    ) -> Swapped:
        """Put data in place of those under ``stamp``, never where there are none.

        ``unvouch`` takes the voucher away too.
        """
        ...

    def drop(self, public_ids: Collection[uuid.UUID]) -> None:
        """Delete the data, the vouchers, and every right to put one there."""
        ...

    def unvouch(self, public_ids: Collection[uuid.UUID]) -> None:
        """Take vouchers away, and every right to put one there."""
        ...

    def missing(self, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of which there are no data."""
        ...
