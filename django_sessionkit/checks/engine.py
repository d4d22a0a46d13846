"""Checks of the session engine, and of what it needs beside it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.checks.installation import APP, session_middleware
from django_sessionkit.conf import conf
from django_sessionkit.middleware import SessionMiddleware


def check_engine(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E004, E005, W002, W003: engine, model and middleware that do not belong together."""
    try:
        store = conf.session_store
    except (ImportError, AttributeError) as error:
        return [
            Error(
                f"SESSION_ENGINE {settings.SESSION_ENGINE!r} cannot be used: {error}.",
                hint=_hint_for(error),
                id="sessionkit.E005",
            )
        ]
    if not issubclass(store, BaseSessionStore):
        return [
            checks.Warning(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, so that sessions are neither "
                "listed nor revoked.",
                hint="Use 'django_sessionkit.backends.db'.",
                id="sessionkit.W002",
            )
        ]
    messages: list[CheckMessage] = []
    model: Any = store.get_model_class()
    if not issubclass(model, AbstractSession):
        messages.append(
            Error(
                f"The model of {settings.SESSION_ENGINE!r}, {model!r}, cannot hold its sessions.",
                hint="Derive it from django_sessionkit.base_session.AbstractSession.",
                id="sessionkit.E004",
            )
        )
    elif any(model._meta.parents.values()):
        # A proxy has a parent too, but no link to it.
        messages.append(
            Error(
                f"The model of {settings.SESSION_ENGINE!r}, {model!r}, keeps its sessions in "
                "two tables, which no single statement can write.",
                hint="Derive it from django_sessionkit.base_session.AbstractSession, not from "
                "a model that has a table.",
                id="sessionkit.E004",
            )
        )
    if not any(issubclass(one, SessionMiddleware) for one in session_middleware()):
        messages.append(
            checks.Warning(
                "The session engine is ours but the middleware is not: clients are not recorded, "
                "'last_seen_at' stands still, and a request whose session is revoked while it "
                "runs ends in HTTP 400.",
                hint=f"Put '{APP}.middleware.SessionMiddleware' into MIDDLEWARE in place of "
                "Django's.",
                id="sessionkit.W003",
            )
        )
    return messages


def _hint_for(error: ImportError | AttributeError) -> str:
    missing = str(getattr(error, "name", None)).partition(".")[0]
    engine = settings.SESSION_ENGINE.rpartition(".")[2]
    if missing in ("cryptography", "joserfc") and engine.endswith("_cookies"):
        extra = engine.replace("_", "-")
        return f'Install what it needs: pip install "django-sessionkit[{extra}]".'
    return "Use 'django_sessionkit.backends.db'."
