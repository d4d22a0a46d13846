"""A Redis Cluster of three masters and three replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.redis_servers import HOST, RedisServer, running, wait_until

SLOTS = 16384
MASTERS = 3
OPTIONS = {
    "cluster_enabled": "yes",
    "cluster_node_timeout": "1000",
    "cluster_require_full_coverage": "no",
    # However long ago its master was lost, a replica takes over.
    "cluster_replica_validity_factor": "0",
    "repl_diskless_sync_delay": "0",
}


class Cluster:
    """The nodes; the first three start as masters, each with the replica three further on."""

    def __init__(self, directory: Path) -> None:
        self.nodes = [
            RedisServer(directory / f"node-{number}", **OPTIONS) for number in range(2 * MASTERS)
        ]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.nodes]

    @property
    def running_nodes(self) -> list[RedisServer]:
        return [each for each in self.nodes if each.is_running]

    def form(self) -> None:
        """Make one cluster of the nodes, which have just started; return when it is whole."""
        bounds = [SLOTS * number // MASTERS for number in range(MASTERS + 1)]
        for number, node in enumerate(self.nodes):
            # Otherwise they start with one epoch and quarrel.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            # Each with each: hearsay takes seconds.
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", HOST, other.port)
            if number < MASTERS:
                node.ask("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
        for number, node in enumerate(self.nodes[MASTERS:]):
            master = self.nodes[number].ask("CLUSTER", "MYID")
            wait_until(partial(node.ask, "CLUSTER", "REPLICATE", master), "they have met")
        self.wait_until_ok()
        wait_until(self._is_replicated, "the replicas have the data")

    def masters(self) -> list[RedisServer]:
        """Return the running nodes that are masters, in the order of their slots."""
        ports = [port for _, port in self._slots(self.running_nodes[0])]
        return [each for port in ports for each in self.running_nodes if each.port == port]

    def kill_master(self, number: int = 0) -> RedisServer:
        """Kill the master that has the number in the order of slots, and return it."""
        master = self.masters()[number]
        master.kill()
        return master

    def pause_master(self, number: int = 0) -> RedisServer:
        """Let that master hang, and return it."""
        master = self.masters()[number]
        master.pause()
        return master

    def wait_until_ok(self, timeout: float = 20) -> float:
        """Wait until all nodes that run agree on running masters of all slots."""
        return wait_until(self._is_ok, "all nodes see all slots served", timeout)

    def _is_ok(self) -> bool:
        running_ports = {each.port for each in self.running_nodes}
        views = [self._slots(each) for each in self.running_nodes]
        return all(
            view == views[0]
            and sum(count for count, _ in view) == SLOTS
            and {port for _, port in view} <= running_ports
            and b"cluster_state:ok" in node.ask("CLUSTER", "INFO")
            for node, view in zip(self.running_nodes, views, strict=True)
        )

    def _is_replicated(self) -> bool:
        return all(node.ask("ROLE")[3] == b"connected" for node in self.nodes[MASTERS:])

    def _slots(self, node: RedisServer) -> list[tuple[int, int]]:
        """Return the node's view: the number of slots and its master's port, for each range."""
        return [
            (last - first + 1, master[1])
            for first, last, master, *_ in sorted(node.ask("CLUSTER", "SLOTS"))
        ]


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster that serves all slots, and is gone afterwards."""
    nodes = Cluster(directory)
    with running(*nodes.nodes):
        nodes.form()
        yield nodes
