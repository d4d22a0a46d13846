"""What clients do to sessions, each checked against what has been promised.

A store is loaded and saved as a request does it. What has ended for its client is left alone:
saving an unknown session starts another one, which belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.base_session import SessionQuerySet
from django_sessionkit.exceptions import CacheUnreachable, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests.engines import Engine
from tests.schedules.cache_time import CacheTime
from tests.schedules.promises import USER, Broken, Key, Known, Promise, Promises, Start
from tests.schedules.scheduler import Scheduler

#: How an operation is called in the trace to which the cache answers one time in four, or never.
CUT_OFF = ", cut off"
UNREACHABLE = ", unreachable"


class Operations:
    """The operations of one schedule."""

    def __init__(self, engine: Engine, scheduler: Scheduler, time: CacheTime) -> None:
        self.promises = Promises(data_in_row=engine.data_in_row)
        self._engine = engine
        self._scheduler = scheduler
        self._time = time
        self._count = 0
        self._by_name: dict[str, Callable[[], None]] = {
            "load": self.load,
            "load in a transaction": self.load_in_transaction,
            "save": self.save,
            "save twice": partial(self.save, times=2),
            "save, taken back": self.save_in_vain,
            "renew": self.renew,
            "replace the key": self.replace_key,
            "sign in": partial(self.replace_key, is_login=True),
            "revoke": self.revoke,
            "delete a queryset": self.delete_queryset,
            "delete an instance": self.delete_instance,
            "log out": self.log_out,
            "time passes": self.tick,
            "evict": self.evict,
            "forge": self.forge,
            "lose the data": self.lose_data,
            "take a snapshot": self.take_snapshot,
            "restore the snapshot": self.restore_snapshot,
        }

    def begin(self, *, is_signed_in: bool, is_copied: bool) -> None:
        """Start the session that the schedule is about; ``is_copied``: it has been loaded once."""
        store = self._engine.store()
        store["start"] = 1
        if is_signed_in:
            store[USER] = "1"
        store.save()
        session = self._known(store)
        session.saves["start"] = Promise(0)
        self._hand_out(store, session)
        # So that there is a lease to renew.
        self._rows(session).update(last_seen_at=timezone.now() - timedelta(seconds=90))
        if is_copied:
            self.load()

    def run(self, names: list[str]) -> None:
        """Do all these, as one client."""
        for name in names:
            self._scheduler.begin(name)
            client = self._scheduler.running
            assert client is not None
            act = name.removesuffix(CUT_OFF).removesuffix(UNREACHABLE)
            client.answers = 0.25 if name.endswith(CUT_OFF) else float(act == name)
            client.has_missed = False
            try:
                self._by_name[act]()
            except CacheUnreachable:
                # The client learns nothing. What it has begun may have been done or not.
                if not client.has_missed:
                    raise

    def finish(self) -> None:
        """Look at everything, now that nobody does anything any more."""
        end = self._start()
        for session in self.promises.sessions.values():
            row = self._rows(session).first()
            self.promises.check_row(session, row.get_decoded() if row else None)
        for key in self.promises.keys:
            self._load(key)
        for session in self.promises.sessions.values():
            self.promises.check_cache(session, end, self._time.held(session.public_id))

    # Requests

    def load(self) -> None:
        self._load(self._any_key())

    def load_in_transaction(self) -> None:
        """Others write on meanwhile; what it reads of the row stays as it was at first."""
        key, client = self._any_key(), self._scheduler.running
        assert client is not None
        start = self._start()
        client.is_reading = True
        with transaction.atomic():
            self._rows(key.session).exists()
            self._load(key, start)
        client.is_reading = False

    def save(self, times: int = 1) -> None:
        key = self._any_key()
        store, data = self._load(key)
        session = key.session
        for _ in range(times if data else 0):
            if (saved := self._saved(store, key)) is None:
                return
            if _public_id(store.session_key) != session.public_id:
                session = self._started_over(store, key)
            self._keep(session, *saved)
        if session is not key.session:
            self._hand_out(store, session)

    def save_in_vain(self) -> None:
        """Save, and look at the session, in a transaction that is rolled back."""
        key = self._any_key()
        with transaction.atomic():
            store, data = self._load(key)
            name = self._new_name()
            if data:
                store[name] = 1
                try:
                    store.save()
                except SessionGone:
                    self._refused(key, name)
                else:
                    seen = dict(self._engine.store(key.session_key).items())
                    if name not in seen:
                        raise Broken("A transaction doesn't see what it has saved itself.")
            transaction.set_rollback(True)
        self.promises.refused.add(name)

    def renew(self) -> None:
        store, data = self._load(self._any_key())
        if data and store.lease_has_run_out():
            store.renew_lease()

    def replace_key(self, is_login: bool = False) -> None:
        key = self._any_key()
        store, data = self._load(key)
        if not data:
            return
        if is_login:
            store[USER] = "1"
            store.mark_authenticated()
        moves = not (key.is_signed_in or self._engine.keeps_public_id_at_login)
        with self._begun(key.retired) as retired:
            store.cycle_key()
            if (saved := self._saved(store, key)) is None:
                retired.is_void = True
                return
            if _public_id(store.session_key) == key.session.public_id:
                self._given(retired)
                session = key.session
            elif moves:
                session = self._known(store)
                session.saves = {name: Promise(0) for name in data if name != USER}
            else:
                retired.is_void = True
                key.retired.remove(retired)
                session = self._started_over(store, key)
            self._keep(session, *saved)
        if moves and len(key.retired) == 1 and not key.session.ends:
            session.base = key.session
        self._hand_out(store, session)

    # Ends

    def revoke(self) -> None:
        session = self._any_session()
        with self._begun(session.ends) as end:
            at_once = registry.revoke(session.public_id).at_once
            self._given(end)
            end.is_late = at_once is not True or end.is_restored
            client = self._scheduler.running
            if at_once is not True and client is not None and not client.has_missed:
                raise Broken(f"The cache has answered, and at_once is {at_once}.")

    def delete_queryset(self) -> None:
        """It finds out by itself which there are, and takes nothing back of what is gone."""
        session = self._any_session()
        with self._begun(session.ends) as end:
            end.is_void = not self._rows(session).delete()[0]

    def delete_instance(self) -> None:
        session = self._any_session()
        if row := self._rows(session).first():
            with self._begun(session.ends):
                row.delete()

    def log_out(self) -> None:
        key = self._any_key()
        store, data = self._load(key)
        if data:
            with self._begun(key.session.ends) as end:
                store.flush()
                end.is_void = not store.is_flushed

    # What happens to the cache

    def tick(self) -> None:
        self._time.tick()

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

    # Their parts

    def _load(self, key: Key, start: Start | None = None) -> tuple[Any, dict[str, Any]]:
        start = start or self._start()
        store = self._engine.store(key.session_key)
        data = dict(store.items())
        self._scheduler.tell(f"sees {', '.join(sorted(data)) or 'nothing'}")
        self.promises.check_load(key, start, data)
        return store, data

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

    def _refused(self, key: Key, name: str) -> None:
        self._scheduler.tell(f"is refused {name}")
        self.promises.check_refusal(key, name)

    def _keep(self, session: Known, name: str, saved: Promise) -> None:
        if self._engine.data_in_row or not saved.is_restored:
            session.saves[name] = saved

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
        return Known(_public_id(store.session_key), has_row=has_row)

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


def _public_id(session_key: str) -> Any:
    key = SplitKey.parse(session_key)
    assert key is not None
    return key.public_id
