"""What N active sessions cost: writes, WAL, table, clean-up and cache, by lease and share online.

    python benchmarks/model.py --active 10000000

The model is arithmetic on a few costs that were measured once on PostgreSQL; model_check.py
measures them anew and holds the model against a real run. All amounts are a mean over time.
"""
# ruff: noqa: T201 - a report

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

DAY = 86400
PAGE = 8192


@dataclass(frozen=True)
class Costs:
    """What was measured, in bytes unless it says otherwise."""

    table_row: float
    index_row: float
    #: WAL of a renewal in place.
    wal_renewal: float
    #: WAL of a page that is written whole: changed for the first time since a checkpoint.
    wal_page: float
    #: A session's copy in Redis, with its key.
    cached: float
    #: Expired rows that a clean-up removes in a second.
    cleanup_rate: float


@dataclass(frozen=True)
class Site:
    """A site: how many sessions are active, and how they are used."""

    active: int
    #: Sessions in use at the same moment: those that go on asking.
    online: int
    #: SESSIONKIT_LEASE, seconds.
    lease: float
    #: Mean time between two requests of a session in use, seconds.
    gap: float = 0.0
    #: Sessions that end, and as many that begin, in a day.
    ended_a_day: float = 0.0
    #: PostgreSQL's checkpoint_timeout, seconds.
    checkpoint: float = 300.0


@dataclass(frozen=True)
class Forecast:
    """What a site costs."""

    renewals: float  # a second
    wal: float  # bytes a second
    table: float  # bytes
    indexes: float  # bytes
    cleanup: float  # seconds a day
    cache: float  # bytes


def forecast(costs: Costs, site: Site) -> Forecast:
    """Return the costs of a site whose pages have room for a row, so that it is renewed in place.

    A renewal comes with the first request after a lease: once in lease + gap, never more often
    than once a lease. Sessions in use lie anywhere in the table.
    """
    renewals = site.online / (site.lease + site.gap)
    # Each page is written whole once between two checkpoints, however many renewals it sees.
    pages = max(site.active * costs.table_row / PAGE, 1)
    renewed = site.online * min(1.0, site.checkpoint / (site.lease + site.gap))
    touched = pages * -math.expm1(-renewed / pages)
    return Forecast(
        renewals=renewals,
        wal=renewals * costs.wal_renewal + touched / site.checkpoint * costs.wal_page,
        table=site.active * costs.table_row,
        indexes=site.active * costs.index_row,
        cleanup=site.ended_a_day / costs.cleanup_rate,
        # A copy dies with its lease; the next request makes another.
        cache=site.online * site.lease / (site.lease + site.gap) * costs.cached,
    )


#: PostgreSQL 15 (fillfactor 90), Redis 7, sessions of users who have signed in.
MEASURED = Costs(
    table_row=546, index_row=182, wal_renewal=186, wal_page=7700, cached=438, cleanup_rate=300_000
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--active", type=int, default=10_000_000)
    parser.add_argument("--days", type=float, default=14, help="how long a session lives")
    parser.add_argument("--gap", type=float, default=20, help="seconds between its requests")
    options = parser.parse_args()
    row = "{:>8}{:>8}{:>14}{:>11}{:>11}".format
    print(f"{options.active:,} active sessions, a request every {options.gap:g} s of those in use")
    print(row("online", "lease", "renewals/s", "WAL MB/s", "cache MB"))
    for share in (0.005, 0.02, 0.1):
        for lease in (60, 300):
            online = round(options.active * share)
            ended = options.active / options.days
            site = Site(options.active, online, lease, options.gap, ended)
            told = forecast(MEASURED, site)
            print(
                row(
                    f"{share:.1%}",
                    f"{lease} s",
                    f"{told.renewals:,.0f}",
                    f"{told.wal / 1e6:.1f}",
                    f"{told.cache / 1e6:,.0f}",
                )
            )
    print(
        f"table {told.table / 1e9:.1f} GB, indexes {told.indexes / 1e9:.1f} GB; "
        f"clean-up {told.cleanup:.1f} s a day"
    )


if __name__ == "__main__":
    main()
