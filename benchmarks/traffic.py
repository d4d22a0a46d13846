"""Requests that go on beside a clean-up: loads and saves at a steady rate, and how long each takes.

clearsessions.py runs this as a program of its own, which reads "lap" and "stop" from its input and
answers each with what has been since: latencies in milliseconds, as one line of JSON.
"""

from __future__ import annotations

import json
import select
import statistics
import sys
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
    taken: dict[str, list[float]] = {"load": [], "save": []}
    failed = 0
    start, step = time.perf_counter(), 0
    while True:
        due = start + step / (2 * RATE)
        command = _command(max(due - time.perf_counter(), 0))
        if command:
            answer = {act: _told(times) for act, times in taken.items()} | {"failed": failed}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            if command == "stop":
                return
            taken, failed = {"load": [], "save": []}, 0
        if time.perf_counter() < due:
            continue
        act = "save" if step % 2 else "load"
        session = store(keys[step // 2 % SESSIONS])
        try:
            session.get("number")
            if act == "save":
                session["number"] = step
                session.save()
        except Exception:  # whatever it is, a visitor would have seen it
            failed += 1
        # From when it was due: one that waits makes those behind it wait as well.
        taken[act].append((time.perf_counter() - due) * 1000)
        step += 1


def _command(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.readline().strip() if ready else ""


def _told(times: list[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {"count": len(times), "p50": hundredths[49], "p99": hundredths[98], "max": max(times)}
