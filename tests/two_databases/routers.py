from __future__ import annotations

from django.db.models import Model

from django_sessionkit.base_session import AbstractSession


class SessionsApart:
    """Writes sessions to the database "sessions" and reads them from one that is not there."""

    def db_for_read(self, model: type[Model], **hints: object) -> str:
        # Not None for others: Django would look for a session's user beside the session.
        return "replica" if issubclass(model, AbstractSession) else "default"

    def db_for_write(self, model: type[Model], **hints: object) -> str:
        return "sessions" if issubclass(model, AbstractSession) else "default"

    def allow_relation(self, one: Model, other: Model, **hints: object) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return (db == "sessions") == (app_label == "sessionkit")
