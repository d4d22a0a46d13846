"""The database is down while Redis still holds fresh copies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from tests.browsers import both_ways
from tests.faults.sites import LEASE, each_engine, signed_in, site
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@contextmanager
def database_down() -> Iterator[None]:
    """Let each statement fail as it does without a server."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        yield


@both_ways
@each_engine
def test_who_reads_inside_the_lease_is_served(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with site(kind, single_cache(redis_server), lease=60):
        browser = signed_in(is_async=is_async)
        with database_down():
            assert browser.data()["cat"] == "Tom"
            assert not browser.cookie_was_touched
            assert browser.get("/untouched/").status_code == 200
            assert browser.get("/whoami/").status_code == 500
        assert browser.data()["cat"] == "Tom"
        assert browser.get("/whoami/").content == b"alice"


@both_ways
@each_engine
def test_who_reads_after_the_lease_is_not_signed_out(
    redis_server: RedisServer, kind: str, is_async: bool
) -> None:
    with site(kind, single_cache(redis_server)):
        browser = signed_in(is_async=is_async)
        time.sleep(LEASE)
        with database_down():
            assert browser.get("/read/").status_code == 500
            assert not browser.cookie_was_touched
        assert browser.data()["cat"] == "Tom"


@both_ways
def test_what_cannot_be_stored_in_a_row_is_an_error_and_loses_nothing(
    redis_server: RedisServer, is_async: bool
) -> None:
    with site("cached_db", single_cache(redis_server), lease=60):
        browser = signed_in(is_async=is_async)
        with database_down():
            assert browser.get("/set/cat/Kitty/").status_code == 500
        assert browser.data()["cat"] == "Tom"
        browser.get("/set/cat/Kitty/")
        assert browser.data()["cat"] == "Kitty"
