"""Find, list, revoke: what people and programs do to sessions.

Each verb lives here once; the admin, commands, receivers and engines call it. The async twins
run the whole verb in one thread hop, since it is nothing but database work.

When a verb that ends sessions has returned (inside a transaction: when that has committed), no
request that starts afterwards is authenticated by those sessions. It returns how many there were
as an ``EndedCount``; where that says ``at_once=False``, a cache did not answer, and what has just
been said holds at most one lease later.
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
from django_sessionkit.ending import EndedCount, end
from django_sessionkit.events import SessionEndReason

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

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
    """Return all rows, on the database that is written to: a lagging replica must not answer."""
    model = model or session_model()
    return SessionQuerySet(model, using=router.db_for_write(model))


def list_sessions(user: Any) -> list[AbstractSession]:
    """Return the active sessions of ``user`` (an instance or a primary key), newest first.

    Without their data and hashes, which are read when they are asked for (one query each).
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
    """Return the session of ``public_id``, ended or not, or None.

    What is not a UUID finds nothing and costs no query.
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
) -> EndedCount:
    """End one session, given as a row or a public id; return 1, or 0 if there was none."""
    handle = _public_id(session)
    if handle is None:
        return EndedCount(0)
    rows = sessions().filter(public_id=handle)
    return end(rows, reason=reason, actor=actor, public_ids=[handle], or_gone=True)


async def arevoke(
    session: AbstractSession | uuid.UUID | str,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """See revoke()."""
    return await sync_to_async(revoke)(session, reason=reason, actor=actor)


def revoke_sessions(
    chosen: Iterable[AbstractSession | uuid.UUID | str],
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """End each of the ``chosen`` sessions; return how many there were."""
    handles = [handle for one in chosen if (handle := _public_id(one))]
    total = EndedCount(0)
    for start in range(0, len(handles), BATCH):
        batch = handles[start : start + BATCH]
        rows = sessions().filter(public_id__in=batch)
        total += end(rows, reason=reason, actor=actor, public_ids=batch, or_gone=True)
    return total


async def arevoke_sessions(
    chosen: Iterable[AbstractSession | uuid.UUID | str],
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """See revoke_sessions()."""
    return await sync_to_async(revoke_sessions)(chosen, reason=reason, actor=actor)


def revoke_others(
    user: Any,
    *,
    keep: AbstractSession | uuid.UUID | str,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """End the sessions of ``user`` except ``keep``; return how many there were.

    Raises:
        ValueError: ``keep`` is not a public id (so that a slip does not end everything).
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
) -> EndedCount:
    """See revoke_others()."""
    return await sync_to_async(revoke_others)(user, keep=keep, reason=reason, actor=actor)


def revoke_user(
    user: Any,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """End every session of ``user`` (an instance or a primary key); return how many."""
    return end(sessions().for_user(user), reason=reason, actor=actor)


async def arevoke_user(
    user: Any,
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """See revoke_user()."""
    return await sync_to_async(revoke_user)(user, reason=reason, actor=actor)


def revoke_everyone(
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
    """End every session, visitors' too, in batches; return how many there were."""
    total, last = EndedCount(0), 0
    newest = sessions().order_by("-id").values_list("id", flat=True).first() or 0
    while last < newest:
        # From where the last batch ended: the snapshot of a transaction may still show those rows.
        rows = sessions().filter(id__gt=last)
        ids = rows.order_by("id").values_list("id", flat=True)
        last = ids[BATCH - 1 : BATCH].first() or newest
        total += end(rows.filter(id__lte=last), reason=reason, actor=actor)
    # And what that snapshot does not show, or has been added on the way.
    return total + end(sessions(), reason=reason, actor=actor)


async def arevoke_everyone(
    *,
    reason: SessionEndReason = SessionEndReason.REVOKED,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> EndedCount:
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
