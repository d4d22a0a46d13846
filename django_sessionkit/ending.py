"""The one place where sessions end, whoever ends them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Self

from django.db import connections, transaction
from django.db.models import F
from django.db.models.deletion import Collector, get_candidate_relations_to_delete

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.races import again_after_races
from django_sessionkit.recall import (
    BATCH,
    Recall,
    after_commit,
    copies_are_out_of_reach,
    engine_has_copies,
)
from django_sessionkit.signals import SessionEndReason, session_ended

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


class EndedCount(int):
    """How many sessions ended, and whether they are refused from now on."""

    _recalls: tuple[Recall, ...]

    def __new__(cls, count: int, *recalls: Recall) -> Self:
        self = super().__new__(cls, count)
        self._recalls = recalls
        return self

    @property
    def at_once(self) -> bool | None:
        """Whether the sessions are refused from now on.

        False where the cache did not answer, or the sessions lie in cookies: what is held there
        is believed until its lease ends. None while the transaction that has ended them has not
        committed.
        """
        outcomes = {recall.at_once for recall in self._recalls}
        return False if False in outcomes else None if None in outcomes else True

    def __add__(self, other: int) -> EndedCount:
        recalls = other._recalls if isinstance(other, EndedCount) else ()
        return EndedCount(int(self) + int(other), *self._recalls, *recalls)

    __radd__ = __add__


def end(
    chosen: SessionQuerySet,
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    public_ids: Collection[uuid.UUID] | None = None,
    or_gone: bool = False,
    are_over: bool = False,
) -> EndedCount:
    """Delete the ``chosen`` rows and, after commit, take their copies back and say so.

    If nobody listens, nothing refers to sessions and there are no copies (or ``public_ids`` tells
    whose), that is one DELETE. Else the rows are read under a lock first, so that each is
    announced once, and none that stays; what refers to them is treated as its ``on_delete`` says.
    With ``or_gone`` the copies of all ``public_ids`` are taken back, even where there is no row:
    whoever ended it may not have got that far yet. ``are_over`` says that they have reached their
    end, and their copies with them.
    """
    if chosen.query.is_empty():
        return EndedCount(0)
    model, using = chosen.model, chosen.db
    has_copies = not are_over and engine_has_copies()
    is_referred_to = any(get_candidate_relations_to_delete(model._meta))  # type: ignore[arg-type]
    recall = Recall(public_ids if public_ids and or_gone else ())
    must_read = is_referred_to or session_ended.has_listeners(model)
    if must_read or (has_copies and public_ids is None):
        # If nobody has to be told about them, it does without their columns.
        rows = chosen if must_read else chosen.only("pk", "public_id")
        # More of them may be added meanwhile, and those must be known to us too.
        may_grow = public_ids is None and not are_over
        act = partial(
            _end_locked, rows.order_by("pk"), is_referred_to, may_grow, recall, reason, actor
        )
    elif has_copies:
        act = partial(_end_unread, chosen.order_by(), public_ids or (), recall)
    else:
        act = partial(chosen.order_by()._raw_delete, using)
    count = again_after_races(act, using)
    if count and not are_over and copies_are_out_of_reach():
        recall.at_once = False
    return EndedCount(count, recall) if has_copies or recall.at_once is False else EndedCount(count)


def _end_unread(chosen: SessionQuerySet, public_ids: Iterable[uuid.UUID], recall: Recall) -> int:
    count = chosen._raw_delete(chosen.db)
    if count:
        recall.public_ids.update(public_ids)
    recall.schedule(chosen.db)
    return count


def _end_locked(
    chosen: SessionQuerySet,
    is_referred_to: bool,
    may_grow: bool,
    recall: Recall,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
) -> int:
    using = chosen.db
    ended: list[AbstractSession] = []
    with transaction.atomic(using=using):
        if not connections[using].features.has_select_for_update:
            # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
            chosen.order_by().update(version=F("version"))
        while batch := list(chosen.select_for_update()):
            _delete(chosen, batch, is_referred_to)
            ended += batch
            if not may_grow:
                break
        recall.public_ids.update(session.public_id for session in ended)
        recall.schedule(using)
        announce_end(ended, reason=reason, actor=actor, recall=recall, using=using)
    return len(ended)


def _delete(chosen: SessionQuerySet, batch: list[AbstractSession], is_referred_to: bool) -> None:
    using = chosen.db
    if is_referred_to:
        collector = Collector(using=using, origin=chosen)
        collector.collect(batch)
        for session in batch:
            session.is_announced = True  # on_session_deleted() need not
        collector.delete()
        return
    rows = SessionQuerySet(chosen.model, using=using)
    pks = [session.pk for session in batch]
    for start in range(0, len(pks), BATCH):
        rows.filter(pk__in=pks[start : start + BATCH])._raw_delete(using)


def announce_end(
    ended: Iterable[AbstractSession],
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
    recall: Recall,
    using: str,
) -> None:
    """Send ``session_ended`` for each of the rows, once the transaction has committed.

    To be called after the recall was scheduled, so that its outcome can be told.
    """
    for session in ended:
        if session_ended.has_listeners(type(session)):
            after_commit(partial(_announce, session, reason, actor, recall), using)


def _announce(
    session: AbstractSession,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
    recall: Recall,
) -> None:
    session_ended.send_robust(
        sender=type(session),
        session=session,
        reason=reason,
        actor=actor,
        at_once=recall.at_once,
    )
