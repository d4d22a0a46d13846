"""What has been promised to clients so far, and whether what they see keeps it.

1. What was revoked, deleted or logged out (and has returned) is refused by loads that start later,
   and has neither row, copy nor data.
2. A key that was replaced is refused too, and one from before a login never shows who signed in.
3. A save that has returned is seen by every load that starts later, while the session lives.
4. What a save has refused to write is never seen; and a save refuses, as a load finds nothing,
   only when somebody has at least begun to end the session or to replace its key.
5. The copies that are fetched never get older.

Where the cache did not answer, or has come back with what it held once, 1 to 3 hold a lease later.
That somebody else has seen a save before it has returned does not mean that everybody does.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.schedules.timing import UNITS

USER = "_auth_user_id"


class Broken(Exception):  # noqa: N818 - what has happened
    """A promise was not kept."""


@dataclass(frozen=True)
class Start:
    """When an operation has started: the step, and the time of the cache."""

    step: int
    tick: int


@dataclass(eq=False)
class Promise:
    """Something that has begun, and that binds once it has returned (``step``)."""

    step: int | None = None
    tick: int = 0
    is_late: bool = False
    #: It did nothing, so it promises nothing.
    is_void: bool = False
    #: The data are lost, of which nobody could tell the row.
    leaves_row: bool = False
    #: How often the cache had come back when it began, and whether it did so again on the way.
    restores: int = 0
    is_restored: bool = False

    def holds(self, start: Start) -> bool:
        """Whether it binds what starts then."""
        if self.step is None or self.step >= start.step:
            return False
        return not self.is_late or start.tick >= self.tick + UNITS


@dataclass
class Known:
    """A session as its clients know it; ``base`` is the one whose data it has taken over."""

    public_id: uuid.UUID
    has_row: bool = True
    base: Known | None = None
    ends: list[Promise] = field(default_factory=list)
    saves: dict[str, Promise] = field(default_factory=dict)
    version: int = 0

    def bound(self, promises: Iterable[Promise], start: Start) -> bool:
        """Whether one of these binds what starts then.

        Where there is no row, nobody is signed in, and nothing is asked a lease later.
        """
        return any(
            promise.holds(start) for promise in promises if self.has_row or not promise.is_late
        )

    def saved(self, start: Start) -> set[str]:
        """Return the names of what must be seen by a load."""
        inherited = set() if self.base is None else self.base.saved(start)
        return inherited | {name for name, save in self.saves.items() if save.holds(start)}


@dataclass
class Key:
    """A session key that a browser has got."""

    session_key: str
    session: Known
    is_signed_in: bool
    retired: list[Promise] = field(default_factory=list)

    def may_be_refused(self) -> bool:
        """Whether somebody has begun to end the session, or to replace this key."""
        return bool(self.session.ends or self.retired)


class Promises:
    """The sessions and keys of one schedule, with all that was promised about them."""

    def __init__(self, *, data_in_row: bool) -> None:
        self.sessions: dict[uuid.UUID, Known] = {}
        self.keys: list[Key] = []
        self.refused: set[str] = set()
        #: How often the cache has come back with what it held once.
        self.restores = 0
        self._data_in_row = data_in_row

    def hand_out(self, key: Key) -> None:
        """A browser has got this key."""
        self.sessions[key.session.public_id] = key.session
        self.keys.append(key)

    def restored(self) -> None:
        """The cache has come back with what it held once: what was promised holds a lease later.

        But for the data that lay nowhere else: what they were then, and whether, is not known.
        """
        self.restores += 1
        for session in self.sessions.values():
            session.version = 0
            if not self._data_in_row:
                session.saves.clear()
                session.ends.append(Promise())
            for promise in [*session.ends, *session.saves.values()]:
                promise.is_late = True
        for key in self.keys:
            for promise in key.retired:
                promise.is_late = True

    def check_load(self, key: Key, start: Start, data: dict[str, Any]) -> None:
        """Compare what a load has shown with what it had to show."""
        session = key.session
        if session.bound(session.ends, start) and data:
            raise Broken("The session had ended, and is loaded.")
        if session.bound(key.retired, start) and data:
            raise Broken("The key had been replaced, and opens the session.")
        if not data:
            if not key.may_be_refused():
                raise Broken("The session is lost, though nobody has ended it.")
            return
        if (USER in data) != key.is_signed_in:
            raise Broken("The key shows a user from before or after its time.")
        if missing := session.saved(start) - data.keys():
            raise Broken(f"Saved and not seen: {sorted(missing)}")
        self._check_refused(data)

    def check_refusal(self, key: Key, name: str) -> None:
        """A save has refused to write ``name``."""
        self.refused.add(name)
        if not key.may_be_refused():
            raise Broken("A save is refused, though nobody has ended the session.")

    def check_version(self, public_id: uuid.UUID, version: int) -> None:
        """A copy of this version was fetched."""
        session = self.sessions.get(public_id)
        if session is None:
            return
        if version < session.version:
            raise Broken(f"A copy of version {version} comes after one of {session.version}.")
        session.version = version

    def check_row(self, session: Known, row: dict[str, Any] | None) -> None:
        """Compare the data of a row (None: no row) with all that has happened."""
        if any(end.step is not None and not end.leaves_row for end in session.ends):
            if row is not None:
                raise Broken("The session was ended, and has a row.")
            return
        if row is None:
            if session.has_row and not session.ends:
                raise Broken("The row is gone, though nobody has ended the session.")
            return
        names = {name for name, save in session.saves.items() if save.step is not None}
        if self._data_in_row and (missing := names - row.keys()):
            raise Broken(f"Saved and lost: {sorted(missing)}")
        self._check_refused(row)

    def check_cache(self, session: Known, end: Start, held: Collection[bytes | None]) -> None:
        """Of a session that has ended, neither copy nor data nor voucher must be left."""
        has_ended = any(
            promise.holds(end) and not promise.is_late and not promise.leaves_row
            for promise in session.ends
        )
        # A voucher without a row is a forged one, and good for nothing.
        kinds = b"CDVM" if session.has_row else b"CDV"
        if has_ended and any(entry is not None and entry[:1] in kinds for entry in held):
            raise Broken("The session has ended, and something of it is left in the cache.")

    def _check_refused(self, data: dict[str, Any]) -> None:
        if seen := self.refused & data.keys():
            raise Broken(f"Refused, yet written: {sorted(seen)}")
