"""In which schedule it was seen last that a rule was missing: it is run first.

After a change of what clients do, that schedule may show nothing any more. All are then run from
the first on, as if nothing stood here; what the test prints (pytest -rP) tells the new one.
"""

from __future__ import annotations

from collections.abc import Mapping

SEEDS: Mapping[str, int] = {
    "cache-a new key is put into the data": 256,
    "cache-a save creates no data": 28,
    "cache-a save creates no voucher": 22,
    "cache-a save prolongs no voucher": 96,
    "cache-a ticket is taken before the row is read": 447,
    "cache-a voucher is authentic": 21,
    "cache-a voucher keeps the lease of its ticket": 696,
    "cache-a voucher needs its ticket": 169,
    "cache-an UPDATE names the secret": 46,
    "cached_db-a copy is authentic": 1039,
    "cached_db-a fill keeps the lease of its ticket": 696,
    "cached_db-a fill needs its ticket": 82,
    "cached_db-a load in a transaction fills nothing": 421,
    "cached_db-a save creates no copy": 47,
    "cached_db-a save keeps the lease of the copy": 578,
    "cached_db-a save replaces no newer copy": 147,
    "cached_db-a save takes tickets away": 383,
    "cached_db-a save waits for the commit": 24,
    "cached_db-a ticket is taken before the row is read": 82,
    "cached_db-a transaction does not believe copies of what it has changed": 24,
    "cached_db-an UPDATE names the version": 22,
    "cached_db-the copy is taken back after the row": 78,
    "signed_cookies-a check counts from before the row is asked": 71,
    "signed_cookies-a check in a transaction is made again": 45,
    "signed_cookies-no save moves the time of the last check": 53,
}
