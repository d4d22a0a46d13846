"""Entries of CACHES for the servers that tests start, and a way to work with them for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.test import override_settings
from django_redis.pool import ConnectionFactory
from redis.backoff import NoBackoff
from redis.retry import Retry

from django_sessionkit.copies import cluster as cluster_module
from django_sessionkit.storage import cached_rows
from tests.redis_cluster import Cluster
from tests.redis_sentinels import SERVICE, Sentinels
from tests.redis_servers import RedisServer

BACKEND = "django_redis.cache.RedisCache"
TIMEOUTS = {"SOCKET_TIMEOUT": 0.4, "SOCKET_CONNECT_TIMEOUT": 0.4}


def single_cache(server: RedisServer, **options: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "LOCATION": server.url, "OPTIONS": {**TIMEOUTS, **options}}


def sentinel_cache(sentinels: Sentinels, **options: Any) -> dict[str, Any]:
    return {
        "BACKEND": BACKEND,
        "LOCATION": f"redis://{SERVICE}/0",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": sentinels.addresses,
            "SENTINEL_KWARGS": {
                "socket_timeout": 0.4,
                "socket_connect_timeout": 0.4,
                "retry": Retry(NoBackoff(), 0),
            },
            **TIMEOUTS,
            **options,
        },
    }


def cluster_cache(cluster: Cluster, **options: Any) -> dict[str, Any]:
    return {
        "BACKEND": BACKEND,
        "LOCATION": cluster.urls,
        "OPTIONS": {
            "CLIENT_CLASS": "django_sessionkit.copies.cluster.ClusterClient",
            **TIMEOUTS,
            **options,
        },
    }


@contextmanager
def session_cache(entry: dict[str, Any], alias: str = "sessions") -> Iterator[None]:
    """Let sessions use this cache, in all threads: Django makes its caches anew for them all."""
    caches = {**settings.CACHES, alias: entry}
    # django-redis keeps its pools by URL for the life of the process: other options would find
    # the pool of those that came first.
    pools = ConnectionFactory._pools
    # A test before this one may have found the cache of that name out of reach.
    cached_rows._paused_until.pop(alias, None)
    known, known_clusters = set(pools), set(cluster_module._clusters)
    try:
        with override_settings(CACHES=caches, SESSION_CACHE_ALIAS=alias):
            yield
    finally:
        for url in set(pools) - known:
            pools.pop(url).disconnect()
        for key in set(cluster_module._clusters) - known_clusters:
            cluster_module._clusters.pop(key).close()
