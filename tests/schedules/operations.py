"""What clients do to sessions, each checked against what has been promised.

A store is loaded and saved as a request does it. What has ended for its client is left alone:
saving an unknown session starts another one, which belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.exceptions import CacheUnreachable, SessionGone
from tests.engines import Engine
from tests.schedules.bookkeeping import Bookkeeping
from tests.schedules.promises import USER, Broken, Promise
from tests.schedules.scheduler import Scheduler
from tests.schedules.timing import Time

#: How an operation is called in the trace to which the cache answers one time in four, or never.
CUT_OFF = ", cut off"
UNREACHABLE = ", unreachable"


class Operations(Bookkeeping):
    """The operations of one schedule."""

    def __init__(self, engine: Engine, scheduler: Scheduler, time: Time) -> None:
        super().__init__(engine, scheduler, time)
        self.by_name: dict[str, Callable[[], None]] = {
            "load": self.load,
            "load in a transaction": self.load_in_transaction,
            "save": self.save,
            "save twice": partial(self.save, times=2),
            "save, taken back": self.save_in_vain,
            "save in a transaction": self.save_in_transaction,
            "save again": self.save_again,
            "save again after a savepoint": self.save_after_savepoint,
            "renew": self.renew,
            "replace the key": self.replace_key,
            "replace the key again": partial(self.replace_key, rolls_back=True),
            "sign in": partial(self.replace_key, is_login=True),
            "sign in again": partial(self.replace_key, is_login=True, rolls_back=True),
            "sign in in a transaction": partial(self.replace_key, is_login=True, commits=True),
            "revoke": self.revoke,
            "delete a queryset": self.delete_queryset,
            "delete an instance": self.delete_instance,
            "log out": self.log_out,
            "time passes": time.tick,
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
                self.by_name[act]()
            except CacheUnreachable:
                # The client learns nothing. What it has begun may have been done or not.
                if not client.has_missed:
                    raise

    def finish(self) -> None:
        """Look at everything, now that nobody does anything any more."""
        end = self._start()
        for session in self.promises.sessions.values():
            row = self._read_row(session)
            self.promises.check_row(session, row.get_decoded() if row else None)
        for key in self.promises.keys:
            self._load(key)
        for session in self.promises.sessions.values():
            self.promises.check_cache(session, end, self._time.held(session.public_id))

    # Requests

    def load(self) -> None:
        self._load(self._any_key())

    def load_in_transaction(self) -> None:
        self._load_among_others(self._any_key())

    def save(self, times: int = 1) -> None:
        key = self._any_key()
        store, data = self._load(key)
        session = key.session
        for _ in range(times if data else 0):
            if (saved := self._saved(store, key)) is None:
                return
            if self._public_id(store.session_key) != session.public_id:
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

    def save_in_transaction(self) -> None:
        key = self._any_key()
        store, data = self._load(key)
        if data:
            self._keep_all(store, key, [], self._saved_and_committed(store, key))

    def save_again(self) -> None:
        """Save in a transaction that is rolled back, and once more after that."""
        key = self._any_key()
        store, data = self._load(key)
        if data and (names := self._saved_in_vain(store, key)):
            self._keep_all(store, key, names, self._saved(store, key))

    def save_after_savepoint(self) -> None:
        """Save after a savepoint in which that was rolled back."""
        key = self._any_key()
        with transaction.atomic():
            store, data = self._load(key)
            names = self._saved_in_vain(store, key) if data else []
            saved = self._saved(store, key) if names else None
        if saved is not None:
            self._given(saved[1])  # not before the commit
            self._keep_all(store, key, names, saved)

    def renew(self) -> None:
        store, data = self._load(self._any_key())
        if data and store.lease_has_run_out():
            store.renew_lease()

    def replace_key(
        self, is_login: bool = False, rolls_back: bool = False, commits: bool = False
    ) -> None:
        """Save under a new key: as it is, after a rollback, or in a transaction of its own."""
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
            names = self._saved_in_vain(store, key) if rolls_back else []
            save = self._saved_and_committed if commits else self._saved
            if (rolls_back and not names) or (saved := save(store, key)) is None:
                retired.is_void = True
                return
            if self._public_id(store.session_key) == key.session.public_id:
                self._given(retired)
                session = key.session
            elif moves:
                session = self._known(store)
                session.saves = {name: Promise(0) for name in data if name != USER}
            else:
                retired.is_void = True
                key.retired.remove(retired)
                session = self._started_over(store, key)
            for name in [*names, saved[0]]:
                self._keep(session, name, saved[1])
        if moves and len(key.retired) == 1 and not key.session.ends:
            session.base = key.session
        self._hand_out(store, session)

    # Ends

    def revoke(self) -> None:
        session = self._any_session()
        with self._begun(session.ends) as end:
            in_force = registry.revoke(session.public_id, owner=registry.ANY_OWNER).in_force
            self._given(end)
            self._revoked(end, in_force)

    def _revoked(self, end: Promise, in_force: InForce) -> None:
        """Compare what was promised of an end with what is known of the cache."""
        is_now = in_force is InForce.NOW
        end.is_late = not is_now or end.is_restored
        client = self._scheduler.running
        if not is_now and client is not None and not client.has_missed:
            raise Broken(f"The cache has answered, and the end is in force {in_force}.")

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
