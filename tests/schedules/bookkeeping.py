"""Loading and saving as clients do it, and noting what that promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.engines import Engine
from tests.schedules.promises import USER, Broken, Key, Known, Promise, Promises, Start
from tests.schedules.scheduler import Scheduler
from tests.schedules.timing import UNIT, Time


class Bookkeeping:
    """What the operations of one schedule consist of, and what is known of its sessions."""

    def __init__(self, engine: Engine, scheduler: Scheduler, time: Time) -> None:
        self.promises = Promises(data_in_row=engine.data_in_row)
        self._engine = engine
        self._scheduler = scheduler
        self._time = time
        self._count = 0
        self._began = timezone.now()

    def _load(self, key: Key, start: Start | None = None) -> tuple[Any, dict[str, Any]]:
        start = start or self._start()
        store = self._engine.store(key.session_key)
        data = dict(store.items())
        self._scheduler.tell(f"sees {', '.join(sorted(data)) or 'nothing'}")
        self.promises.check_load(key, start, data)
        return store, data

    def _load_among_others(self, key: Key) -> tuple[Any, dict[str, Any]]:
        """Load in a transaction, while others write on; what it reads of the row stays the same."""
        client = self._scheduler.running
        assert client is not None
        start = self._start()
        client.is_reading = True
        with transaction.atomic():
            self._rows(key.session).exists()
            loaded = self._load(key, start)
        client.is_reading = False
        return loaded

    def _started_over(self, store: Any, key: Key) -> Known:
        """Return the new session with which a save goes on, as the one of the key has gone."""
        if not key.may_be_refused():
            raise Broken("A new session begins, though nobody has ended this one.")
        session = self._known(store)
        session.saves = {name: Promise(0) for name in dict(store.items()) if name != USER}
        return session

    def _saved(self, store: Any, key: Key) -> tuple[str, Promise] | None:
        """Save something; return its name and what that promises, None if it was refused."""
        name = self._new_name()
        store[name] = 1
        saved = Promise(restores=self.promises.restores)
        try:
            store.save()
        except SessionGone:
            self._refused(key, name)
            return None
        if store.is_retired:
            # A login over a key that another request has just replaced: nothing of it is saved.
            self._refused(key, name)
            return None
        self._given(saved)
        return name, saved

    def _saved_and_committed(self, store: Any, key: Key) -> tuple[str, Promise] | None:
        """See _saved(): in a transaction, whose commit is what promises."""
        with transaction.atomic():
            saved = self._saved(store, key)
        if saved is not None:
            self._given(saved[1])
        return saved

    def _saved_in_vain(self, store: Any, key: Key) -> list[str]:
        """Save in a transaction that is rolled back; return the names, none if it was refused."""
        times = self._scheduler.random.choice((1, 1, 2))
        with transaction.atomic():
            saved = [self._saved(store, key) for _ in range(times)]
            transaction.set_rollback(True)
        self._scheduler.tell("has rolled back")
        return [] if None in saved else [one[0] for one in saved if one is not None]

    def _keep_all(
        self, store: Any, key: Key, names: list[str], saved: tuple[str, Promise] | None
    ) -> None:
        """Promise what was saved at last: ``names`` from before, and what came with them."""
        if saved is None:
            self.promises.refused.update(names)
            return
        session = key.session
        if self._public_id(store.session_key) != session.public_id:
            session = self._started_over(store, key)
        for name in [*names, saved[0]]:
            self._keep(session, name, saved[1])
        if session is not key.session:
            self._hand_out(store, session)

    def _refused(self, key: Key, name: str) -> None:
        self._scheduler.tell(f"is refused {name}")
        self.promises.check_refusal(key, name)

    def _keep(self, session: Known, name: str, saved: Promise) -> None:
        if self._engine.data_in_row or not saved.is_restored:
            session.saves[name] = saved

    def _read_row(self, session: Known) -> AbstractSession | None:
        """Return the row, and tell of it what is no other each time."""
        row = self._rows(session).first()
        if row is None:
            self._scheduler.tell("finds no row")
        else:
            was_whose = "its user's" if row.previous_was_users else "a visitor's"
            self._scheduler.tell(
                f"finds version {row.version} of user {row.user_id}, "
                f"{'' if row.authenticated_at else 'never '}signed in, "
                f"last seen at {self._units(row.last_seen_at)}, "
                f"key before {was_whose if row.previous_mark else 'nobody'}"
            )
        return row

    def _units(self, moment: datetime) -> int:
        """Return when that was, in units since the schedule began."""
        return (moment - self._began) // UNIT

    def _new_name(self) -> str:
        self._count += 1
        return f"save {self._count}"

    @contextmanager
    def _begun(self, promises: list[Promise]) -> Iterator[Promise]:
        """Note that something has begun, and that it has returned, unless it did nothing."""
        promise = Promise(restores=self.promises.restores)
        promises.append(promise)
        yield promise
        if promise.is_void:
            if promise in promises:
                promises.remove(promise)
        elif promise.step is None:
            self._given(promise)

    def _given(self, promise: Promise) -> None:
        """Note that what the promise is about has returned now."""
        client = self._scheduler.running
        promise.step, promise.tick = self._scheduler.now, self._time.now
        promise.is_restored = promise.restores != self.promises.restores
        promise.is_late = promise.is_restored or (client is not None and client.has_missed)

    def _known(self, store: Any) -> Known:
        has_row = self._engine.rows_for_visitors or USER in store
        return Known(self._public_id(store.session_key), has_row=has_row)

    def _hand_out(self, store: Any, session: Known) -> None:
        self._time.watch(session.public_id)
        self.promises.hand_out(Key(store.session_key, session, is_signed_in=USER in store))

    def _start(self) -> Start:
        is_over = self._scheduler.running is None
        return Start(self._scheduler.now + is_over, self._time.now)

    def _any_key(self) -> Key:
        return self._scheduler.random.choice(self.promises.keys)

    def _any_session(self) -> Known:
        return self._scheduler.random.choice(list(self.promises.sessions.values()))

    def _rows(self, session: Known) -> SessionQuerySet:
        return Session.objects.filter(public_id=session.public_id)

    def _public_id(self, session_key: str) -> Any:
        key = self._engine.split_key(session_key)
        assert key is not None
        return key.public_id
