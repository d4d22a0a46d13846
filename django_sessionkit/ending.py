"""The one place where sessions end, whoever ends them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, transaction
from django.db.models import F
from django.db.models.deletion import Collector, get_candidate_relations_to_delete
from django.db.models.sql import DeleteQuery

from django_sessionkit import audit
from django_sessionkit.announcing import announce_ends
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.events import SessionEndReason
from django_sessionkit.races import again_after_races
from django_sessionkit.recall import BATCH, Recall, copies_are_out_of_reach, engine_has_copies
from django_sessionkit.signals import session_ended

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


#: How often rows are looked for: some may have been added while the first were deleted. Not until
#: none is left: where people sign in all the time, that would never end.
PASSES = 2

#: What a copy is found by, and what the log tells of a session.
NAMES = ("public_id",)
FACTS = ("public_id", "user_id", "ip_address", "user_agent")

#: Tells of the rows, or of those with these columns, after commit.
Announce = Callable[[Sequence[AbstractSession | Mapping[str, Any]]], None]


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
    by_cleanup: bool = False,
) -> EndedCount:
    """Delete the ``chosen`` rows and, after commit, take their copies back and say so.

    If no receiver listens, nothing refers to sessions and there are no copies (or ``public_ids``
    tells whose), that is one DELETE; for the log it returns what it deletes. Else the rows are
    read under a lock first, so that each is announced once, and none that stays; what refers to
    them is treated as its ``on_delete`` says.
    With ``or_gone`` the copies of all ``public_ids`` are taken back, even where there is no row:
    whoever ended it may not have got that far yet. ``are_over`` says that they have reached their
    end, and their copies with them; ``by_cleanup`` that nobody's act has ended them.
    """
    if chosen.query.is_empty():
        return EndedCount(0)
    model, using = chosen.model, chosen.db
    has_copies = not are_over and engine_has_copies()
    is_referred_to = any(get_candidate_relations_to_delete(model._meta))  # type: ignore[arg-type]
    recall = Recall(public_ids if public_ids and or_gone else ())
    announce = partial(
        announce_ends,
        model=model,
        reason=reason,
        actor=actor,
        recall=recall,
        using=using,
        by_cleanup=by_cleanup,
    )
    if is_referred_to or session_ended.has_listeners(model):
        # More of them may be added meanwhile, and those must be known to us too.
        may_grow = public_ids is None and not are_over
        rows = chosen.order_by("pk")
        act = partial(_end_locked, rows, is_referred_to, may_grow, recall, announce)
    elif audit.wants_ends(by_cleanup=by_cleanup):
        act = partial(_end_logged, chosen, has_copies and public_ids is None, recall, announce)
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
    with transaction.atomic(using=chosen.db):
        ended = _deleted(chosen, NAMES, PASSES)
        recall.public_ids.update(one["public_id"] for one in ended)
        recall.schedule(chosen.db)
    return len(ended)


def _end_logged(chosen: SessionQuerySet, may_grow: bool, recall: Recall, announce: Announce) -> int:
    """End rows of which the log tells."""
    using = chosen.db
    # By itself, one statement needs no transaction.
    is_one = not may_grow and connections[using].features.can_return_columns_from_insert
    with nullcontext() if is_one else transaction.atomic(using=using):
        ended = _deleted(chosen, FACTS, PASSES if may_grow else 1)
        recall.public_ids.update(one["public_id"] for one in ended)
        recall.schedule(using)
        announce(ended)
    return len(ended)


def _deleted(
    chosen: SessionQuerySet, names: tuple[str, ...], passes: int
) -> list[Mapping[str, Any]]:
    """Delete the rows and return these columns of them."""
    features = connections[chosen.db].features
    # MySQL has no RETURNING; those that have it, have it for both statements.
    delete = _deleted_at_once if features.can_return_columns_from_insert else _read_and_deleted
    ended: list[Mapping[str, Any]] = []
    for _ in range(passes):
        ended += (batch := delete(chosen, names))
        if not batch:
            break
    return ended


def _deleted_at_once(chosen: SessionQuerySet, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    connection, options = connections[chosen.db], chosen.model._meta
    query: Any = chosen.order_by().query.chain(DeleteQuery)
    compiler = query.get_compiler(chosen.db)
    sql, params = compiler.as_sql()
    fields: list[Any] = [options.get_field(name) for name in names]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    converters = compiler.get_converters([field.get_col(options.db_table) for field in fields])
    with transaction.mark_for_rollback_on_error(chosen.db), connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {columns}", params)
        rows = compiler.apply_converters(cursor.fetchall(), converters)
        return [dict(zip(names, row, strict=True)) for row in rows]


def _read_and_deleted(chosen: SessionQuerySet, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    _lock(chosen)
    rows = list(chosen.order_by("pk").select_for_update().values("pk", *names))
    _delete_rows(chosen, [row["pk"] for row in rows])
    return rows


def _end_locked(
    chosen: SessionQuerySet,
    is_referred_to: bool,
    may_grow: bool,
    recall: Recall,
    announce: Announce,
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
        announce(ended)
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
