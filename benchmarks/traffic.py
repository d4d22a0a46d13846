"""Requests that go on beside a clean-up: loads and saves at a steady rate, and how long each takes.

clearsessions.py runs this as a program of its own, which reads "lap" and "stop" from its input and
answers each with what has been since: latencies in milliseconds, as one line of JSON.
They are told one by one, each with when it was due, so that those of several rounds can be pooled
and those before and after the clean-up left out.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

#: Loads and saves, of each so many a second.
RATE = 40
SESSIONS = 200


def run() -> None:
    """Load and save sessions of the configured engine until the input says stop."""
    store: Any = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    keys = []
    for number in range(SESSIONS):
        session = store()
        session["number"] = number
        session.save()
        keys.append(session.session_key)
    # Each on a connection of its own, as on a site with more than one worker: else a load would
    # wait for the save before it.
    visitors = {act: Visitor(store, keys, act) for act in ("load", "save")}
    for visitor in visitors.values():
        visitor.start()
    for line in sys.stdin:
        laps = {act: visitor.lap() for act, visitor in visitors.items()}
        answer = {act: taken for act, (taken, _) in laps.items()}
        failed = sum(failed for _, failed in laps.values())
        sys.stdout.write(json.dumps(answer | {"failed": failed}) + "\n")
        sys.stdout.flush()
        if line.strip() == "stop":
            return


class Visitor(threading.Thread):
    """Loads, or saves, that come when they are due."""

    def __init__(self, store: Any, keys: list[str], act: str) -> None:
        super().__init__(daemon=True)
        self._store, self._keys, self._act = store, keys, act
        self._lap: tuple[list[tuple[float, float]], list[Exception]] = [], []

    def lap(self) -> tuple[list[tuple[float, float]], int]:
        """Return when each since the last lap was due, in s, and took, in ms; how many failed."""
        (taken, failed), self._lap = self._lap, ([], [])
        return taken, len(failed)

    def run(self) -> None:
        # Loads and saves come in turns.
        due = time.perf_counter() + (0.5 / RATE if self._act == "save" else 0)
        number = 0
        while True:
            time.sleep(max(due - time.perf_counter(), 0))
            session = self._store(self._keys[number % SESSIONS])
            failed = None
            try:
                session.get("number")
                if self._act == "save":
                    session["number"] = number
                    session.save()
            except Exception as error:  # whatever it is, a visitor would have seen it
                failed = error
            taken, failures = self._lap
            # From when it was due: one that waits makes those behind it wait as well.
            taken.append((due, (time.perf_counter() - due) * 1000))
            failures += [failed] if failed else []
            number += 1
            due += 1 / RATE
