"""The table of sessions."""

from __future__ import annotations

from django_sessionkit.base_session import AbstractSession


class Session(AbstractSession):
    """A session of the site, whichever engine keeps its data."""

    class Meta(AbstractSession.Meta):
        app_label = "sessionkit"
