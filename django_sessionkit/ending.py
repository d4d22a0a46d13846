"""The one place where sessions end, whoever ends them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, transaction
from django.db.models import F
from django.db.models.deletion import Collector, get_candidate_relations_to_delete
from django.db.models.sql import DeleteQuery

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


#: How often rows are looked for: some may have been added while the first were deleted. Not until
#: none is left: where people sign in all the time, that would never end.
PASSES = 2


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
    if must_read:
        # More of them may be added meanwhile, and those must be known to us too.
        may_grow = public_ids is None and not are_over
        rows = chosen.order_by("pk")
        act = partial(_end_locked, rows, is_referred_to, may_grow, recall, reason, actor)
    elif has_copies and public_ids is None:
        act = partial(_end_untold, chosen, recall)
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


def _end_untold(chosen: SessionQuerySet, recall: Recall) -> int:
    """End rows that nobody has to be told about, so that it is enough to know their names."""
    using = chosen.db
    features = connections[using].features
    # MySQL has no RETURNING; those that have it, have it for both statements.
    delete = _deleted if features.can_return_columns_from_insert else _read_and_deleted
    ended: list[uuid.UUID] = []
    with transaction.atomic(using=using):
        for _ in range(PASSES):
            ended += (batch := delete(chosen))
            if not batch:
                break
        recall.public_ids.update(ended)
        recall.schedule(using)
    return len(ended)


def _deleted(chosen: SessionQuerySet) -> list[uuid.UUID]:
    """Delete the rows and return their public ids."""
    connection = connections[chosen.db]
    query: Any = chosen.order_by().query.chain(DeleteQuery)
    sql, params = query.get_compiler(chosen.db).as_sql()
    field: Any = chosen.model._meta.get_field("public_id")
    column = connection.ops.quote_name(field.column)
    with transaction.mark_for_rollback_on_error(chosen.db), connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {column}", params)
        # Databases without a type of their own for UUIDs return text; others nothing to parse.
        return [field.to_python(public_id) for (public_id,) in cursor.fetchall()]


def _read_and_deleted(chosen: SessionQuerySet) -> list[uuid.UUID]:
    """See _deleted()."""
    _lock(chosen)
    names = list(chosen.order_by("pk").select_for_update().values_list("pk", "public_id"))
    _delete_rows(chosen, [pk for pk, _ in names])
    return [public_id for _, public_id in names]


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
        _lock(chosen)
        for _ in range(PASSES if may_grow else 1):
            if not (batch := list(chosen.select_for_update())):
                break
            _delete(chosen, batch, is_referred_to)
            ended += batch
        recall.public_ids.update(session.public_id for session in ended)
        recall.schedule(using)
        announce_end(ended, reason=reason, actor=actor, recall=recall, using=using)
    return len(ended)


def _lock(chosen: SessionQuerySet) -> None:
    if not connections[chosen.db].features.has_select_for_update:
        # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
        chosen.order_by().update(version=F("version"))


def _delete(chosen: SessionQuerySet, batch: list[AbstractSession], is_referred_to: bool) -> None:
    using = chosen.db
    if is_referred_to:
        collector = Collector(using=using, origin=chosen)
        collector.collect(batch)
        for session in batch:
            session.is_announced = True  # on_session_deleted() need not
        collector.delete()
        return
    _delete_rows(chosen, [session.pk for session in batch])


def _delete_rows(chosen: SessionQuerySet, pks: list[int]) -> None:
    rows = SessionQuerySet(chosen.model, using=chosen.db)
    for start in range(0, len(pks), BATCH):
        rows.filter(pk__in=pks[start : start + BATCH])._raw_delete(chosen.db)


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
