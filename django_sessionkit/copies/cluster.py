"""A client of django-redis for a Redis Cluster, which that does not have itself.

    CACHES = {
        "sessions": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"],
            "OPTIONS": {"CLIENT_CLASS": "django_sessionkit.copies.cluster.ClusterClient", ...},
        }
    }

LOCATION names some nodes, of which one must be up to find the others. It serves sessions; what else
django-redis does with several keys at a time is not tested on a cluster.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from django_redis.client import DefaultClient
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

#: One connection to a cluster for a process: it knows where each slot lies, and has pools.
_clusters: dict[tuple[Any, ...], RedisCluster] = {}
#: Until when (by time.monotonic()) nobody tries again to reach a cluster.
_failed: dict[tuple[Any, ...], float] = {}
_lock = threading.Lock()
PAUSE = 1.0


class ClusterClient(DefaultClient):  # type: ignore[misc]
    """Takes the connection from redis-py's ``RedisCluster``, for reading and writing."""

    def get_client(self, write: bool = True, tried: Any = None, **kwargs: Any) -> RedisCluster:
        """Return the connection to the cluster; raise RedisError if no node answers."""
        key = (*self._server, repr(self._options))
        with _lock:
            if key in _clusters:
                return _clusters[key]
            if time.monotonic() < _failed.get(key, 0):
                # Those who have waited for the lock need not wait for the cluster as well.
                raise ConnectionError("The cluster has just not answered.")
            try:
                _clusters[key] = self._connect_to_cluster()
            except Exception:
                _failed[key] = time.monotonic() + PAUSE
                raise
            return _clusters[key]

    def connect(self, index: int = 0) -> RedisCluster:
        return self.get_client()

    def _connect_to_cluster(self) -> RedisCluster:
        options: dict[str, Any] = self.connection_factory.make_connection_params(self._server[0])
        options |= self._options.get("CONNECTION_POOL_KWARGS", {})
        for name in ("url", "parser_class"):
            options.pop(name, None)
        nodes = []
        for location in self._server:
            parts = urlsplit(location)
            node = ClusterNode(parts.hostname, parts.port or 6379)  # type: ignore[no-untyped-call]
            nodes.append(node)
            if parts.username:
                options["username"] = unquote(parts.username)
            if parts.password:
                options["password"] = unquote(parts.password)
            if parts.scheme == "rediss":
                options["ssl"] = True
        defaults: dict[str, Any] = {
            # What lies on the nodes that are left is served on.
            "require_full_coverage": False,
            # One look for the new master; redis-py's own default waits for seconds.
            "retry": Retry(ConstantBackoff(0.05), 2),
        }
        options = defaults | options | self._options.get("REDIS_CLIENT_KWARGS", {})
        return RedisCluster(startup_nodes=nodes, **options)
