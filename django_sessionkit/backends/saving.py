"""Saving what a store holds, over what another request may have saved meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.backends.base import CreateError, UpdateError

from django_sessionkit.backends.drafting import Drafts, draft_of
from django_sessionkit.backends.held import Held, Uncommitted
from django_sessionkit.exceptions import CacheUnreachable, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.recall import after_commit
from django_sessionkit.storage.protocol import ClosesVisitors, Locks, MakesTokens, Repository
from django_sessionkit.storage.records import Conflict, Draft, Gone, KeyInUse, Record, Saved, Source

AUTH_PREFIX = "_auth_user_"
#: How often a save is tried before the row is locked.
OPTIMISTIC_TRIES = 3
#: Where nothing can be locked: how often a save is tried in all, and after which try it rests for a
#: millisecond. (Each failed try means that another save succeeded.)
TRIES, HURRIED_TRIES = 1000, 5


@dataclass(slots=True)
class Saving:
    """Saves what a store holds into a repository, so that overlapping requests lose nothing."""

    store: Drafts
    held: Held
    repository: Repository

    def insert(self, key: SplitKey, data: dict[str, Any]) -> None:
        """Write a new session. Raises CreateError if there is one of that public id."""
        left = self.held.left
        outcome = self.repository.insert(self._draft(data, key, None), self.store)
        if isinstance(outcome, KeyInUse):
            raise CreateError("The session key is in use.")
        self.held.keep(outcome, None, self.repository.using)
        if left is not None:
            if self.held.uncommitted is not None:
                self.held.uncommitted.left = left
            self._leave(left, data)

    def update(self, data: dict[str, Any]) -> Gone | None:
        """Write the data over the session that is held; return what became of it if it is gone.

        Raises UpdateError when others were faster ``TRIES`` times.
        """
        base, written, at_once = self.held.current, data, False
        try:
            if self.store.fills_columns:
                base = self.whole()
            if base is None:
                return Gone()
            pending = self.held.unsettled if self.held.uncommitted is not None else None
            if pending is not None:
                recovered = self._recover(base, data, pending)
                if isinstance(recovered, Gone):
                    return recovered
                # Tokens: whether the row has the columns of ``base`` is seen by writing to the row.
                at_once = pending.before is not None and self.repository.makes_tokens
                base, written = recovered
            outcome, written = self._save_over(base, written, at_once=at_once)
        except SessionGone:
            return Gone()
        if isinstance(outcome, Gone):
            return outcome
        self.held.keep(outcome, base, self.repository.using)
        if written is not data:
            self._show(written)
        if pending is not None and pending.left is not None and self.held.uncommitted is None:
            # The callback that was to close the visitor's session was rolled back too.
            self._leave(pending.left, written)
        return None

    def whole(self) -> Record | None:
        """Return the record, read from its row where a project's hook may want all columns.

        Raises SessionGone if there is no such row any more.
        """
        record = self.held.current
        if record is not None and record.source is Source.TOKEN:
            whole = self.repository.whole(record)
            if isinstance(whole, Gone):
                raise SessionGone("The session has ended.")
            self.held.current = record = whole
        return record

    def token(self, repository: MakesTokens, key: SplitKey, data: dict[str, Any]) -> str:
        """Return a token of what is not saved yet; the save makes another one."""
        if self.store.fills_columns:
            with suppress(SessionGone):
                self.whole()
        base = self.held.current
        return repository.token(base, self._draft(data, key, base), self.store)

    def _recover(
        self, base: Record, data: dict[str, Any], pending: Uncommitted
    ) -> tuple[Record, dict[str, Any]] | Gone:
        """Return the record to save over after a write that may have been rolled back, and what."""
        recovered = self.repository.recover(
            base, pending.before, self.store, inserted=pending.inserted
        )
        if not isinstance(recovered, Conflict):
            return recovered if isinstance(recovered, Gone) else (recovered, data)
        if pending.before is None or recovered.theirs is None:
            return Gone()
        merged = self._merged(pending.before, data, recovered.theirs)
        self.held.uncommitted = None
        return Gone() if merged is None else (recovered.theirs, merged)

    def _save_over(
        self, base: Record, data: dict[str, Any], *, at_once: bool = False
    ) -> tuple[Saved | Gone, dict[str, Any]]:
        """Write the data over ``base``, merged with what others have saved.

        Returns the outcome, and the data that were written.
        """
        for number in range(1, TRIES + 1):
            # The key of now, though the base may have one that a rolled back save has replaced.
            key = self.held.new_key or (self.held.current or base).key
            draft = self._draft(data, key, base)
            outcome = self.repository.update(base, draft, self.store, at_once=at_once)
            if not isinstance(outcome, Conflict):
                return outcome, data
            theirs = outcome.theirs
            if theirs is not None:
                merged = self._merged(base, data, theirs)
                if merged is None:
                    return Gone(), data
                data, base = merged, theirs
            if isinstance(self.repository, Locks):
                if theirs is None or number == OPTIMISTIC_TRIES:
                    return self._save_locked(self.repository, base, data)
            elif number >= HURRIED_TRIES:
                time.sleep(0.001)
        raise UpdateError("Others save this session all the time.")

    def _save_locked(
        self, repository: Locks, base: Record, data: dict[str, Any]
    ) -> tuple[Saved | Gone, dict[str, Any]]:
        written = data

        def merge_with(theirs: Record) -> Draft | Gone:
            nonlocal written
            merged = self._merged(base, data, theirs)
            if merged is None:
                return Gone()
            written = merged
            key = self.held.new_key or (self.held.current or base).key
            return self._draft(merged, key, theirs)

        return repository.update_locked(base, merge_with, self.store), written

    def _merged(self, base: Record, mine: dict[str, Any], theirs: Record) -> dict[str, Any] | None:
        """Return the data with what another request has saved since ``base``.

        None if somebody signed in or out meanwhile: that is another user's session by now, be it
        that nobody was signed in before.
        """
        # Decoded again: the view may have changed nested values of what was decoded at load.
        before, after = base.payload.fresh(self.store), theirs.payload.fresh(self.store)
        if _auth(before) != _auth(after):
            return None
        return merge(before, mine, after, self.store.serializer().dumps)

    def _draft(self, data: dict[str, Any], key: SplitKey, base: Record | None) -> Draft:
        current = None if base is None else self.held.current
        return draft_of(self.store, self.repository, data, key=key, base=base, current=current)

    def _show(self, data: dict[str, Any]) -> None:
        """Show in the store what was saved, so that its next save starts from there."""
        shown = self.store._get_session()
        if data is not shown:
            shown.clear()
            shown.update(data)

    def _leave(self, left: Record, data: dict[str, Any]) -> None:
        """Retire a visitor's session once the one that goes on from it has been committed."""
        repository = self.repository
        if not isinstance(repository, ClosesVisitors):
            return

        def close() -> None:
            # What others do after this commit must not be stopped by a cache that does not answer.
            with suppress(CacheUnreachable):
                self._close(repository, left, data)

        if self.held.record is not None and self.held.record.has_row:
            after_commit(close, repository.using)
        else:
            close()

    def _close(self, repository: ClosesVisitors, left: Record, data: dict[str, Any]) -> None:
        while (current := self.held.current) is not None:
            conflict = repository.close(left, current)
            if conflict is None or conflict.theirs is None:
                return
            merged = self._merged(left, data, conflict.theirs)
            if merged is None:
                return
            left = conflict.theirs
            outcome, data = self._save_over(current, merged)
            if isinstance(outcome, Gone):
                return
            self.held.keep(outcome, current, self.repository.using)
            self._show(data)


def _auth(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if str(key).startswith(AUTH_PREFIX)}
