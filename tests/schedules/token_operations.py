"""What clients do to sessions that lie in tokens, which they hold themselves."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django_sessionkit.events import InForce
from tests.engines import Engine
from tests.schedules.clock import MOMENT, Clock
from tests.schedules.operations import Operations
from tests.schedules.promises import USER, Known, Promise
from tests.schedules.scheduler import Scheduler
from tests.schedules.timing import UNITS
from tests.schedules.token_promises import Token, TokenPromises

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TokenOperations(Operations):
    """The operations of one schedule, with tokens."""

    promises: TokenPromises
    _time: Clock

    def __init__(self, engine: Engine, scheduler: Scheduler, time: Clock) -> None:
        super().__init__(engine, scheduler, time)
        self.promises = TokenPromises(data_in_row=False)
        self._users = 1
        self.by_name |= {
            "a moment passes": partial(time.tick, MOMENT),
            "change the user": self.change_user,
            "change the user again": partial(self.change_user, rolls_back=True),
            "save after a load in a transaction": self.save_after_load_in_transaction,
        }

    def begin(self, *, is_signed_in: bool, is_copied: bool) -> None:
        store = self._engine.store()
        store["start"] = 1
        if is_signed_in:
            store[USER] = "1"
        store.save()
        self._hand_out_token(store, self._known(store), frozenset({"start"}), None)
        if is_copied:
            self.load()

    def finish(self) -> None:
        for session in self.promises.sessions.values():
            self.promises.check_force(session, self._read_row(session))
        for passes in (0, UNITS - 1, 1):
            self._time.tick(passes)
            for token in self.promises.keys:
                self._load(token)

    # Requests

    def save(self, times: int = 1) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if data:
            self._save(store, token, times)

    def save_in_transaction(self) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if data and (saved := self._saved_and_committed(store, token)):
            self._go_on(store, token, saved[0])

    def save_again(self) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if data and (names := self._saved_in_vain(store, token)):
            self._save(store, token, 1, *names)

    def save_after_load_in_transaction(self) -> None:
        token = self._any_token()
        store, data = self._load_among_others(token)
        if data:
            self._save(store, token, 1)

    def renew(self) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if data and store.lease_has_run_out() and store.renew_lease():
            self._hand_out_token(store, token.session, token.names, token)

    def replace_key(
        self, is_login: bool = False, rolls_back: bool = False, commits: bool = False
    ) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if not data:
            return
        if is_login:
            store[USER] = token.user or "1"
            store.mark_authenticated()
        # A visitor's goes on beside the one of the login: no row tells that it was replaced.
        tokens = self.promises.tokens_of(token.session, token.secret, lambda user: True)
        replaced = Promise()
        if token.user is not None:
            self.promises.retiring(tokens, replaced)
        store.cycle_key()
        self._replace(store, token, replaced, rolls_back, commits)

    def change_user(self, rolls_back: bool = False) -> None:
        """Let somebody else go on with the session, under the same key."""
        token = self._any_token()
        store, data = self._load(token)
        if not data or token.user is None:
            return
        self._users += 1
        store[USER] = user = str(self._users)
        changed = Promise()
        tokens = self.promises.tokens_of(token.session, token.secret, lambda was: was != user)
        self.promises.retiring(tokens, changed)
        self._replace(store, token, changed, rolls_back)

    def log_out(self) -> None:
        token = self._any_token()
        store, data = self._load(token)
        if not data or not token.session.has_row:
            return
        end = Promise()
        token.session.ends.append(end)
        store.flush()
        # Whose token was replaced ends nothing, and can't tell.
        if not token.retired:
            self._given(end)

    # Their parts

    def _replace(
        self, store: Any, token: Token, replaced: Promise, rolls_back: bool, commits: bool = False
    ) -> None:
        """Save what retires others, unless that is refused."""
        names = self._saved_in_vain(store, token) if rolls_back else []
        save = self._saved_and_committed if commits else self._saved
        saved = None if rolls_back and not names else save(store, token)
        if saved is None:
            self.promises.not_retired(replaced)
            return
        session = token.session
        if self._public_id(store.session_key) == session.public_id:
            self._given(replaced)
        else:
            self.promises.not_retired(replaced)
            is_first_login = token.user is None
            session = self._known(store) if is_first_login else self._started_over(store, token)
        held = token.names | {*names, saved[0]}
        self._hand_out_token(store, session, held, token, replaced)

    def _save(self, store: Any, token: Token, times: int, *names: str) -> None:
        """Save so many times; ``names`` were saved before, and that was rolled back."""
        held = {*names}
        for _ in range(times):
            if (saved := self._saved(store, token)) is None:
                return
            held.add(saved[0])
        self._go_on(store, token, *held)

    def _go_on(self, store: Any, token: Token, *names: str) -> None:
        """Hold the token that was saved, with these names in it."""
        session = token.session
        if self._public_id(store.session_key) != session.public_id:
            session = self._started_over(store, token)
        self._hand_out_token(store, session, token.names | {*names}, token)

    def _hand_out_token(
        self,
        store: Any,
        session: Known,
        names: frozenset[str],
        parent: Token | None,
        own: Promise | None = None,
    ) -> None:
        key = self._engine.split_key(store.session_key)
        assert key is not None
        token = Token(
            store.session_key,
            session,
            is_signed_in=USER in store,
            user=store.get(USER),
            secret=key.secret if session.has_row else b"",
            names=names,
        )
        checked = claims_of(store.session_key).get("checked")
        if checked:
            checked = self._units(EPOCH + timedelta(microseconds=checked))
        self._scheduler.tell(f"holds a token checked at {checked}")
        self.promises.hand_out_token(token, parent, own)

    def _revoked(self, end: Promise, in_force: InForce) -> None:
        """Whatever is said of it, nobody can take a token back."""

    def _given(self, promise: Promise) -> None:
        super()._given(promise)
        promise.is_late = True

    def _any_token(self) -> Token:
        return self._scheduler.random.choice(self.promises.keys)


def claims_of(token: str) -> dict[str, Any]:
    """Return what a JWT says (RFC 7519), whoever has signed it."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims
