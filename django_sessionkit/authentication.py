"""The authentication middleware: Django's, with the user that came with the session."""

from __future__ import annotations

from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoMiddleware
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from django_sessionkit import users
from django_sessionkit.backends.base import BaseSessionStore


class AuthenticationMiddleware(DjangoMiddleware):
    """Put the user on the request, without a query of its own where the session brings it."""

    def process_request(self, request: HttpRequest) -> None:
        session = getattr(request, "session", None)
        if not isinstance(session, BaseSessionStore):
            # It says so where there is none.
            super().process_request(request)
            return
        session.facts = session.facts._replace(wants_user=True)
        request.user = SimpleLazyObject(lambda: _cached(request))  # type: ignore[assignment]
        request.auser = partial(_acached, request)


def get_user(request: Any) -> Any:
    """Return the user of the session, or an AnonymousUser.

    As ``django.contrib.auth.get_user()``, with the same checks.
    """
    session = request.session
    try:
        user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
        path = session[BACKEND_SESSION_KEY]
    except KeyError:
        return AnonymousUser()
    if path not in settings.AUTHENTICATION_BACKENDS:
        return AnonymousUser()
    backend: Any = load_backend(path)
    if users.are_found_by(backend):
        user = session.loaded_user()
        if user is None or user.pk != user_id:
            user = users.find(user_id)
        if user is not None and not backend.user_can_authenticate(user):
            user = None
    else:
        user = backend.get_user(user_id)
    if not hasattr(user, "get_session_auth_hash"):
        return user or AnonymousUser()
    given = session.get(HASH_SESSION_KEY)
    current = user.get_session_auth_hash()
    if given and constant_time_compare(given, current):
        return user
    if given and any(
        constant_time_compare(given, older) for older in user.get_session_auth_fallback_hash()
    ):
        session.cycle_key()
        session[HASH_SESSION_KEY] = current
        return user
    session.flush()
    return AnonymousUser()


async def aget_user(request: Any) -> Any:
    """See get_user()."""
    return await sync_to_async(get_user)(request)


def _cached(request: Any) -> Any:
    if not hasattr(request, "_cached_user"):
        request._cached_user = get_user(request)
    return request._cached_user


async def _acached(request: Any) -> Any:
    if not hasattr(request, "_acached_user"):
        request._acached_user = await aget_user(request)
    return request._acached_user
