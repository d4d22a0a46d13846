"""The contract between a session store and the repository that its sessions lie in.

A repository is stateless: a store may call each method at any time, and what the repository has to
know of a session stands in the ``Record`` that the store hands back. Results are types. A session
that is unknown, retired, gone or moved on is a result, never an exception. What passes through:
``django.db.DatabaseError`` and ``CacheUnreachable`` say that a system failed, ``CookieTooLarge``
that the data of a draft do not fit into a cookie, and TypeError and ValueError that the serializer
cannot write them.

What only some repositories can do stands in protocols of its own, asked for by ``isinstance``: at
the end of this module, and ``recall.DropsCopies``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, runtime_checkable

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.storage.records import (
    Coder,
    Conflict,
    Draft,
    EndCause,
    Found,
    Gone,
    KeyInUse,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
    Unknown,
)
from django_sessionkit.storage.retired import ReplacedKey


class Repository(Protocol):
    """Where sessions lie.

    ``makes_tokens``: a session key is a token that holds the data, so that each save makes another
    one. ``is_transactional``: what a save writes goes when the transaction is rolled back.
    """

    makes_tokens: bool
    is_transactional: bool

    @property
    def model(self) -> type[AbstractSession]:
        """The model of the rows."""
        ...

    @property
    def using(self) -> str:
        """The alias of the database that the rows are written to."""
        ...

    def peek(self, session_key: object, coder: Coder) -> Record | MustAsk | Unknown:
        """Take apart what a browser presented, without any input or output."""
        ...

    def session_key(self, record: Record, session_key: str | None) -> str | None:
        """Return the session key of a saved session, as its cookie holds it.

        ``session_key``: the one that the store has, which a save changes with tokens alone.
        """
        ...

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        """Return the active session of the key.

        ``ReplacedKey`` where the session had that key just before its present one, ``Unknown``
        where there is no such session, it has expired, or was damaged.
        """
        ...

    def exists(self, asked: MustAsk | Record, coder: Coder) -> bool:
        """Tell whether there is a session of this key.

        With a repository that reads no copies, an expired row counts until the clean-up removes it,
        as with Django's engines.
        """
        ...

    def insert(self, draft: Draft, coder: Coder) -> Saved | KeyInUse:
        """Write a new session."""
        ...

    def update(
        self, base: Record, draft: Draft, coder: Coder, *, at_once: bool = False
    ) -> Saved | Conflict | Gone:
        """Write the draft over ``base``, unless another request has written since.

        ``Conflict.theirs`` is None only of a repository that is ``Locks``. ``at_once``: no column
        may wait for the next renewal.
        """
        ...

    def recover(
        self, base: Record, before: Record | None, coder: Coder, *, inserted: bool
    ) -> Record | Conflict | Gone:
        """Return what to save over after ``base`` was written in a transaction that has not
        committed, as far as is known.

        ``before``: the record before the first UPDATE in that transaction; None: there was none.
        ``inserted``: the transaction has inserted the session; where that was rolled back, the row
        is inserted again. ``Conflict``: the row is not as it was written; what was changed since
        ``before`` is to be merged with it.
        """
        ...

    def delete(self, held: Record | MustAsk, cause: EndCause, coder: Coder) -> int:
        """End the session; return 0 if it had ended, or another secret replaced the one held.

        A visitor's session without a row counts as ended by this call. A logout of a signed-in
        ``Record`` ends the session of its user under any secret.
        """
        ...

    def delete_of_user(self, public_id: uuid.UUID, user_id: Any, cause: EndCause) -> int:
        """End the session, under any secret, if it is that user's; return 0 if not."""
        ...

    def judge(
        self, held: Record | MustAsk, coder: Coder, facts: RequestFacts
    ) -> ReplacedKey | None:
        """Tell what the key is worth of a session that has gone, or goes on under another key.

        None: an unknown key.
        """
        ...

    def whole(self, record: Record) -> Record | Gone:
        """Return the record with every column of its row."""
        ...

    def is_due(self, record: Record) -> bool:
        """Tell, without asking row or cache, whether ``renew()`` has something to do."""
        ...

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        """Move ``last_seen_at``, and the client with it, if the lease has run out.

        Returns the record as it is then. An error of the database or the cache is logged; a
        session that has ended meanwhile is left alone.
        """
        ...

    def instance(self, columns: Mapping[str, Any]) -> AbstractSession:
        """Return a model instance with these columns; columns that are absent are deferred."""
        ...

    def row_data(self, data: dict[str, Any], coder: Coder) -> str | None:
        """Return what the row holds of the data."""
        ...


# ---- What only some repositories can do ----


@runtime_checkable
class Locks(Protocol):
    """Can merge under a lock of the row, after optimistic locking has failed."""

    def update_locked(
        self, base: Record, merged: Callable[[Record], Draft | Gone], coder: Coder
    ) -> Saved | Gone:
        """Read the row under a lock, and write what ``merged()`` makes of it over it."""
        ...


@runtime_checkable
class TellsLostData(Protocol):
    """Keeps the data in a cache alone, which may lose them."""

    def lost(self, public_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return the sessions whose data are lost. Raises CacheUnreachable."""
        ...


@runtime_checkable
class ClosesVisitors(Protocol):
    """Leaves a visitor's data behind at a login, which are to be retired."""

    def close(self, visitor: Record, by: Record) -> Conflict | None:
        """Retire the visitor's data, whose session goes on as ``by``.

        ``Conflict``: the visitor has stored something since, which is to be merged first.
        """
        ...

    def drop_visitor(self, visitor: Record) -> None:
        """Delete the visitor's data, which nothing goes on from."""
        ...


@runtime_checkable
class HasKeySet(Protocol):
    """Signs or encrypts with keys of the settings."""

    def check_keys(self) -> None:
        """Raise ValueError if the settings have no keys, or keys that make no sense."""
        ...

    def jwks(self) -> dict[str, Any] | None:
        """Return the public keys as a JWK Set (RFC 7517); None: others cannot verify."""
        ...


@runtime_checkable
class MakesTokens(Protocol):
    """A session key is a token that holds the data."""

    def token(self, base: Record | None, draft: Draft, coder: Coder) -> str:
        """Return a token of a draft that is not saved, which vouches for nothing.

        Raises CookieTooLarge if a browser would not keep the token.
        """
        ...
