"""The time of the site, which can be moved, where nothing lies in a cache.

What a token is believed by is the clock of the server, which is moved for all who ask it. Time goes
on by itself as well, so that no two moments are the same.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from unittest import mock

from django.utils import timezone

from tests.schedules.timing import HALF, UNIT

#: Some seconds, in units: the shortest time that can pass.
MOMENT = 1
NANOSECONDS = 1_000_000_000

_time, _time_ns, _now = time.time, time.time_ns, timezone.now


class Clock:
    """Time that is counted in units, so many a lease."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start from 0, which is the present."""
        self.now = 0

    def tick(self, units: int = HALF) -> None:
        self.now += units

    def watch(self, public_id: uuid.UUID) -> None:
        """The time of each session passes."""

    def held(self, public_id: uuid.UUID) -> Collection[bytes | None]:
        return ()

    def clean(self) -> None:
        self.start()

    @contextmanager
    def moved(self) -> Iterator[None]:
        """Let everybody see the time that this clock shows."""

        def passed() -> int:
            return self.now * UNIT.seconds

        with ExitStack() as stack:
            for name, read in {
                "time.time": lambda: _time() + passed(),
                "time.time_ns": lambda: _time_ns() + passed() * NANOSECONDS,
                "django.utils.timezone.now": lambda: _now() + timedelta(seconds=passed()),
            }.items():
                stack.enter_context(mock.patch(name, read))
            yield
