"""Find, list, revoke: the verbs that people and programs use on sessions.

Each verb lives here once; the admin, commands, receivers and engines call it. The async twins
run the whole verb in one thread hop, since a verb does nothing but database work.

The verbs that end sessions return ``Ended``: how many sessions ended, and from when on their keys
are refused. ``InForce.NOW``: no request that starts after the verb has returned is authenticated
by those sessions. ``WITHIN_LEASE``: a cache did not answer, or the sessions lie in cookies, and
the same holds one lease later. ``ON_COMMIT``: the verb was called in a transaction, and neither
holds before the commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import router
from django.db.models import QuerySet
from django.utils import timezone

from django_sessionkit import prepared
from django_sessionkit.base_session import AbstractSession, SessionQuerySet, user_pk
from django_sessionkit.ending import Ended, end, end_by_public_id, end_of_owner
from django_sessionkit.events import InForce, SessionEndReason
from django_sessionkit.handles import (
    ANY_OWNER,
    SessionHandle,
    checked,
    of_owner,
    read_handle,
)
from django_sessionkit.tables import DEFAULT_MODEL, default_model, session_model, sessions

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

__all__ = [
    "ANY_OWNER",
    "BATCH",
    "DEFAULT_MODEL",
    "Ended",
    "InForce",
    "SessionEndReason",
    "afind_session",
    "alist_sessions",
    "arevoke",
    "arevoke_everyone",
    "arevoke_others",
    "arevoke_sessions",
    "arevoke_user",
    "default_model",
    "find_session",
    "list_sessions",
    "revoke",
    "revoke_everyone",
    "revoke_others",
    "revoke_sessions",
    "revoke_user",
    "session_model",
    "sessions",
]

BATCH = 500


def list_sessions(user: Any) -> list[AbstractSession]:
    """Return the active sessions of ``user`` (an instance or a primary key), newest first.

    ``data`` and ``secret_hash`` are deferred: each costs a query when it is used.
    """
    model = session_model()
    pk = user_pk(user, model)
    using = router.db_for_write(model)
    if pk is None:
        return []

    def build(at: Any) -> SessionQuerySet:
        owner, end = (at(name, model._meta.get_field(name)) for name in ("user", "expire_date"))
        rows = SessionQuerySet(model, using=using).active(at=end).for_user(owner)
        return rows.defer("data", "secret_hash")

    values = {"user": pk, "expire_date": timezone.now()}
    return prepared.every(("sessions of", model), build, values, using)


async def alist_sessions(user: Any) -> list[AbstractSession]:
    """See list_sessions()."""
    return await sync_to_async(list_sessions)(user)


def find_session(public_id: uuid.UUID | str, *, owner: Any = ANY_OWNER) -> AbstractSession | None:
    """Return the session of ``public_id``, also an expired one; None if no row has the id.

    ``owner``: None too where the session is not that user's. A text that is not a UUID costs no
    query.
    """
    handle = read_handle(public_id)
    if not isinstance(handle, uuid.UUID):
        return None
    return of_owner(sessions(), owner).filter(public_id=handle).first()


async def afind_session(
    public_id: uuid.UUID | str, *, owner: Any = ANY_OWNER
) -> AbstractSession | None:
    """See find_session()."""
    return await sync_to_async(find_session)(public_id, owner=owner)


def revoke(
    session: SessionHandle,
    *,
    owner: Any,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End one session, given as a row or a public id.

    ``owner``: the user (an instance or a primary key) whose session this must be, such as
    ``request.user``; ``ANY_OWNER`` in code that may end anybody's. ``count`` is 0 if no row has the
    id, or the session is somebody else's, which then stays as it is (an id that is found out must
    not be enough: OWASP API1:2023, broken object level authorization).

    Raises:
        TypeError: ``session`` is neither a row, a UUID nor a text; or ``owner`` is no user.
        ValueError: the text is no public id.
    """
    handle = read_handle(session)
    del session  # it may be a session key, and errors show local variables
    return _revoke([checked(handle)], None, owner=owner, reason=reason, actor=actor)


