"""The rules of ``cached_db``, each switched off alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from django.contrib.sessions.backends.base import CreateError

from django_sessionkit.backends import rows, saving
from django_sessionkit.backends.cached_db import SessionStore
from django_sessionkit.backends.copied import CopiedStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.copies.format import Entry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from tests.schedules import broken_scripts, switches
from tests.schedules.broken_scripts import NEW_LEASE, replace
from tests.schedules.switches import Switch, instead


def find_before_ticket(self: SessionStore, key: SplitKey) -> AbstractSession | None:
    self._is_leased = self._owes_copy = False
    if not self._may_believe(key) or not self._may_fill():
        return rows.RowStore._find(self, key)
    row, _ = self._fetch(key, False)
    if row is not None:
        self._is_leased = True
        return row
    row = rows.RowStore._find(self, key)
    _, ticket = self._fetch(key, True)
    if row is not None and ticket is not None:
        self._copies.fill(key.public_id, ticket, self._copy_of(row, self._decoded(row)))
    return row


def replace_before_commit(
    self: SessionStore, row: AbstractSession, data: dict[str, Any], using: str
) -> None:
    self._copies.replace(row.public_id, self._copy_of(row, data))


_row_of = SessionStore._row_of


def row_of_any_secret(self: SessionStore, entry: Entry, key: SplitKey) -> AbstractSession | None:
    return _row_of(self, dataclasses.replace(entry, secret_hash=key.secret_hash), key)


_update = saving.MergingStore._update


def update_or_insert(self: saving.MergingStore, data: dict[str, Any]) -> None:
    try:
        _update(self, data)
    except SessionGone as error:
        self._remember(None)
        try:
            self._insert(data)
        except CreateError:
            raise error from None  # there is a row, with another secret


_has_written = SessionStore._has_written


def keep_copy_of_old_key(
    self: SessionStore, row: AbstractSession, data: dict[str, Any], using: str
) -> None:
    if not self.has_new_key:
        _has_written(self, row, data, using)


RULES: Mapping[str, Switch] = {
    "a fill needs its ticket": broken_scripts.FILL_WITHOUT_TICKET,
    "a ticket is taken before the row is read": instead(SessionStore, "_find", find_before_ticket),
    "a save takes tickets away": replace(ticket=""),
    "a save replaces no newer copy": replace(older="true"),
    "a save creates no copy": replace(
        absent=f"return redis.call('SET', KEYS[1], ARGV[1], {NEW_LEASE})"
    ),
    "a save replaces the copy": instead(SessionStore, "_has_written", lambda *_: None),
    "a save waits for the commit": instead(SessionStore, "_has_written", replace_before_commit),
    "a load in a transaction fills nothing": instead(CopiedStore, "_may_fill", lambda _: True),
    "a transaction does not believe copies of what it has changed": instead(
        CopiedStore, "_may_believe", lambda *_: True
    ),
    "an end takes the copy back": switches.ENDS_LEAVE_COPIES,
    "the copy is taken back after the row": switches.DROP_BEFORE_DELETE,
    "a new key replaces the copy": instead(SessionStore, "_has_written", keep_copy_of_old_key),
    "a copy confirms its own secret alone": instead(SessionStore, "_row_of", row_of_any_secret),
    "a copy is authentic": switches.NOTHING_AUTHENTICATED,
    # That it names the secret too is a second lock: a new secret is a new version.
    "an UPDATE names the version": switches.written_without("version"),
    "a save inserts nothing": instead(saving.MergingStore, "_update", update_or_insert),
}
#: Seen only a lease later, where copies outlive their session.
LEASE_RULES: Mapping[str, Switch] = {
    "a fill keeps the lease of its ticket": broken_scripts.FILL_WITH_NEW_LEASE,
    "a save keeps the lease of the copy": replace(life=NEW_LEASE),
}
#: The parts that are open above, as they must be.
UNBROKEN = (broken_scripts.fill(), replace())
