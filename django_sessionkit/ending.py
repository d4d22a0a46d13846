"""How sessions end: rows deleted, copies invalidated, the end announced.

``registry`` calls ``end()`` and ``end_by_public_id()``, the engines ``end()``, the clean-up
``end_by_cleanup()``. Each makes a plan, for which ``_strategy()`` chooses the statements.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.deletion import get_candidate_relations_to_delete

from django_sessionkit import audit
from django_sessionkit.announcing import announce_ends
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.deletion import (
    delete_locked,
    delete_returning,
    delete_unread,
    has_returning,
)
from django_sessionkit.events import InForce, SessionEndReason
from django_sessionkit.races import again_after_races
from django_sessionkit.recall import DoubtingRecall, Recall, copies_are_out_of_reach
from django_sessionkit.signals import session_ended

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

#: How many DELETEs look for the rows of a condition. The second one meets rows that were inserted
#: during the first. Not until no row is left: where people sign in all the time, that never ends.
PASSES = 2

#: The column that names a copy, and the columns that the audit log writes.
NAME = ("public_id",)
LOGGED = ("public_id", "user_id", "ip_address", "user_agent")


@dataclass(frozen=True, slots=True)
class Ended:
    """What ending sessions came to. True if a session ended.

    ``count``: how many sessions ended. ``in_force``: since when their keys are refused, as known
    when the call returned; the value never changes. Results can be added: the sum counts the
    sessions of both, and is in force when both are.
    """

    count: int = 0
    in_force: InForce = InForce.NOW
    _recalls: tuple[Recall, ...] = field(default=(), repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.count > 0

    def __add__(self, other: Ended) -> Ended:
        return Ended(
            self.count + other.count,
            InForce.latest([self.in_force, other.in_force]),
            self._recalls + other._recalls,
        )

    def on_commit(self, act: Callable[[InForce], object]) -> None:
        """Call ``act`` with ``NOW`` or ``WITHIN_LEASE``: at once, or after the commit.

        As Django's ``transaction.on_commit()``: at once if no transaction is open, never after a
        rollback. Where the site commits by itself (``AUTOCOMMIT`` is off), Django may never learn
        of the commit: then ``act`` is called at once with ``WITHIN_LEASE``, or never if neither
        caches nor cookies hold sessions.
        """
        if self.in_force is not InForce.ON_COMMIT:
            act(self.in_force)
            return
        for recall in self._recalls:
            if recall.in_force is InForce.ON_COMMIT:
                recall.on_commit(partial(self.on_commit, act))
                return
        act(InForce.latest(recall.in_force for recall in self._recalls))


@dataclass(frozen=True, slots=True)
class Cause:
    """Why sessions end, as announced; ``by_cleanup``: the sessions were over before."""

    reason: SessionEndReason
    actor: AbstractBaseUser | AnonymousUser | None = None
    by_cleanup: bool = False


def end(
    rows: SessionQuerySet,
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    public_ids: Collection[uuid.UUID] | None = None,
) -> Ended:
    """End the sessions of ``rows``: delete the rows and, after commit, invalidate and announce.

    ``public_ids``: of all sessions that ``rows`` can match, if the caller knows them. Then nothing
    has to be read in order to invalidate copies, and no second DELETE looks for new rows.
    """
    return _carry_out(_Plan(rows, Cause(reason, actor), Recall(), public_ids))


def end_by_public_id(
    rows: SessionQuerySet,
    public_ids: Collection[uuid.UUID],
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End the sessions with these public ids; ``rows`` matches no others.

    The copies of all ``public_ids`` are invalidated, also where no row is left: another process
    may have deleted the row and be about to invalidate the copy, or have died before.
    """
    plan = _Plan(rows, Cause(reason, actor), Recall(), public_ids)
    if plan.has_copies or copies_are_out_of_reach():
        plan.recall.public_ids.update(public_ids)
    return _carry_out(plan)


