"""Finding the user of a session as Django's own backend does, by a prepared statement."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db import router
from django.db.models import Manager, QuerySet

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


def are_found_by(backend: Any) -> bool:
    """Whether an authentication backend finds users as Django's own does."""
    cls = type(backend)
    names = ("get_user", "aget_user")
    return all(getattr(cls, name, None) is getattr(ModelBackend, name) for name in names)


def _has_plain_manager(model: Any) -> bool:
    manager = model._default_manager
    cls = type(manager)
    return cls.get_queryset is Manager.get_queryset and manager._queryset_class is QuerySet
