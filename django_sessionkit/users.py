"""Finding the user of a session as Django's own backend does, by a prepared statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Manager, Model, QuerySet

from django_sessionkit import prepared


def are_plain(using: str) -> bool:
    """Whether users lie in that database, and no manager has a say in how they are read."""
    model: Any = get_user_model()
    return _has_plain_manager(model) and router.db_for_read(model) == using


def find(user_id: Any) -> Any:
    """Return the user of that primary key, or None.

    As Django's ``ModelBackend.get_user()`` finds them: by the default manager, in the database
    that users are read from.
    """
    model: Any = get_user_model()
    if not _has_plain_manager(model):
        return model._default_manager.filter(pk=user_id).first()
    using = router.db_for_read(model)

    def build(at: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = model._default_manager.using(using)
        return rows.filter(pk=at("pk", model._meta.pk))

    return prepared.first(("user", model), build, {"pk": user_id}, using)


def signed_in(data: Mapping[str, Any], model: type[Model]) -> Any:
    """Return the primary key of the user whom the session data name, or None.

    ``model`` has the sessions' rows. None too where the value does not fit the user model of
    today: AUTH_USER_MODEL may have changed since, and a session is no place to fail for it.
    """
    value = data.get(AUTH_USER_ID)
    if value is None:
        return None
    target = model._meta.get_field("user").target_field  # type: ignore[union-attr]
    try:
        owner = target.to_python(value)
        target.run_validators(owner)
    except (ValidationError, TypeError, ValueError, OverflowError):
        return None
    return owner


def are_found_by(backend: Any) -> bool:
    """Whether an authentication backend finds users as Django's own does."""
    cls = type(backend)
    names = ("get_user", "aget_user")
    return all(getattr(cls, name, None) is getattr(ModelBackend, name) for name in names)


def _has_plain_manager(model: Any) -> bool:
    manager = model._default_manager
    cls = type(manager)
    return cls.get_queryset is Manager.get_queryset and manager._queryset_class is QuerySet
