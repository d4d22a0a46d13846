"""A site whose sessions lie in a cache of its own, for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from tests.browsers import Browser
from tests.redis_caches import session_cache

LEASE = 2  # seconds: the tests wait for it

each_engine = pytest.mark.parametrize("kind", ["cached_db", "cache"])


@contextmanager
def site(kind: str, cache: dict[str, Any], lease: int = LEASE) -> Iterator[None]:
    """Let the engine work with the cache, in all threads."""
    path = f"django_sessionkit.backends.{kind}"
    with session_cache(cache), override_settings(SESSION_ENGINE=path, SESSIONKIT_LEASE=lease):
        yield


def new_browser(*, is_async: bool = False) -> Browser:
    """Return a browser to which what goes wrong in a view is a response, as on a site."""
    browser = Browser(is_async=is_async)
    browser._client.raise_request_exception = False
    return browser


def signed_in(name: str = "alice", *, is_async: bool = False) -> Browser:
    """Return a browser whose user has just signed in and looked at a page, and again."""
    User.objects.get_or_create(username=name)
    browser = new_browser(is_async=is_async)
    browser.get(f"/login/{name}/")
    browser.get("/set/cat/Tom/")
    # The first makes a copy, of which the second is answered.
    assert browser.data()["cat"] == "Tom"
    assert browser.data()["cat"] == "Tom"
    return browser
