"""Which model holds the sessions, and where its rows are written to."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf

DEFAULT_MODEL = "sessionkit.Session"


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
