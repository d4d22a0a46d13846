"""Clients in threads of their own, of which exactly one runs, from one step to the next."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from django.db import connections

T = TypeVar("T")

#: After how many of its steps a client falls asleep; mostly after none of them.
AWAKE = (1, 2, 2, 3, 3, 4, 5, 6, 99, 99, 99, 99, 99, 99)
#: How often somebody else is looked for before a sleeper has its turn.
SLEEP = 1


class Abandoned(BaseException):
    """Another client has failed, so this one need not go on."""


class Client:
    """One client: a thread with a database connection of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = threading.Semaphore(0)
        self.thread: threading.Thread | None = None
        self.program: Callable[[], None] | None = None
        #: The next step is the first of an operation, at whose start others had their turn.
        self.is_starting = False
        #: A statement in a transaction came last: nobody else runs before its end.
        self.in_transaction = False
        #: In a transaction that writes nothing, so that nobody waits for it.
        self.is_reading = False
        #: How often the cache answers this client, and whether it has not answered once.
        self.answers = 1.0
        self.has_missed = False
        #: After how many steps it falls asleep, so that much happens before its next.
        self.awake = 0


class Scheduler:
    """Runs the programs of clients; whose step is next is drawn from a seeded generator."""

    def __init__(self, names: str, on_start: Callable[[], None]) -> None:
        self.clients = [Client(name) for name in names]
        self.running: Client | None = None
        self.random = random.Random()  # noqa: S311 - to be repeated, not to be secret
        #: The client and the name of each step, and what clients have seen in between.
        self.trace: list[str] = []
        #: The number of the step that runs.
        self.now = 0
        self.failure: BaseException | None = None
        self._on_start = on_start
        self._patience = 0.0
        self._ready: list[Client] = []
        self._done = threading.Semaphore(0)

    def __enter__(self) -> Self:
        for client in self.clients:
            client.thread = threading.Thread(target=self._live, args=[client], daemon=True)
            client.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients:
            client.program = None
            client.gate.release()
        for client in self.clients:
            if client.thread is not None:
                client.thread.join(30)

    def start(self, seed: int) -> None:
        """Forget the last schedule, and draw from this seed."""
        self.random.seed(seed)
        # From a change at every step to clients that run for long.
        self._patience = self.random.choice((0.0, 0.3, 0.6, 0.85))
        self.trace, self.now = [], 0
        self.failure = None

    def run(self, act: Callable[[T], None], programs: Sequence[T]) -> None:
        """Call ``act`` with one program a client; raise what the first that fails raises."""
        self._ready = self.clients[: len(programs)]
        for client, program in zip(self._ready, programs, strict=True):
            client.program = partial(act, program)
            client.is_starting = client.in_transaction = False
            client.is_reading = False
            client.awake = self.random.choice(AWAKE)
        self._hand_over(self._next())
        self._done.acquire()
        if self.failure is not None:
            raise self.failure

    def begin(self, name: str) -> None:
        """Start an operation, when it is this client's turn."""
        if self.running is not None:
            self.running.is_starting = False
            self.step(name)
            self.running.is_starting = True

    def step(self, name: str) -> None:
        """Wait until the next step is this client's. Outside of ``run()`` it always is."""
        me = self.running
        if me is None:
            return
        if me.is_starting:
            me.is_starting = False
        elif me.awake <= 0 or self.random.random() >= self._patience:
            chosen = self._next()
            if chosen is not me:
                self._hand_over(chosen)
                me.gate.acquire()
        if self.failure is not None:
            raise Abandoned
        self.note(name)

    def note(self, name: str) -> None:
        """Put a step into the trace before which nobody else can have a turn."""
        if self.running is not None:
            self.running.awake -= 1
            self.now += 1
            self.trace.append(f"{self.running.name}: {name}")

    def tell(self, seen: str) -> None:
        """Put into the trace what the client that runs has seen, which is no step."""
        self.trace.append(f"{self.running.name if self.running else '-'}:   {seen}")

    def _next(self) -> Client:
        chosen = self.random.choice(self._ready)
        for _ in range(SLEEP):
            if chosen.awake > 0:
                break
            chosen = self.random.choice(self._ready)
        return chosen

    def _hand_over(self, client: Client) -> None:
        self.running = client
        client.gate.release()

    def _live(self, client: Client) -> None:
        try:
            self._on_start()
            while True:
                client.gate.acquire()
                if client.program is None:
                    return
                try:
                    client.program()
                except Abandoned:
                    pass
                except BaseException as error:  # raised again by run()
                    self.failure = self.failure or error
                self._ready = [other for other in self._ready if other is not client]
                if self._ready:
                    self._hand_over(self._next())
                else:
                    self.running = None
                    self._done.release()
        finally:
            connections.close_all()
