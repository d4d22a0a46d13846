"""What a cache cannot do for sessions, seen at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

pytestmark = pytest.mark.varies

BACKENDS = "django_sessionkit.backends"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
DUMMY = "django.core.cache.backends.dummy.DummyCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
TIMEOUTS = {"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5}
SMALL_TIMEOUTS = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}

with_a_cache = pytest.mark.parametrize("engine", ["cached_db", "cache"])


def ids(
    engine: str, backend: str, options: Mapping[str, Any] | None = None, *, deploy: bool = False
) -> set[str]:
    """Return the ids that the checks give for a site whose sessions use such a cache."""
    cache = {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": options or {}}
    with override_settings(
        SESSION_ENGINE=f"{BACKENDS}.{engine}",
        SESSION_CACHE_ALIAS="sessions",
        CACHES={"default": {"BACKEND": LOCMEM}, "sessions": cache},
    ):
        messages = checks.run_checks(tags=["sessionkit"], include_deployment_checks=deploy)
    for message in messages:
        assert message.hint
    return {str(message.id) for message in messages}


@with_a_cache
def test_an_alias_that_caches_does_not_have(engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}", SESSION_CACHE_ALIAS="nowhere"):
        messages = checks.run_checks(tags=["sessionkit"], include_deployment_checks=True)
    assert [message.id for message in messages] == ["sessionkit.E006"]


@with_a_cache
def test_a_cache_that_keeps_nothing(engine: str) -> None:
    assert ids(engine, DUMMY) == {"sessionkit.W004"}


@with_a_cache
def test_a_cache_of_each_process_is_told_to_who_deploys(engine: str) -> None:
    assert ids(engine, LOCMEM) == set()
    assert ids(engine, LOCMEM, deploy=True) == {"sessionkit.W005"}


@with_a_cache
@pytest.mark.parametrize(
    ("backend", "options"),
    [
        (DJANGO_REDIS, TIMEOUTS),
        (DJANGO_REDIS, {"CONNECTION_POOL_KWARGS": SMALL_TIMEOUTS}),
        (REDIS, SMALL_TIMEOUTS),
    ],
)
def test_socket_timeouts_are_seen_wherever_they_may_stand(
    engine: str, backend: str, options: dict[str, Any]
) -> None:
    assert ids(engine, backend, options, deploy=True) == set()
    assert ids(engine, backend) == {"sessionkit.W006"}
    for name in TIMEOUTS:
        assert ids(engine, DJANGO_REDIS, {name: 0.5}) == {"sessionkit.W006"}


@with_a_cache
def test_sentinels_that_are_asked_for_seconds(engine: str) -> None:
    options = {**TIMEOUTS, "SENTINELS": [("127.0.0.1", 1)]}
    assert ids(engine, DJANGO_REDIS, options) == {"sessionkit.W007"}
    assert ids(engine, DJANGO_REDIS, {**options, "SENTINEL_KWARGS": {"retry": None}}) == set()


@with_a_cache
def test_a_connection_that_decodes_what_it_reads(engine: str) -> None:
    options = {**TIMEOUTS, "CONNECTION_POOL_KWARGS": {"decode_responses": True}}
    assert ids(engine, DJANGO_REDIS, options) == {"sessionkit.E007"}


def test_sessions_without_a_cache_are_not_asked_about_it() -> None:
    assert ids("db", DUMMY, deploy=True) == set()


@with_a_cache
def test_a_lease_that_is_none_is_an_error(engine: str) -> None:
    with override_settings(SESSIONKIT_LEASE=-1):
        assert ids(engine, LOCMEM) == {"sessionkit.E001"}
