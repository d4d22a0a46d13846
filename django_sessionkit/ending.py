"""The one place where sessions end, whoever ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import F
from django.db.models.deletion import Collector, get_candidate_relations_to_delete

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.races import again_after_races
from django_sessionkit.signals import SessionEndReason, session_ended

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


def end(
    chosen: SessionQuerySet,
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> int:
    """Delete the ``chosen`` rows and, after commit, say so; return how many there were.

    If nobody listens and nothing refers to sessions, that is one DELETE. Else the rows are read
    under a lock first, so that each is announced once, and none that stays; what refers to them
    is treated as its ``on_delete`` says.
    """
    if chosen.query.is_empty():
        return 0
    model, using = chosen.model, chosen.db
    is_referred_to = any(get_candidate_relations_to_delete(model._meta))  # type: ignore[arg-type]
    if is_referred_to or session_ended.has_listeners(model):
        act = partial(_end_locked, chosen.order_by("pk"), is_referred_to, reason, actor)
    else:
        act = partial(chosen.order_by()._raw_delete, using)
    return again_after_races(act, using)


def _end_locked(
    chosen: SessionQuerySet,
    is_referred_to: bool,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
) -> int:
    using = chosen.db
    with transaction.atomic(using=using):
        if not connections[using].features.has_select_for_update:
            # SQLite: a write takes the lock that SELECT … FOR UPDATE takes elsewhere.
            chosen.order_by().update(version=F("version"))
        ended = list(chosen.select_for_update())
        if is_referred_to:
            collector = Collector(using=using, origin=chosen)
            collector.collect(ended)
            for session in ended:
                session.is_announced = True  # on_session_deleted() need not
            collector.delete()
            count = len(ended)
        else:
            # By the same condition: it also ends what has been added since, though unannounced.
            count = chosen.order_by()._raw_delete(using)
        announce_end(ended, reason=reason, actor=actor, using=using)
    return count


def announce_end(
    ended: Iterable[AbstractSession],
    *,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
    using: str,
) -> None:
    """Send ``session_ended`` for each of the rows, once the transaction has committed."""
    for session in ended:
        send = partial(
            session_ended.send_robust,
            sender=type(session),
            session=session,
            reason=reason,
            actor=actor,
        )
        after_commit(send, using)


def after_commit(act: Callable[[], object], using: str) -> None:
    """Call ``act`` once what has been written is committed, as far as Django can tell when."""
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(act, using=using)
    else:
        act()  # Transactions are the site's own affair (AUTOCOMMIT is off).
