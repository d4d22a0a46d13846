"""Sessions in the database: the row holds everything."""

from __future__ import annotations

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.storage.rows import Rows


class SessionStore(BaseSessionStore):
    """A session in one row, saved in one statement, merged when requests overlap."""

    @classmethod
    def get_repository(cls) -> Rows:
        return Rows(cls.get_model_class)