async def arevoke(
    session: SessionHandle,
    *,
    owner: Any,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke()."""
    handle = read_handle(session)
    del session
    return await sync_to_async(revoke)(checked(handle), owner=owner, reason=reason, actor=actor)


def revoke_sessions(
    chosen: Iterable[SessionHandle],
    *,
    owner: Any,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    model: type[AbstractSession] | None = None,
) -> Ended:
    """End each of the ``chosen`` sessions, which are of ``model``, by default the engine's.

    ``owner`` and the errors: see revoke(). After an error none has ended.
    """
    handles = [read_handle(one) for one in chosen]
    del chosen
    public_ids = [checked(handle) for handle in handles]
    return _revoke(public_ids, model, owner=owner, reason=reason, actor=actor)


async def arevoke_sessions(
    chosen: Iterable[SessionHandle],
    *,
    owner: Any,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    model: type[AbstractSession] | None = None,
) -> Ended:
    """See revoke_sessions()."""
    given: Iterable[SessionHandle] = chosen
    if not isinstance(chosen, QuerySet):  # that is read in the thread
        handles = [read_handle(one) for one in chosen]
        del chosen, given
        given = [checked(handle) for handle in handles]
    return await sync_to_async(revoke_sessions)(
        given, owner=owner, reason=reason, actor=actor, model=model
    )


def _revoke(
    public_ids: Sequence[uuid.UUID],
    model: type[AbstractSession] | None,
    *,
    owner: Any,
    reason: SessionEndReason,
    actor: AbstractBaseUser | AnonymousUser | None,
) -> Ended:
    total = Ended()
    for start in range(0, len(public_ids), BATCH):
        batch = public_ids[start : start + BATCH]
        rows = sessions(model).filter(public_id__in=batch)
        if owner is ANY_OWNER:
            total += end_by_public_id(rows, batch, reason=reason, actor=actor)
        else:
            total += end_of_owner(rows, batch, of_owner(rows, owner), reason=reason, actor=actor)
    return total


def revoke_others(
    user: Any,
    *,
    keep: SessionHandle,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End the sessions of ``user`` except ``keep``.

    Raises:
        TypeError, ValueError: ``keep`` names no session (see revoke()), so that none would be kept;
            or ``user`` is no user.
    """
    handle = read_handle(keep)
    del keep
    others = sessions().for_user(user).exclude(public_id=checked(handle))
    return end(others, reason=reason, actor=actor)


async def arevoke_others(
    user: Any,
    *,
    keep: SessionHandle,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke_others()."""
    handle = read_handle(keep)
    del keep
    return await sync_to_async(revoke_others)(
        user, keep=checked(handle), reason=reason, actor=actor
    )


def revoke_user(
    user: Any,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End every session of ``user`` (an instance or a primary key)."""
    return end(sessions().for_user(user), reason=reason, actor=actor)


async def arevoke_user(
    user: Any,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke_user()."""
    return await sync_to_async(revoke_user)(user, reason=reason, actor=actor)


def revoke_everyone(
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End every session, visitors' too, in batches of ``BATCH`` rows."""
    total, last = Ended(), 0
    newest = sessions().order_by("-id").values_list("id", flat=True).first() or 0
    while last < newest:
        # By id, not "the first rows": under REPEATABLE READ the snapshot of an open transaction
        # may go on to show rows that other processes have deleted.
        rows = sessions().filter(id__gt=last)
        ids = rows.order_by("id").values_list("id", flat=True)
        last = ids[BATCH - 1 : BATCH].first() or newest
        total += end(rows.filter(id__lte=last), reason=reason, actor=actor)
    # Rows that the snapshot does not show, and rows that were inserted meanwhile.
    return total + end(sessions(), reason=reason, actor=actor)


async def arevoke_everyone(
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke_everyone()."""
    return await sync_to_async(revoke_everyone)(reason=reason, actor=actor)
