"""The rules of ``cache``, each switched off alone.

Whether data are deleted before or after their row is no matter here: nothing creates them again,
so that whoever has read the row finds nothing that it could vouch for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.utils import timezone

from django_sessionkit.backends.cache import SessionStore
from django_sessionkit.backends.data import DataStore
from django_sessionkit.backends.replaced import RETIRED_FOR
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.copies.format import STAMP, Entry, Kind, new_stamp, pack_voucher
from django_sessionkit.copies.slots import voucher_key
from django_sessionkit.keys import SplitKey
from tests.schedules import broken_scripts, switches
from tests.schedules.broken_scripts import swap
from tests.schedules.switches import LEASE_MS, Switch, instead


def find_before_ticket(self: SessionStore, key: SplitKey) -> AbstractSession | None:
    """Take the ticket after the row was read, of which another read then makes a voucher."""
    read = self._data.read(key.public_id, wants_ticket=False)
    row = self._found(read, key, False)
    if row is not None and row.entry is not None and not self._is_leased:
        late = self._data.read(key.public_id)
        if late.ticket is not None:
            voucher = pack_voucher(row.entry, key.public_id, row.expire_date, row.pk)
            self._data.vouch(key.public_id, late.ticket, voucher)
    return row


_real_swap = SessionStore._swap


def swap_and_vouch(
    self: SessionStore, base: AbstractSession, data: dict[str, Any], *, unvouch: bool = False
) -> AbstractSession | None:
    """Save, and vouch for the row without having asked it."""
    theirs = _real_swap(self, base, data, unvouch=unvouch)
    row = self._row
    if theirs is None and row is not None and row.entry.kind is Kind.DATA:
        voucher = pack_voucher(row.entry, row.public_id, row.expire_date, row.pk)
        cache: Any = caches[settings.SESSION_CACHE_ALIAS]
        name = cache.make_key(voucher_key(row.public_id))
        cache.client.get_client().set(name, voucher, px=LEASE_MS)
    return theirs


def retire_anyway(self: SessionStore, old: AbstractSession, data: dict[str, Any]) -> None:
    """Retire the visitor's data, whatever they have become."""
    raw = self._data.read(old.public_id, wants_ticket=False).raw
    if raw is not None:
        expire_date = timezone.now() + RETIRED_FOR
        retired = Entry(Kind.RETIRED, new_stamp(), expire_date, old.entry.secret_hash)
        self._swap_entry(old.public_id, STAMP.unpack(raw[2:10])[0], retired)


_real_enter = SessionStore._enter


def enter_with_old_secret(self: SessionStore, row: AbstractSession, data: dict[str, Any]) -> None:
    before: Entry | None = row.entry
    _real_enter(self, row, data)
    if self.has_new_key and before is not None and before.kind is Kind.DATA:
        row.entry = dataclasses.replace(row.entry, secret_hash=before.secret_hash)


RULES: Mapping[str, Switch] = {
    "a save compares stamps": swap(moved="false"),
    "a save creates no data": swap(absent=""),
    "a voucher needs its ticket": broken_scripts.FILL_WITHOUT_TICKET,
    "a ticket is taken before the row is read": instead(DataStore, "_find", find_before_ticket),
    "a login retires the data that it knows": instead(SessionStore, "_take_over", retire_anyway),
    "a login retires the visitor's data": instead(SessionStore, "_take_over", lambda *_: None),
    "an end takes data and voucher back": switches.ENDS_LEAVE_COPIES,
    "a new key is put into the data": instead(SessionStore, "_enter", enter_with_old_secret),
    "an UPDATE names the secret": switches.written_without("secret_hash"),
}
#: Seen only a lease later, where data outlive their session.
LEASE_RULES: Mapping[str, Switch] = {
    "a voucher keeps the lease of its ticket": broken_scripts.FILL_WITH_NEW_LEASE,
    "a save creates no voucher": instead(SessionStore, "_swap", swap_and_vouch),
    "a save prolongs no voucher": swap(voucher=f"redis.call('PEXPIRE', KEYS[2], {LEASE_MS})"),
    "a voucher is authentic": switches.NOTHING_AUTHENTICATED,
}
#: The parts that are open above, as they must be.
UNBROKEN = (broken_scripts.fill(), swap())
