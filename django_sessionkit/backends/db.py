"""Sessions in the database: the row holds everything."""

from __future__ import annotations

from django_sessionkit.backends.saving import MergingStore


class SessionStore(MergingStore):
    """A session in one row, saved in one statement, merged when requests overlap."""
