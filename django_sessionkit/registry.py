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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone

from django_sessionkit import prepared
from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.ending import Ended, end, end_by_public_id
from django_sessionkit.events import InForce, SessionEndReason

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

__all__ = [
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

DEFAULT_MODEL = "sessionkit.Session"
BATCH = 500


def session_model() -> type[AbstractSession]:
    """Return the model of the configured engine, ``Session`` unless a project has its own.

    Raises:
        ImproperlyConfigured: "django_sessionkit" is not in INSTALLED_APPS.
    """
    store = conf.session_store
    if hasattr(store, "get_model_class"):
        model = store.get_model_class()
        if isinstance(model, type) and issubclass(model, AbstractSession):
            return model
    return default_model()


def default_model() -> type[AbstractSession]:
    """Return the package's own ``Session`` model.

    Raises:
        ImproperlyConfigured: "django_sessionkit" is not in INSTALLED_APPS.
    """
    try:
        model: type[AbstractSession] = apps.get_model(DEFAULT_MODEL)
    except LookupError as error:
        raise ImproperlyConfigured(
            "The session engine needs 'django_sessionkit' in INSTALLED_APPS."
        ) from error
    return model


def sessions(model: type[AbstractSession] | None = None) -> SessionQuerySet:
    """Return all rows of ``model``, by default the engine's.

    From the database that is written to: a replica that lags behind must not answer.
    """
    model = model or session_model()
    return SessionQuerySet(model, using=router.db_for_write(model))


def list_sessions(user: Any) -> list[AbstractSession]:
    """Return the active sessions of ``user`` (an instance or a primary key), newest first.

    ``data`` and ``secret_hash`` are deferred: each costs a query when it is used.
    """
    model, pk = session_model(), getattr(user, "pk", user)
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


def find_session(public_id: uuid.UUID | str) -> AbstractSession | None:
    """Return the session of ``public_id``, also an expired one; None if no row has the id.

    A text that is not a UUID costs no query.
    """
    handle = _public_id(public_id)
    return None if handle is None else sessions().filter(public_id=handle).first()


async def afind_session(public_id: uuid.UUID | str) -> AbstractSession | None:
    """See find_session()."""
    return await sync_to_async(find_session)(public_id)


def revoke(
    session: AbstractSession | uuid.UUID | str,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End one session, given as a row or a public id. ``count`` is 0 if no row has the id."""
    handle = _public_id(session)
    if handle is None:
        return Ended()
    rows = sessions().filter(public_id=handle)
    return end_by_public_id(rows, [handle], reason=reason, actor=actor)


async def arevoke(
    session: AbstractSession | uuid.UUID | str,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke()."""
    return await sync_to_async(revoke)(session, reason=reason, actor=actor)


def revoke_sessions(
    chosen: Iterable[AbstractSession | uuid.UUID | str],
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    model: type[AbstractSession] | None = None,
) -> Ended:
    """End each of the ``chosen`` sessions, which are of ``model``, by default the engine's."""
    handles = [handle for one in chosen if (handle := _public_id(one))]
    total = Ended()
    for start in range(0, len(handles), BATCH):
        batch = handles[start : start + BATCH]
        rows = sessions(model).filter(public_id__in=batch)
        total += end_by_public_id(rows, batch, reason=reason, actor=actor)
    return total


async def arevoke_sessions(
    chosen: Iterable[AbstractSession | uuid.UUID | str],
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    model: type[AbstractSession] | None = None,
) -> Ended:
    """See revoke_sessions()."""
    return await sync_to_async(revoke_sessions)(chosen, reason=reason, actor=actor, model=model)


def revoke_others(
    user: Any,
    *,
    keep: AbstractSession | uuid.UUID | str,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """End the sessions of ``user`` except ``keep``.

    Raises:
        ValueError: ``keep`` is neither a session nor a UUID, by which no session would be kept.
    """
    handle = _public_id(keep)
    if handle is None:
        raise ValueError("keep must be a session or a public id.")
    others = sessions().for_user(user).exclude(public_id=handle)
    return end(others, reason=reason, actor=actor)


async def arevoke_others(
    user: Any,
    *,
    keep: AbstractSession | uuid.UUID | str,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> Ended:
    """See revoke_others()."""
    return await sync_to_async(revoke_others)(user, keep=keep, reason=reason, actor=actor)


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


def _public_id(session: AbstractSession | uuid.UUID | str) -> uuid.UUID | None:
    if isinstance(session, AbstractSession):
        return session.public_id
    if isinstance(session, uuid.UUID):
        return session
    try:
        return uuid.UUID(session)
    except (ValueError, AttributeError, TypeError):
        return None
