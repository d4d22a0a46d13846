"""The rules of ``cached_db``, each switched off alone."""

from __future__ import annotations

from collections.abc import Mapping

from tests.schedules import broken_caches, broken_scripts, switches
from tests.schedules.broken_scripts import NEW_LEASE, OLDER, SAME_KEY, replace
from tests.schedules.engines import CACHED_DB
from tests.schedules.seams import Switch

RULES: Mapping[str, Switch] = {
    "a fill needs its ticket": broken_scripts.FILL_WITHOUT_TICKET,
    "a ticket is taken before the row is read": broken_caches.LATE_TICKETS,
    "a save takes tickets away": replace(ticket=""),
    "a save replaces no newer copy": replace(older="true"),
    "a save creates no copy": replace(
        absent=f"return redis.call('SET', KEYS[1], ARGV[1], {NEW_LEASE})"
    ),
    "a save replaces the copy": broken_caches.NOTHING_REPLACED,
    "a save waits for the commit": switches.SAVES_COPIED_BEFORE_COMMIT,
    "a load in a transaction fills nothing": broken_caches.TICKETS_ANYWHERE,
    "a transaction does not believe copies of what it has changed": switches.NOTHING_TOUCHED,
    "an end takes the copy back": switches.ENDS_LEAVE_COPIES,
    "the copy is taken back after the row": switches.DROP_BEFORE_DELETE,
    "a new key replaces the copy": replace(older=f"{OLDER} and {SAME_KEY}"),
    "a copy confirms its own secret alone": switches.COPIES_CONFIRM_ANY_KEY,
    "a copy is authentic": switches.NOTHING_AUTHENTICATED,
    # That it names the secret too is a second lock: a new secret is a new version.
    "an UPDATE names the version": switches.updated_without("version"),
    "a save inserts nothing": switches.inserted_again(CACHED_DB),
}
#: Seen only a lease later, where copies outlive their session.
LEASE_RULES: Mapping[str, Switch] = {
    "a fill keeps the lease of its ticket": broken_scripts.FILL_WITH_NEW_LEASE,
    "a save keeps the lease of the copy": replace(life=NEW_LEASE),
}
#: Seen where transactions are rolled back.
ROLLBACK_RULES: Mapping[str, Switch] = {
    "what was rolled back is saved again": switches.ROLLBACKS_UNNOTICED,
    "nothing goes into the cache from within a transaction": switches.NO_TRANSACTIONS_KNOWN,
}
#: The parts that are open above, as they must be.
UNBROKEN = (broken_scripts.fill(), replace())
