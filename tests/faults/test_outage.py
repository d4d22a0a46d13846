"""Redis is killed in the middle of traffic, and comes back."""

from __future__ import annotations

import time

import pytest

from tests.faults.sites import site
from tests.faults.traffic import Traffic
from tests.redis_caches import single_cache
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

OUTAGES = pytest.mark.parametrize(
    ("ignores_exceptions", "seconds"), [(False, 10), (True, 3)], ids=["raising", "ignoring"]
)


def interrupt(server: RedisServer, traffic: Traffic, seconds: float) -> None:
    """Kill the server for some seconds while the traffic flows."""
    with traffic.flowing():
        time.sleep(1)
        server.kill()
        time.sleep(seconds)
        server.start()
        time.sleep(1)


@OUTAGES
def test_with_cached_db_nobody_notices(
    redis_server: RedisServer, ignores_exceptions: bool, seconds: float
) -> None:
    cache = single_cache(redis_server, IGNORE_EXCEPTIONS=ignores_exceptions)
    with site("cached_db", cache):
        traffic = Traffic()
        interrupt(redis_server, traffic, seconds)
    assert traffic.losses == []
    assert set(traffic.statuses) == {200}
