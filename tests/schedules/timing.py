"""The time that passes for what is believed for a lease."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from django_sessionkit.conf import conf

#: A lease is so many units of time; half of a lease passes at a time.
UNITS = 12
HALF = UNITS // 2
UNIT = timedelta(seconds=conf.lease // UNITS)


class Time(Protocol):
    """Time for the sessions of a schedule, counted in units."""

    now: int

    def start(self) -> None:
        """Forget the sessions, and start from 0."""
        ...

    def watch(self, public_id: uuid.UUID) -> None:
        """Let time pass for this session too."""
        ...

    def tick(self) -> None:
        """Let half of a lease pass."""
        ...

    def held(self, public_id: uuid.UUID) -> Collection[bytes | None]:
        """Return what the cache holds of the session."""
        ...

    def clean(self) -> None:
        """Leave nothing of the schedule."""
        ...
