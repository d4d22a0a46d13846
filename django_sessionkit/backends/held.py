"""The session that a store holds: its state, and all that a store remembers between two calls."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import first_after_commit, in_transaction
from django_sessionkit.storage.records import Record, Saved, Unknown
from django_sessionkit.storage.retired import ReplacedKey


class State(Enum):
    """What has become of the session that a store holds.

    ===========================  ==========================================  ====================
    from                         by                                          to
    ===========================  ==========================================  ====================
    UNREAD                       ``load()`` of a key that opens a session    LIVE
    UNREAD                       ``load()`` of a key that opens none         NEW
    UNREAD                       ``cycle_key()`` without a key               PENDING
    NEW, ENDED                   ``cycle_key()``                             PENDING
    PENDING                      ``cycle_key()``                             PENDING, another key
    LIVE                         ``cycle_key()`` of a visitor without a row  PENDING
    GONE                         ``cycle_key()`` of a visitor                PENDING
    UNREAD, NEW, PENDING, ENDED  ``save()``, ``create()``                    LIVE
    NEW                          ``create()`` with a retired key             PENDING
    PENDING                      ``create()`` with a retired key             PENDING, another key
    LIVE, GONE                   ``create()`` of a visitor                   LIVE, another key
    LIVE                         ``save()`` starts over                      LIVE, another key
    LIVE                         ``load()`` again finds no session           GONE
    UNREAD, NEW, PENDING, LIVE   ``flush()`` ended the session, or had none  ENDED
    UNREAD, PENDING, LIVE, GONE  ``flush()`` met a key that opens none       NEW
    ===========================  ==========================================  ====================

    In a state that is UNREAD, ``cycle_key()`` and ``save()`` load a key that was presented first.
    ``cycle_key()`` of a LIVE session with a row stays LIVE: the next save writes the new secret. A
    PENDING session under a retired key stays PENDING, since its ``save()`` raises ``SessionGone``.

    ``save()`` of a LIVE session that was revoked or whose key was replaced meanwhile starts over
    after a login, or with a visitor's data. Else it raises ``SessionGone`` and leaves the state,
    so that each later save is refused again. Whether the key that the browser presented was
    retired or unknown is no state: the store remembers that verdict whatever comes after it, since
    it decides about the cookie of the response.
    """

    UNREAD = "unread"
    NEW = "new"
    LIVE = "live"
    PENDING = "pending"
    GONE = "gone"
    ENDED = "ended"


@dataclass(eq=False, slots=True)
class SignIn:
    """A sign-in of which the audit log tells once, when a save of it has committed."""

    is_saved: bool = False
    is_told: bool = False

    def settle(self) -> bool:
        """Note that the sign-in is told; return False if it was told before."""
        was_told, self.is_told = self.is_told, True
        return not was_told


class Flushed(NamedTuple):
    """What the last ``flush()`` has found.

    ``left_user``: the user of a session that the flush could not end, since another request has
    replaced its key. ``has_lost_user``: that session had ended before it was flushed, so whoever
    was signed in is not signed in again by a save.
    """

    public_id: uuid.UUID | None
    left_user: Any = None
    has_lost_user: bool = False


class _Write:
    """One write to the row; ``before``: the record that was written over, None: an INSERT."""

    __slots__ = ("before", "is_committed")

    def __init__(self, before: Record | None) -> None:
        self.before, self.is_committed = before, False

    def commit(self) -> None:
        self.is_committed = True


class Uncommitted:
    """What a store has written in a transaction that may still be rolled back.

    Each write learns of its own commit, before any callback of the site could fail. So outside of
    the transaction a write that has not committed was rolled back, be it by a savepoint alone.
    ``left``: the visitor's session that the inserted one goes on from, to be closed after commit.
    """

    __slots__ = ("_writes", "left")

    def __init__(self) -> None:
        self._writes: list[_Write] = []
        self.left: Record | None = None

    def add(self, before: Record | None, using: str) -> None:
        """Note a write over ``before`` (None: an INSERT), and its commit when that comes."""
        write = _Write(before)
        self._writes.append(write)
        first_after_commit(write.commit, using)

    @property
    def is_committed(self) -> bool:
        """Whether every write has committed."""
        return all(write.is_committed for write in self._writes)

    @property
    def inserted(self) -> bool:
        """Whether the session was inserted by what has not committed."""
        return any(write.before is None for write in self._writes if not write.is_committed)

    @property
    def before(self) -> Record | None:
        """The record before the first UPDATE that has not committed; None: there was none."""
        open_writes = (write.before for write in self._writes if not write.is_committed)
        return next((before for before in open_writes if before is not None), None)


@dataclass(eq=False, slots=True, repr=False)
class Held:
    """The session that a store holds, and its transitions.

    ``current``: the session as it was found or saved; only of a LIVE one. ``past``: of a GONE one
    the session as it was, of a PENDING one the visitor's that goes on under another public id.
    ``new_key``: the key that ``cycle_key()`` has made, and no save has written yet.
    ``uncommitted``: what was written in a transaction that is open, as far as is known.
    ``refused``: what the key is worth that the browser presented, where it opens nothing.
    ``sign_in``: the last sign-in, ``flushed``: what the last flush has found.
    """

    state: State = State.UNREAD
    current: Record | None = None
    past: Record | None = None
    new_key: SplitKey | None = None
    uncommitted: Uncommitted | None = None
    refused: ReplacedKey | Unknown | None = None
    sign_in: SignIn | None = None
    flushed: Flushed | None = None

    @property
    def record(self) -> Record | None:
        """The session that was found or saved, whatever has become of it."""
        return self.past if self.current is None else self.current

    @property
    def left(self) -> Record | None:
        """The visitor's session that this one goes on from, as long as that is not closed."""
        if self.state is State.PENDING:
            return self.past
        pending = self.unsettled
        return None if pending is None else pending.left

    @property
    def unsettled(self) -> Uncommitted | None:
        """What was written and may have been rolled back."""
        pending = self.uncommitted
        return None if pending is None or pending.is_committed else pending

    @property
    def public_id(self) -> uuid.UUID | None:
        """The handle of the session; None before it was found and after it ended."""
        if self.state is State.PENDING:
            return None if self.new_key is None else self.new_key.public_id
        return None if self.current is None else self.current.public_id

    @property
    def retired_key(self) -> ReplacedKey | None:
        """The key that the browser presented, if another request has replaced it just now."""
        refused = self.refused
        return refused if isinstance(refused, ReplacedKey) and refused.is_retired else None

    @property
    def is_signing_in(self) -> bool:
        """Whether the user has proven who they are since the last save."""
        return self.sign_in is not None and not self.sign_in.is_saved

    @property
    def must_not_start(self) -> bool:
        """Whether a login elsewhere has replaced the key, and this is no login."""
        return self.retired_key is not None and not self.is_signing_in

    def find(self, record: Record) -> None:
        """Hold a session that was found."""
        self.state, self.current = State.LIVE, record

    def refuse(self, verdict: ReplacedKey | Unknown) -> None:
        """Hold no session, or one that has ended since it was found (GONE)."""
        is_malformed = isinstance(verdict, Unknown) and not verdict.is_ours
        self.refused = None if is_malformed else verdict
        self.past, self.current = self.record, None
        self.state = State.NEW if self.past is None else State.GONE

    def judge(self, replaced: ReplacedKey | None) -> None:
        """Note the verdict on the key of a session that has gone; None: the key is unknown.

        A store whose key had opened its session keeps no verdict for an unknown key.
        """
        self.refused = replaced or (None if self.refused is None else Unknown())

    def start(self, key: SplitKey) -> None:
        """Go on under a new public id, whose session the next save inserts."""
        # A visitor's session that cycle_key() goes on from is still to be closed by that save.
        self.past = self.past if self.state is State.PENDING else None
        self.state, self.new_key = State.PENDING, key
        self.current = self.uncommitted = None

    def change_key(self, *, had_user: bool) -> None:
        """Note that the key is to change."""
        current = self.current
        if current is not None and current.has_row:
            # The save writes the secret, in one statement with the user: were it written here, a
            # login of somebody else could come in between.
            self.new_key = SplitKey.generate(current.public_id)
        elif current is None and had_user:
            # The session ended while somebody was signed in, and is not revived.
            self.state = State.GONE
        else:
            left = self.record if self.state in (State.LIVE, State.PENDING) else None
            self.start(SplitKey.generate())
            self.past = left

    def keep(self, saved: Saved, before: Record | None, using: str) -> None:
        """Hold what was saved; ``before``: the record that it was written over, if any."""
        pending = self.unsettled
        self.state, self.current, self.past = State.LIVE, saved.record, None
        self.new_key = None
        if self.sign_in is not None:
            self.sign_in.is_saved = True
        if not in_transaction(using):
            self.uncommitted = None
        elif saved.wrote_row:
            self.uncommitted = pending or Uncommitted()
            self.uncommitted.add(before, using)

    def settle_verdicts(self) -> None:
        """Note that a session was saved, so that what was refused or lost before is over."""
        self.refused = None if self.refused is None else Unknown()
        if self.flushed is not None:
            self.flushed = self.flushed._replace(has_lost_user=False)

    def signed_in(self, owner_before: Any) -> SignIn | None:
        """Return the sign-in that is to be told of, now that it was saved; None if there is none.

        ``owner_before``: the primary key of the user that the session had before the save.
        """
        owner = None if self.current is None else self.current.columns["user_id"]
        if owner is None:
            self.sign_in = None
        elif self.sign_in is None and owner != owner_before:
            self.sign_in = SignIn(is_saved=True)
        return None if self.sign_in is None or self.sign_in.is_told else self.sign_in

    def end(self, flushed: Flushed, *, is_stale: bool) -> None:
        """Hold nothing any more.

        ``is_stale``: the browser's key opens nothing, or its session could not be ended by this
        flush; the cookie is left alone then.
        """
        retired = self.retired_key
        self.flushed, self.refused = flushed, None
        if retired is not None:
            # Of nobody: this request has nothing more to do with its user.
            self.refused = dataclasses.replace(retired, was_users=False)
        elif is_stale:
            self.refused = Unknown()
        self.state = State.ENDED if self.refused is None else State.NEW
        self.current = self.past = self.new_key = self.uncommitted = None
