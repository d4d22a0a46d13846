"""What happens to users, turned into what happens to their sessions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import SESSION_KEY, get_backends, get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import UpdateError
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from django_sessionkit import announcing, registry
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.current import current_request
from django_sessionkit.deletion import is_announced
from django_sessionkit.events import SessionEndReason
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.recall import after_commit, gathered
from django_sessionkit.storage.records import EndCause


def connect() -> None:
    """Connect the receivers, those of models at the models they are about.

    A receiver for all senders would take from every model of the project its fast deletion.
    """
    user_logged_in.connect(on_login, dispatch_uid="sessionkit.login")
    user_logged_out.connect(on_logout, dispatch_uid="sessionkit.logout")
    user_model = get_user_model()
    for model in apps.get_models():
        # Proxies, children and parents of the user model send signals of their own.
        if (
            issubclass(model, user_model)
            or issubclass(user_model, model)
            or model._meta.concrete_model is user_model._meta.concrete_model
        ):
            post_save.connect(on_user_saved, sender=model, dispatch_uid="sessionkit.user")
            post_delete.connect(on_user_deleted, sender=model, dispatch_uid="sessionkit.user")
        if issubclass(model, AbstractSession):
            post_delete.connect(on_session_deleted, sender=model, dispatch_uid="sessionkit")


def on_login(sender: type[Model], request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Give the session a new key whoever signs in, even the same user again.

    Django's ``login()`` keeps the key in that case; it must change with every gain of rights
    (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level
    Change"), but for a key that is less than a minute old.
    """
    session = getattr(request, "session", None)
    if request is None or not isinstance(session, BaseSessionStore):
        return
    if session.facts.meta is None and request.META:
        session.facts = session.facts._replace(meta=request.META)
    session.mark_authenticated()
    if session.flushed_public_id is not None and not session.has_new_key:
        # Where nobody was signed in, login() has made a new key; else it has just flushed.
        announcing.a_login_has_flushed(session.flushed_public_id, user)
        session.end_left_session(user)
    if not session.has_new_key:
        session.renew_key_at_login()


def on_logout(sender: type[Model], request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Let ``session_ended`` tell a logout from another flush."""
    session = getattr(request, "session", None)
    if isinstance(session, BaseSessionStore):
        session.flush_cause = EndCause(SessionEndReason.LOGOUT, user)


def on_user_saved(
    sender: type[Model], instance: Any, created: bool, raw: bool, using: str, **kwargs: Any
) -> None:
    """Revoke the sessions of a user who was deactivated or got another password.

    Django refuses them by itself at their next request, but until then they would be listed as
    active. The session in which a password was changed goes on, as Django has it
    (``update_session_auth_hash()``).
    """
    if created or raw:
        return
    fields = kwargs.get("update_fields")
    revoke: Callable[[Any], object]
    if (fields is None or "is_active" in fields) and _is_deactivated(instance):
        revoke = partial(registry.revoke_user, reason=SessionEndReason.USER_DEACTIVATED)
    # What set_password() leaves until save() is done; a mere upgrade of the hash leaves None.
    elif (fields is None or "password" in fields) and getattr(instance, "_password", None):
        revoke = partial(registry.revoke_user, reason=SessionEndReason.PASSWORD_CHANGED)
        if (kept := _public_id_of_own_request(instance)) is not None:
            revoke = partial(_revoke_others_and_renew_key, keep=kept)
    else:
        return
    _with_the_change(partial(revoke, instance.pk), using)


def on_user_deleted(sender: type[Model], instance: Any, using: str, **kwargs: Any) -> None:
    """Revoke the sessions of a user who is deleted."""
    revoke = partial(registry.revoke_user, instance.pk, reason=SessionEndReason.USER_DELETED)
    _with_the_change(revoke, using)


def on_session_deleted(
    sender: type[Model], instance: AbstractSession, using: str, **kwargs: Any
) -> None:
    """Announce a session that was deleted through the ORM rather than by a verb."""
    if not is_announced(instance):
        announcing.announce_ends(
            [instance],
            model=type(instance),
            reason=SessionEndReason.DELETED,
            actor=None,
            recall=gathered(instance, using),
            using=using,
        )


def _public_id_of_own_request(user: Any) -> Any:
    """Return the public id of the session in which ``user`` is making a request, if any."""
    request = current_request.get()
    session = getattr(request, "session", None)
    if not isinstance(session, BaseSessionStore):
        return None
    data: dict[str, Any] = getattr(session, "_session_cache", {})  # nothing is loaded for this
    is_own = data.get(SESSION_KEY) == user._meta.pk.value_to_string(user)
    return session.public_id if is_own else None


def _revoke_others_and_renew_key(user_id: Any, *, keep: Any) -> None:
    """Revoke the user's other sessions, and write another key of this request's session at once.

    The row holds the hash of the password before until the response. Django's ``get_user()``
    flushes a session with such a hash, so a request beside this one would end it.
    """
    registry.revoke_others(user_id, keep=keep, reason=SessionEndReason.PASSWORD_CHANGED)
    session: Any = getattr(current_request.get(), "session", None)
    if session.saves_roll_back:
        _renew_key(session)
    else:
        after_commit(partial(_renew_key, session), registry.sessions().db)


def _renew_key(session: BaseSessionStore) -> None:
    if not session.has_new_key:
        session.cycle_key()
    with suppress(UpdateError, CacheUnreachable):  # the save at the response meets it again
        session.save()


def _is_deactivated(user: Any) -> bool:
    """Whether the user is inactive and no backend lets inactive users in all the same."""
    return not getattr(user, "is_active", True) and not any(
        backend.user_can_authenticate(user)
        for backend in get_backends()
        if hasattr(backend, "user_can_authenticate")
    )


def _with_the_change(revoke: Callable[[], object], using: str) -> None:
    """Revoke in the transaction that changed the user, or after it if that is another database."""
    if registry.sessions().db == using:
        revoke()
    else:
        transaction.on_commit(revoke, using=using)
