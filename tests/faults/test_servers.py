"""The servers that the tests of faults use do what those tests take for granted."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.cache import caches
from redis import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.redis_caches import sentinel_cache, session_cache, single_cache
from tests.redis_cluster import Cluster
from tests.redis_sentinels import Sentinels
from tests.redis_servers import RedisServer

pytestmark = pytest.mark.slow


def test_a_killed_server_has_what_it_confirmed_when_it_is_back(redis_server: RedisServer) -> None:
    redis_server.ask("SET", "name", "value")
    redis_server.kill()
    with pytest.raises(RedisConnectionError):
        redis_server.ask("PING")
    redis_server.start()
    assert redis_server.ask("GET", "name") == b"value"


def test_a_server_can_be_stopped_in_order_and_started_again(redis_server: RedisServer) -> None:
    redis_server.ask("SET", "name", "value")
    redis_server.stop()
    assert "ready to exit" in redis_server.log
    redis_server.start()
    assert redis_server.ask("GET", "name") == b"value"


def test_a_paused_server_hangs_and_then_answers(redis_server: RedisServer) -> None:
    redis_server.pause()
    with pytest.raises(RedisTimeoutError):
        redis_server.ask("PING")
    redis_server.resume()
    assert redis_server.ask("PING") == b"PONG"


def test_a_snapshot_brings_back_what_was_deleted_since(redis_server: RedisServer) -> None:
    redis_server.ask("SET", "name", "value")
    snapshot = redis_server.snapshot()
    redis_server.ask("DEL", "name")
    redis_server.restore(snapshot)
    assert redis_server.ask("GET", "name") == b"value"


def test_a_cache_for_sessions_is_seen_by_all_threads(redis_server: RedisServer) -> None:
    values: list[Any] = []

    def read() -> None:
        values.append(caches["sessions"].get("name"))

    with session_cache(single_cache(redis_server)):
        caches["sessions"].set("name", "value")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert values == ["value"]
    assert "sessions" not in caches.settings


def test_sentinels_put_a_replica_in_the_place_of_a_killed_primary(sentinels: Sentinels) -> None:
    with session_cache(sentinel_cache(sentinels)):
        caches["sessions"].set("name", "value")
        # Replication does not wait for anybody.
        sentinels.primary.ask("WAIT", 1, 1000)
        killed = sentinels.kill_primary()
        with pytest.raises(RedisConnectionError):
            caches["sessions"].set("name", "nobody confirms this")
        sentinels.wait_for_failover()
        assert sentinels.primary is not killed
        assert caches["sessions"].get("name") == "value"
        caches["sessions"].set("name", "another")
        assert caches["sessions"].get("name") == "another"


def test_a_cluster_replaces_a_killed_master(cluster: Cluster) -> None:
    with RedisCluster.from_url(cluster.urls[0]) as client:
        for number in range(100):
            client.set(f"name-{number}", number)
        for master in cluster.masters():
            master.ask("WAIT", 1, 1000)
        killed = cluster.kill_master()
        cluster.wait_until_ok()
        masters = cluster.masters()
        assert killed not in masters
        assert len(masters) == 3
        for number in range(100):
            assert client.get(f"name-{number}") == str(number).encode()
    killed.start()
    cluster.wait_until_ok()
