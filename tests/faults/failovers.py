"""What must hold when another server takes over in the middle of traffic."""

from __future__ import annotations

import time
from collections.abc import Callable

from django_sessionkit import registry
from tests.browsers import Browser
from tests.faults.sites import LEASE, signed_in
from tests.faults.traffic import Traffic
from tests.redis_servers import RedisServer

#: No request takes longer, in seconds, with the timeouts of ``redis_caches``.
BOUND = 10


class FailOver:
    """People who use the site while a server is lost, and sessions that are revoked around that."""

    def __init__(self, people: int = 3, victims: int = 4) -> None:
        self.traffic = Traffic(people)
        self._victims = [
            [signed_in(f"{when}-{number}") for number in range(victims)]
            for when in ("before", "during", "after")
        ]

    def run(self, lose: Callable[[], RedisServer], recover: Callable[[], object]) -> None:
        """Lose a server in the middle of traffic, and wait until another has taken over.

        The lost one comes back, and a while later it does as the others say.
        """
        before, during, after = self._victims
        with self.traffic.flowing():
            time.sleep(0.5)
            # Replication is not waited for.
            self._revoke(before)
            lost = lose()
            self._revoke(during)
            recover()
            if lost.is_paused:
                lost.resume()
            else:
                lost.start()
            time.sleep(LEASE)
            self._check_gone(before + during)
            self._revoke(after)
            time.sleep(LEASE)
            self._check_gone(before + during + after)
        self._check_kept()

    def _revoke(self, victims: list[Browser]) -> None:
        for victim in victims:
            assert registry.revoke(victim.row, owner=registry.ANY_OWNER).count == 1

    def _check_gone(self, victims: list[Browser]) -> None:
        for victim in victims:
            response = victim.get("/whoami/")
            assert response.status_code == 200
            assert response.content == b""

    def _check_kept(self) -> None:
        """Each session is there, with what was stored last.

        In between an older number may have been found: a copy that was behind when its server
        took over is believed until its lease ends.
        """
        assert self.traffic.losses == [], self.traffic.losses
        for person in self.traffic.people:
            person.stale.clear()
            person.look()
            assert person.answers[-1].status == 200
        assert self.traffic.stale == [], self.traffic.stale
