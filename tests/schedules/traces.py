"""What seeds have done, recorded: a change that breaks no promise is seen by its steps.

Of each seed the first bytes of a digest of its trace stand in ``traces/<engine>-<kind>.bin``, one
after the other. A trace tells which client made which step, and what it has seen; of keys, tokens,
moments and whatever else is another each time it tells nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Of how many seeds the trace is recorded, and in how many bytes each.
SEEDS, SIZE = 10_000, 4

#: The steps of each seed.
Traces = Mapping[int, list[str]]


class Recorded:
    """The digests of the traces of an engine."""

    def __init__(self, name: str) -> None:
        self._path = Path(__file__).with_name("traces") / f"{name}.bin"

    def write(self, traces: Traces) -> None:
        """Record these. Others may be recorded by other processes meanwhile."""
        self._path.parent.mkdir(exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            for seed, trace in _recordable(traces):
                os.pwrite(file, digest(trace), seed * SIZE)
        finally:
            os.close(file)

    def moved(self, traces: Traces) -> list[int]:
        """Return the seeds whose trace is not the recorded one, if there is one.

        Raises FileNotFoundError if none are recorded.
        """
        recorded = self._path.read_bytes()
        return [
            seed
            for seed, trace in _recordable(traces)
            if recorded[seed * SIZE : (seed + 1) * SIZE] not in (b"", digest(trace))
        ]


def digest(trace: list[str]) -> bytes:
    """Return what is recorded of a trace."""
    return hashlib.sha256("\n".join(trace).encode()).digest()[:SIZE]


def _recordable(traces: Traces) -> Iterator[tuple[int, list[str]]]:
    return ((seed, trace) for seed, trace in traces.items() if seed < SEEDS)
