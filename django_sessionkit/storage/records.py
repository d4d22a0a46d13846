"""What stores and repositories of sessions hand each other: facts, records, drafts and results."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, Protocol

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import Client
from django_sessionkit.events import SessionEndReason
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.retired import ReplacedKey

# ---- What a store tells a repository ----


class Coder(Protocol):
    """What turns session dictionaries into text: the session store, whose hooks a site overrides.

    ``encodes_by_itself``: the site overrides ``encode()`` or ``decode()``, so that copies and
    tokens hold what these return.
    """

    serializer: Any
    encodes_by_itself: bool

    def encode(self, session_dict: dict[str, Any]) -> str: ...
    def decode(self, session_data: str | bytes) -> dict[str, Any]: ...
    def get_session_cookie_age(self) -> int: ...


class RequestFacts(NamedTuple):
    """What a store knows of the request that it serves.

    ``meta``: ``request.META``, from which the client is read only when that is stored.
    ``arrived_at``: ``time.monotonic()`` at the request's arrival; None: it has just arrived.
    ``wants_user``: somebody will ask for the user, who may be read together with the row.
    """

    meta: Mapping[str, Any] | None = None
    arrived_at: float | None = None
    wants_user: bool = False

    def __repr__(self) -> str:
        # Error pages and logs show local variables; ``meta`` holds the cookies.
        return f"<facts of a request, wants_user={self.wants_user}>"

    def client(self) -> Client | None:
        """Return address and user agent, or None outside of a request."""
        return None if self.meta is None else Client.from_meta(self.meta)

    def elapsed(self) -> timedelta:
        """Return the time since the request arrived."""
        seconds = 0.0 if self.arrived_at is None else time.monotonic() - self.arrived_at
        return timedelta(seconds=seconds)


class EndCause(NamedTuple):
    """Why a session ends, and by whose act, where that is known."""

    reason: SessionEndReason
    actor: Any = None


# ---- A session that was found ----


class Source(Enum):
    """Where a record was read from."""

    ROW = "row"  # or written to the row
    COPY = "copy"  # in a cache, within its lease
    TOKEN = "token"  # a cookie, within its lease  # noqa: S105
    VISITOR = "visitor"  # data in a cache or a cookie; there is no row


class Freshness(Enum):
    """Whether a record may be used without asking the row (as in RFC 9111)."""

    #: A copy or token vouches for the session, it has no row, or its row was just inserted: nothing
    #: to renew.
    FRESH = "fresh"
    #: The row itself was read or written.
    REVALIDATED = "revalidated"
    #: The row was read inside a transaction, whose snapshot may be older than a revocation: the
    #: row is read again, outside of the transaction, before a token says that it was checked.
    MUST_REVALIDATE = "must revalidate"
    #: The row was read inside a transaction, within which no copy may be filled.
    OWES_FILL = "owes a fill"


class Columns(dict[str, Any]):
    """Columns of a row by attribute name; one that was not read is absent.

    ``user``: the row's user, where that was read with the row.
    """

    user: Any = None

    def __repr__(self) -> str:
        # Error pages and logs show local variables; data and hashes are none of their business.
        return f"<columns {', '.join(self)}>"


class Payload(Protocol):
    """The data of a session, as they were read or written."""

    def fresh(self, coder: Coder) -> dict[str, Any]:
        """Return the data as a dictionary that nobody else has."""
        ...

    @property
    def end(self) -> datetime | None:
        """When the session ends by what lies apart from the row; None: the row tells."""
        ...


@dataclass(slots=True)
class Once:
    """Data that were decoded already: the first who asks gets them, for they may be changed."""

    data: dict[str, Any] | None = field(repr=False)

    def pop(self) -> dict[str, Any] | None:
        """Return the data, None from the second time on."""
        data, self.data = self.data, None
        return data


class Record(NamedTuple):
    """A session that was found or saved: immutable, and complete as far as it was read.

    ``key``: the session key that the row has. ``columns``: at least ``secret_hash``, ``user_id``
    and ``expire_date``, with ``id`` (None where it was not read). ``is_own_key``: this request has
    made the key, so that no browser holds it yet.
    """

    key: SplitKey
    columns: Columns
    payload: Payload
    source: Source = Source.ROW
    freshness: Freshness = Freshness.REVALIDATED
    is_own_key: bool = False

    @property
    def public_id(self) -> uuid.UUID:
        """The handle that may be shown."""
        return self.key.public_id

    @property
    def pk(self) -> Any:
        """The primary key of the row, or None where the record was not read from a row."""
        return self.columns.get("id")

    @property
    def user_id(self) -> Any:
        """The primary key of the signed-in user, or None."""
        return self.columns.get("user_id")

    @property
    def end(self) -> datetime:
        """When the row ends (for a session without a row: the data)."""
        moment: datetime = self.columns["expire_date"]
        return moment

    @property
    def has_row(self) -> bool:
        """Whether the session has a row, as every session of a signed-in user has."""
        return self.source is not Source.VISITOR

    def __repr__(self) -> str:
        return f"<session {self.key}>"


# ---- What a repository answers ----


class Unknown(NamedTuple):
    """The key opens no session. ``is_ours``: it has the form of our keys."""

    is_ours: bool = True


class MustAsk(NamedTuple):
    """The row has to be asked about this key. ``token``: what the browser presented, if a token."""

    key: SplitKey
    token: Any = None

    @property
    def public_id(self) -> uuid.UUID:
        """The handle of the session that the key claims to open."""
        return self.key.public_id

    def __repr__(self) -> str:
        return f"<key of session {self.key}>"


class Gone(NamedTuple):
    """The session has ended; with ``is_replaced`` it goes on under another secret."""

    is_replaced: bool = False


class Conflict(NamedTuple):
    """Another request has saved meanwhile. ``theirs``: what it saved; None: the snapshot of a
    transaction hides that.
    """

    theirs: Record | None


class KeyInUse(NamedTuple):
    """There is a session of that public id already."""


class Saved(NamedTuple):
    """The draft was written, and this is the record of it.

    ``wrote_row``: the row was written too, not only what lies apart from the row.
    """

    record: Record
    wrote_row: bool = True


class Draft(NamedTuple):
    """What is to be saved.

    ``key``: the session key from now on; the very object ``Record.key`` of the base where the key
    stays. ``changes``: the columns that are to change; for a new
    session all that the store fills. ``row``: the model instance that a project's
    ``create_model_instance()`` has made of the draft.
    """

    key: SplitKey
    data: dict[str, Any]
    changes: Mapping[str, Any]
    row: AbstractSession | None = None

    def __repr__(self) -> str:
        return f"<draft of session {self.key}>"


#: What ``find()`` answers.
Found = Record | ReplacedKey | Unknown
