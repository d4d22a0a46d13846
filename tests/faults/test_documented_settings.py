"""The settings that the docs show work: as they stand there, but for the addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessionkit import registry
from django_sessionkit.events import InForce
from tests.browsers import Browser, both_ways
from tests.redis_caches import session_cache

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs/caches.md"
BLOCKS: dict[str, str] = dict(
    re.findall(
        r"<!-- tested: ([a-z ]+) -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
)


#: For each configuration the fixture that serves it, and what puts its addresses into the cache.
SERVERS: dict[str, tuple[str, Callable[[Any, dict[str, Any]], None]]] = {
    "several machines": (
        "redis_server",
        lambda server, cache: cache.update(LOCATION=server.url),
    ),
    "sentinel": (
        "sentinels",
        lambda servers, cache: cache["OPTIONS"].update(SENTINELS=servers.addresses),
    ),
    "cluster": ("cluster", lambda servers, cache: cache.update(LOCATION=servers.urls[:2])),
}


def settings_of(name: str) -> dict[str, Any]:
    """Return the settings that the block of that name assigns."""
    settings: dict[str, Any] = {}
    exec(BLOCKS[name], settings)  # noqa: S102 - it is our own page
    return {name: value for name, value in settings.items() if name.isupper()}


def use_it(is_async: bool) -> None:
    """Sign in, store, read, and be revoked."""
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/set/cat/Tom/")
    browser.get("/login/alice/")
    for _ in range(2):
        assert browser.data()["cat"] == "Tom"
    ended = registry.revoke(browser.row, owner=registry.ANY_OWNER)
    assert (ended.count, ended.in_force) == (1, InForce.NOW)
    assert browser.get("/whoami/").text == ""


def test_the_page_shows_each_of_them() -> None:
    assert BLOCKS.keys() == {"one machine", *SERVERS}


@pytest.mark.django_db(transaction=True)
@both_ways
def test_one_machine(is_async: bool) -> None:
    with override_settings(**settings_of("one machine")):
        use_it(is_async)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "name",
    ["several machines", "sentinel", "cluster"],
)
def test_a_cache_on_servers_of_its_own(name: str, request: pytest.FixtureRequest) -> None:
    fixture, address = SERVERS[name]
    servers = request.getfixturevalue(fixture)
    settings = settings_of(name)
    cache = settings.pop("CACHES")[settings.pop("SESSION_CACHE_ALIAS")]
    address(servers, cache)
    with session_cache(cache), override_settings(**settings):
        use_it(is_async=False)
