"""A browser that visits the sync or the async views of the test site.

A test that takes one as a parameter (``both_ways``) holds for WSGI and for ASGI.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import AsyncClient, Client

from django_sessionkit import registry
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.records import Unknown
from tests.app.views import hooks

#: Requests in async code go from thread to thread, and take twice as long.
IN_ASYNC_CODE = pytest.param(True, id="async", marks=pytest.mark.slow)

both_ways = pytest.mark.parametrize("is_async", [pytest.param(False, id="sync"), IN_ASYNC_CODE])
#: In a quick run too: for a test of what our own async methods do.
both_ways_always = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def secret_part(key: SplitKey) -> str:
    """Return the characters of the session key that hold nothing but its secret."""
    return key.session_key[19:]


class Browser:
    """One browser: its cookies, and the last response that it got."""

    def __init__(self, *, is_async: bool = False, session_key: str | None = None) -> None:
        self.is_async = is_async
        self._client: Any = AsyncClient() if is_async else Client()
        self.response: Any = None
        if session_key is not None:
            self.session_key = session_key

    def get(
        self,
        path: str,
        *,
        meanwhile: Callable[[], object] | None = None,
        **more: Any,
    ) -> Any:
        """Visit the view; ``meanwhile`` runs in the middle of it. Return the response."""
        if self.is_async:
            path = f"/async{path}"
        if meanwhile:
            hooks[path] = meanwhile
        get = async_to_sync(self._client.get) if self.is_async else self._client.get
        self.response = get(path, **more)
        return self.response

    def data(self) -> dict[str, Any]:
        """Return what the browser's session holds, as a request sees it."""
        data: dict[str, Any] = self.get("/read/").json()
        return data

    @property
    def session_key(self) -> str | None:
        """The value of the session cookie; None without one."""
        cookie = self._client.cookies.get(settings.SESSION_COOKIE_NAME)
        return cookie.value if cookie and cookie.value else None

    @session_key.setter
    def session_key(self, value: str) -> None:
        self._client.cookies[settings.SESSION_COOKIE_NAME] = value

    @property
    def public_id(self) -> uuid.UUID:
        """The public id of the browser's session, which need not have a row."""
        return self._split_key.public_id

    @property
    def secret(self) -> str:
        """The part of the session key that is secret alone; a visitor's token has a new one."""
        return secret_part(self._split_key)

    @property
    def _split_key(self) -> SplitKey:
        # Of a store that has opened nothing but the key itself.
        store: Any = conf.session_store()
        presented = store.get_repository().peek(self.session_key, store)
        assert not isinstance(presented, Unknown)
        key: SplitKey = presented.key
        return key

    @property
    def row(self) -> AbstractSession:
        """The row of the browser's session."""
        row = registry.find_session(self.public_id)
        assert row is not None
        return row

    @property
    def cookie_was_touched(self) -> bool:
        """Whether the last response set or deleted the session cookie."""
        return settings.SESSION_COOKIE_NAME in self.response.cookies

    @property
    def cookie_was_deleted(self) -> bool:
        """Whether the last response deleted the session cookie."""
        return (
            self.cookie_was_touched
            and not self.response.cookies[settings.SESSION_COOKIE_NAME].value
        )
