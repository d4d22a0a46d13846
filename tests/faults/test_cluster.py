"""A Redis Cluster: it works, and the loss of a master in the middle of traffic loses nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.models import Session
from tests.faults.failovers import BOUND, FailOver
from tests.faults.sites import each_engine, signed_in, site
from tests.redis_caches import cluster_cache, single_cache
from tests.redis_cluster import Cluster
from tests.redis_servers import redis_server, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize(("is_async", "count"), [(False, 200), (True, 20)], ids=["sync", "async"])
@each_engine
def test_sessions_are_read_saved_and_revoked_wherever_they_lie(
    cluster: Cluster, kind: str, is_async: bool, count: int
) -> None:
    with site(kind, cluster_cache(cluster), lease=60):
        browsers = [signed_in(f"user-{number}", is_async=is_async) for number in range(count)]
        assert all(master.ask("DBSIZE") for master in cluster.masters())
        for number, browser in enumerate(browsers):
            browser.get(f"/set/number/{number}/")
        for number, browser in enumerate(browsers):
            assert browser.data()["number"] == str(number)
        call_command("clearsessions", verbosity=0)
        assert Session.objects.count() == len(browsers)
        ended = registry.revoke(browsers[0].row, owner=registry.ANY_OWNER)
        assert (ended.count, ended.in_force) == (1, InForce.NOW)
        ended = registry.revoke_everyone()
        assert (ended.count, ended.in_force) == (len(browsers) - 1, InForce.NOW)
        assert [master.ask("DBSIZE") for master in cluster.masters()] == [0, 0, 0]
        assert all(browser.get("/whoami/").content == b"" for browser in browsers)


@each_engine
def test_a_cluster_of_one_node_may_be_reached_as_if_it_were_none(
    redis_program: None, kind: str, tmp_path: Path
) -> None:
    with redis_server(tmp_path / "node", cluster_enabled="yes") as server:
        server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: b"cluster_state:ok" in server.ask("CLUSTER", "INFO"), "it is ready")
        with site(kind, single_cache(server), lease=60):
            browsers = [signed_in() for _ in range(3)]
            ended = registry.revoke_user(User.objects.get())
            assert (ended.count, ended.in_force) == (3, InForce.NOW)
            assert [browser.get("/whoami/").content for browser in browsers] == [b""] * 3


def test_with_cached_db_nobody_notices_that_a_master_is_lost(cluster: Cluster) -> None:
    with site("cached_db", cluster_cache(cluster)):
        fail_over = FailOver(people=6, victims=8)
        fail_over.run(cluster.kill_master, cluster.wait_until_ok)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) == {200}


def test_with_cached_db_nobody_notices_that_a_master_hangs(cluster: Cluster) -> None:
    with site("cached_db", cluster_cache(cluster)):
        fail_over = FailOver(people=6, victims=8)
        fail_over.run(cluster.pause_master, cluster.wait_until_ok)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) == {200}


def test_with_cache_people_are_told_to_try_again_until_a_replica_has_taken_over(
    cluster: Cluster,
) -> None:
    with site("cache", cluster_cache(cluster)):
        fail_over = FailOver(people=6, victims=8)
        fail_over.run(cluster.kill_master, cluster.wait_until_ok)
        assert fail_over.traffic.longest < BOUND
        assert set(fail_over.traffic.statuses) <= {200, 503}
