"""Rules of more than one engine, to be switched off to see that the search misses them."""

from __future__ import annotations

import dataclasses
import re
import threading
import uuid
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from unittest import mock

from django.contrib.sessions.backends.base import CreateError
from django.db import transaction

from django_sessionkit import ending, recall
from django_sessionkit.copies import format as entries
from django_sessionkit.copies.format import Entry
from django_sessionkit.deletion import delete_unread
from django_sessionkit.events import InForce
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.races import again_after_races
from django_sessionkit.recall import Recall
from tests.engines import Engine
from tests.schedules import broken_caches
from tests.schedules.seams import Switch, everywhere, instead, together
from tests.schedules.stepping import rewriting

NOTHING_AUTHENTICATED = instead(entries, "_is_authentic", lambda *_: True)


class _Leaving(Recall):
    """Takes nothing back, and says that it has."""

    def schedule(self, using: str, added: Iterable[uuid.UUID] | None = None) -> None:
        self.in_force = InForce.NOW


def _end_after_drop(plan: ending._Plan) -> int:
    plan.recall.public_ids.update(plan.public_ids or ())
    plan.recall._act(plan.using)
    return delete_unread(plan.rows)


ENDS_LEAVE_COPIES = instead(ending, "Recall", _Leaving)
DROP_BEFORE_DELETE = instead(ending, "_end_unread", _end_after_drop)

#: But for the taking back of copies, which tells a transaction by itself.
NO_TRANSACTIONS_KNOWN = everywhere(recall.in_transaction, lambda using: False)
NOTHING_TOUCHED = everywhere(recall.is_touched, lambda *_: False)
SAVES_COPIED_BEFORE_COMMIT = together(NO_TRANSACTIONS_KNOWN, broken_caches.NO_FILLS_IN_TRANSACTIONS)


class _Unproven(bytes):
    """A hash that each secret is taken to be that of."""


def _unpack_unproven(raw: object, public_id: uuid.UUID) -> Entry:
    entry = entries.unpack(raw, public_id)
    return dataclasses.replace(entry, secret_hash=_Unproven(entry.secret_hash))


_proves = SplitKey.proves


def _proves_or_need_not(self: SplitKey, secret_hash: bytes | memoryview) -> bool:
    return isinstance(secret_hash, _Unproven) or _proves(self, secret_hash)


COPIES_CONFIRM_ANY_KEY = together(
    everywhere(entries.unpack, _unpack_unproven),
    instead(SplitKey, "proves", _proves_or_need_not),
)


def updated_without(column: str) -> Switch:
    """Update rows whether or not this column is as the condition of the UPDATE has it."""
    # The parameter stays, so that the others keep their places.
    condition = re.compile(rf"[\w.`\"]*[`\"]{column}[`\"] = ((?:_binary )?%s)")

    def careless(sql: str) -> str:
        if not sql.startswith("UPDATE "):
            return sql
        changes, where, conditions = sql.rpartition(" WHERE ")
        return changes + where + condition.sub(r"\1 IS NOT NULL", conditions)

    return rewriting(careless)


def inserted_again(engine: Engine) -> Switch:
    """Let a save whose session has gone insert it, under the same key."""
    store_class: Any = import_module(engine.path).SessionStore
    save = store_class.save

    def save_or_insert(self: Any, must_create: bool = False) -> None:
        try:
            save(self, must_create)
        except SessionGone as error:
            again = store_class()
            again._held.start(self._held.record.key)
            again._session_key, again._session_cache = self._session_key, dict(self.items())
            try:
                save(again)
            except CreateError:
                raise error from None  # there is a row, with another secret

    return lambda: mock.patch.object(store_class, "save", save_or_insert)


NOTHING_MERGED = everywhere(merge, lambda base, mine, theirs, dumps: dict(mine))


class _Loading(threading.local):
    is_on = False


def loaded_unproven(engine: Engine) -> Switch:
    """Let a load take any secret for that of the row."""
    store_class: Any = import_module(engine.path).SessionStore
    load, loading = store_class.load, _Loading()

    def load_unproven(self: Any) -> dict[str, Any]:
        loading.is_on = True
        try:
            data: dict[str, Any] = load(self)
        finally:
            loading.is_on = False
        return data

    def proves(self: SplitKey, secret_hash: bytes | memoryview) -> bool:
        return loading.is_on or _proves(self, secret_hash)

    return together(
        instead(store_class, "load", load_unproven), instead(SplitKey, "proves", proves)
    )


def _commit_now(act: Callable[[], object], using: str | None = None, robust: bool = False) -> None:
    act()


#: What is to happen after a commit happens before, so that everything looks committed.
ROLLBACKS_UNNOTICED = together(
    instead(transaction, "on_commit", _commit_now),
    everywhere(recall.first_after_commit, lambda act, using: act()),
)


def _give_up(act: Callable[[], object], using: str) -> None:
    raise SessionGone("Others were faster three times.")


#: A save goes on by what is made again after races; so does an end, of which crowds know none.
NO_FOURTH_TRY = everywhere(again_after_races, _give_up)
