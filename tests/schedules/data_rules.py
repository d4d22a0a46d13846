"""The rules of ``cache``, each switched off alone.

Whether data are deleted before or after their row is no matter here: nothing creates them again,
so that whoever has read the row finds nothing that it could vouch for.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.schedules import broken_caches, broken_scripts, switches
from tests.schedules.broken_scripts import MOVED, RETIRES, swap
from tests.schedules.seams import LEASE_MS, Switch

RULES: Mapping[str, Switch] = {
    "a save compares stamps": swap(moved="false"),
    "a save creates no data": swap(absent=""),
    "a voucher needs its ticket": broken_scripts.FILL_WITHOUT_TICKET,
    "a ticket is taken before the row is read": broken_caches.LATE_TICKETS,
    "a login retires the data that it knows": swap(moved=f"not ({RETIRES}) and {MOVED}"),
    "a login retires the visitor's data": swap(ignored=RETIRES),
    "an end takes data and voucher back": switches.ENDS_LEAVE_COPIES,
    "a new key is put into the data": broken_caches.KEYS_LEFT_IN_DATA,
    "an UPDATE names the secret": switches.updated_without("secret_hash"),
}
#: Seen only a lease later, where data outlive their session.
LEASE_RULES: Mapping[str, Switch] = {
    "a voucher keeps the lease of its ticket": broken_scripts.FILL_WITH_NEW_LEASE,
    "a save creates no voucher": broken_caches.vouching_swaps(),
    "a save prolongs no voucher": swap(voucher=f"redis.call('PEXPIRE', KEYS[2], {LEASE_MS})"),
    "a voucher is authentic": switches.NOTHING_AUTHENTICATED,
}
#: The parts that are open above, as they must be.
UNBROKEN = (broken_scripts.fill(), swap())
