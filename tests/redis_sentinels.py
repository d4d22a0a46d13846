"""A primary with replicas, and three Redis Sentinels that put a replica in its place."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.redis_servers import HOST, RedisServer, running, wait_until

SERVICE = "sessions"  # the name under which the sentinels know the servers
QUORUM = 2


class Sentinel(RedisServer):
    """A Redis Sentinel. It is told of the others at once; finding them takes it seconds."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.id = secrets.token_hex(20)

    def configure(self, servers: list[RedisServer], others: list[Sentinel]) -> None:
        """Write its configuration, which it goes on to write itself."""
        primary, *replicas = servers
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.directory}",
            f"sentinel myid {self.id}",
            f"sentinel monitor {SERVICE} {HOST} {primary.port} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 3000",
            *(f"sentinel known-replica {SERVICE} {HOST} {each.port}" for each in replicas),
            *(f"sentinel known-sentinel {SERVICE} {HOST} {each.port} {each.id}" for each in others),
        ]
        self.directory.mkdir()
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _arguments(self, options: dict[str, str]) -> list[str]:
        return [str(self.directory / "sentinel.conf"), "--sentinel"]

    def primary_address(self) -> tuple[str, int] | None:
        """Return where the primary is, as clients ask for it; None while that is in doubt.

        Not by GET-MASTER-ADDR-BY-NAME: in a failover that tells of the new one while MASTER, which
        redis-py asks, still has the old. A client would take that for the primary once it is back,
        with no data in it.
        """
        told = self.ask("SENTINEL", "MASTER", SERVICE)
        state = dict(zip(told[::2], told[1::2], strict=True))
        if state[b"flags"] != b"master":
            return None
        return state[b"ip"].decode(), int(state[b"port"])

    def is_ready(self, replica_count: int) -> bool:
        """Whether it sees enough sentinels, and replicas of which one could take over."""
        self.ask("SENTINEL", "CKQUORUM", SERVICE)
        replicas = [
            dict(zip(each[::2], each[1::2], strict=True))
            for each in self.ask("SENTINEL", "REPLICAS", SERVICE)
        ]
        return len(replicas) == replica_count and all(
            each[b"flags"] == b"slave" and each[b"master-link-status"] == b"ok" for each in replicas
        )


class Sentinels:
    """One primary, its replicas, and three sentinels of which two must agree."""

    def __init__(self, directory: Path, replica_count: int = 1) -> None:
        first = RedisServer(directory / "primary", repl_diskless_sync_delay="0")
        self.servers = [first]
        for number in range(replica_count):
            options = {**first.options, "replicaof": f"{HOST} {first.port}"}
            self.servers.append(RedisServer(directory / f"replica-{number}", **options))
        self.sentinels = [Sentinel(directory / f"sentinel-{number}") for number in range(3)]
        for each in self.sentinels:
            each.configure(self.servers, [other for other in self.sentinels if other is not each])
        self.primary = first

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The sentinels, as clients are told of them."""
        return [each.address for each in self.sentinels]

    def wait_until_ready(self) -> None:
        """Wait until each sentinel would be able to put another server in the primary's place."""
        replica_count = len(self.servers) - 1
        for each in self.sentinels:
            wait_until(partial(each.is_ready, replica_count), "the sentinel is ready")
        # A replica that says that it is linked may not be sent anything yet: the primary waits for
        # its first word, which comes once a second, and keeps all writes back until then.
        wait_until(partial(self._has_replicated, replica_count), "the replicas follow")

    def _has_replicated(self, replica_count: int) -> bool:
        # In one connection: WAIT waits for the writes of its own.
        with self.primary.client() as client:
            client.set("replicated", 1)
            client.delete("replicated")  # so that tests find an empty server
            return bool(client.wait(replica_count, 500) == replica_count)

    def kill_primary(self) -> RedisServer:
        """Kill the primary and return it."""
        self.primary.kill()
        return self.primary

    def pause_primary(self) -> RedisServer:
        """Let the primary hang, and return it."""
        self.primary.pause()
        return self.primary

    def wait_for_failover(self, timeout: float = 20) -> float:
        """Wait until a replica has taken over and all sentinels say so; return the seconds."""
        return wait_until(self._has_failed_over, "another primary", timeout)

    def _has_failed_over(self) -> bool:
        addresses = {each.primary_address() for each in self.sentinels}
        for server in self.servers:
            is_another = server is not self.primary and server.is_running
            if is_another and addresses == {server.address} and server.ask("ROLE")[0] == b"master":
                # Else it would be a primary without data when it is back, for as long as the
                # sentinels need to see that.
                self.primary.options["replicaof"] = f"{HOST} {server.port}"
                self.primary = server
                return True
        return False


@contextmanager
def sentinels(directory: Path, replica_count: int = 1) -> Iterator[Sentinels]:
    """Servers and sentinels that are ready to fail over, and are gone afterwards."""
    both = Sentinels(directory, replica_count)
    with running(*both.servers, *both.sentinels):
        both.wait_until_ready()
        yield both