def end_of_owner(
    rows: SessionQuerySet,
    public_ids: Collection[uuid.UUID],
    owned: SessionQuerySet,
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End those of the sessions with these public ids that are ``owned``.

    ``rows``: the sessions with these ids, whoever owns them. Where no row is left at all, what a
    cache holds of that id is no more believed, as end_by_public_id() has it; a row of another owner
    keeps its copies.
    """
    # With one id, the copy to invalidate is known without reading the row.
    known = public_ids if len(public_ids) == 1 else None
    ended = end(owned, reason=reason, actor=actor, public_ids=known)
    if ended.count < len(public_ids):
        left = set(rows.values_list("public_id", flat=True))
        ended += _doubt(set(public_ids) - left, rows.db)
    return ended


def _doubt(public_ids: Collection[uuid.UUID], using: str) -> Ended:
    """Have the rows of these sessions asked, since they have none any more."""
    recall = DoubtingRecall(public_ids)
    if not public_ids or not (recall.has_copies or copies_are_out_of_reach()):
        return Ended()
    recall.schedule(using)
    return Ended(0, recall.in_force, (recall,))


def end_by_cleanup(rows: SessionQuerySet, *, reason: SessionEndReason) -> Ended:
    """Remove rows whose sessions are over: expired, or without a user, or without data.

    With ``EXPIRED`` nothing is read in order to invalidate copies: they have expired as well.
    """
    are_expired = reason == SessionEndReason.EXPIRED
    return _carry_out(_Plan(rows, Cause(reason, by_cleanup=True), Recall(), None, are_expired))


@dataclass(frozen=True)
class _Plan:
    """Which rows to delete and why, and what is known of the rows before they are read."""

    rows: SessionQuerySet
    cause: Cause
    #: Invalidates the copies.
    recall: Recall
    #: Of all sessions that ``rows`` can match. None: ``rows`` is a condition.
    public_ids: Collection[uuid.UUID] | None
    #: The sessions have expired, and so have copies and cookies.
    are_expired: bool = False

    @property
    def using(self) -> str:
        return self.rows.db

    @property
    def has_copies(self) -> bool:
        """Whether a cache may hold copies that are still valid."""
        return self.recall.has_copies and not self.are_expired

    @property
    def passes(self) -> int:
        """How many DELETEs look for rows: ``PASSES`` if new rows may come to match."""
        return PASSES if self.public_ids is None and not self.are_expired else 1

    @cached_property
    def is_referred_to(self) -> bool:
        """Whether a model has a relation to sessions."""
        options: Any = self.rows.model._meta
        return any(get_candidate_relations_to_delete(options))

    def invalidate(self, count: int, public_ids: Iterable[uuid.UUID]) -> None:
        """Invalidate, after commit, the copies of ``count`` sessions that were deleted."""
        self.recall.public_ids.update(public_ids)
        if count or self.recall.public_ids:
            self.recall.schedule(self.using)

    def announce(self, deleted: Sequence[AbstractSession | Mapping[str, Any]]) -> None:
        """Announce the deleted sessions after commit; call ``invalidate()`` before."""
        announce_ends(
            deleted,
            model=self.rows.model,
            reason=self.cause.reason,
            actor=self.cause.actor,
            recall=self.recall,
            using=self.using,
            by_cleanup=self.cause.by_cleanup,
        )


def _carry_out(plan: _Plan) -> Ended:
    if plan.rows.query.is_empty():
        return Ended()
    count = again_after_races(partial(_strategy(plan), plan), plan.using)
    return Ended(count, plan.recall.in_force, (plan.recall,))


def _strategy(plan: _Plan) -> Callable[[_Plan], int]:
    """Return the strategy that reads no more of the rows than is asked for.

    Receivers of ``session_ended`` get instances. Rows that refer to sessions are deleted by
    Django, which needs instances too. The audit log needs some columns, and a cache the public
    ids. Where nobody asks, one DELETE is all that runs.
    """
    if plan.is_referred_to or session_ended.has_listeners(plan.rows.model):
        return _end_locked
    if audit.wants_ends(by_cleanup=plan.cause.by_cleanup):
        return _end_logged
    if plan.has_copies and plan.public_ids is None:
        return _end_named
    return _end_unread


def _end_locked(plan: _Plan) -> int:
    """Read the rows under a lock before the DELETE, so that each end is announced once."""
    with transaction.atomic(using=plan.using):
        deleted = delete_locked(plan.rows, plan.passes, cascades=plan.is_referred_to)
        plan.invalidate(len(deleted), [session.public_id for session in deleted])
        plan.announce(deleted)
    return len(deleted)


def _end_logged(plan: _Plan) -> int:
    """Let the DELETE return the columns of the audit log."""
    # Without copies, one DELETE is enough, as in _end_unread(): a row it misses is a later login.
    passes = plan.passes if plan.has_copies else 1
    is_one_statement = passes == 1 and has_returning(plan.using)
    with nullcontext() if is_one_statement else transaction.atomic(using=plan.using):
        deleted = delete_returning(plan.rows, LOGGED, passes)
        plan.invalidate(len(deleted), [row["public_id"] for row in deleted])
        plan.announce(deleted)
    return len(deleted)


def _end_named(plan: _Plan) -> int:
    """Let the DELETE return the public ids, by which copies are invalidated."""
    with transaction.atomic(using=plan.using):
        deleted = delete_returning(plan.rows, NAME, plan.passes)
        plan.invalidate(len(deleted), [row["public_id"] for row in deleted])
    return len(deleted)


def _end_unread(plan: _Plan) -> int:
    """Delete the rows by one statement, which returns how many."""
    count = delete_unread(plan.rows)
    if not plan.are_expired:
        plan.invalidate(count, plan.public_ids or () if count else ())
    return count
