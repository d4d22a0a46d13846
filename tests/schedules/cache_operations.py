"""What clients do where a cache holds copies or data, and what happens to that."""

from __future__ import annotations

from tests.engines import Engine
from tests.schedules.cache_time import CacheTime
from tests.schedules.operations import Operations
from tests.schedules.scheduler import Scheduler


class CacheOperations(Operations):
    """The operations of one schedule, with a cache."""

    _time: CacheTime

    def __init__(self, engine: Engine, scheduler: Scheduler, time: CacheTime) -> None:
        super().__init__(engine, scheduler, time)
        self.by_name |= {
            "evict": self.evict,
            "forge": self.forge,
            "lose the data": self.lose_data,
            "take a snapshot": self.take_snapshot,
            "restore the snapshot": self.restore_snapshot,
        }

    def evict(self) -> None:
        self._time.evict(self._any_session().public_id)

    def forge(self) -> None:
        self._time.forge(self._any_session().public_id)

    def lose_data(self) -> None:
        session = self._any_session()
        with self._begun(session.ends) as end:
            end.leaves_row = True
            self._time.lose(session.public_id)

    def take_snapshot(self) -> None:
        self._time.take_snapshot()

    def restore_snapshot(self) -> None:
        if self._time.restore_snapshot():
            self.promises.restored()
