"""Faults in the repositories that sessions lie in."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Rows
    Mutant(
        name="a write names the row by its id alone, not by the secret that was loaded",
        file="storage/columns.py",
        old='return {"id": pk, "secret_hash": secret_hash}',
        new='return {"id": pk}',
        tests=("tests/test_key_replacement.py",),
    ),
    Mutant(
        name="each of several requests side by side writes the renewal of the lease",
        file="storage/rows.py",
        old='was = {**identity(record), "last_seen_at__lte": due}',
        new="was = identity(record)",
        tests=("tests/test_lease.py",),
    ),
    Mutant(
        name="a save overwrites whatever version other requests have saved meanwhile",
        file="storage/rows.py",
        old='self.model, {**identity(base), "version": version}, written, using',
        new="self.model, identity(base), written, using",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="after a rollback, a version that another request has written is taken for the own",
        file="storage/rows.py",
        old='is_as_written = (theirs.columns["version"], theirs.columns["data"]) == ours',
        new='is_as_written = theirs.columns["version"] == ours[0]',
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="after a rollback that took the new key back, the session is taken for gone",
        file="storage/rows.py",
        old="theirs = self._reread(self.rows(), base, before)",
        new="theirs = self._reread(self.rows(), base)",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="a key that no browser holds becomes the mark of the key before",
        file="storage/columns.py",
        old="    if not base.is_own_key:\n",
        new="    if base.key:\n",
        tests=("tests/test_replacement_corners.py", "tests/test_key_replacement.py"),
    ),
    Mutant(
        name="a save after a change of the key forgets that no browser holds the key yet",
        file="storage/rows.py",
        old="written, is_own_key = changes, base.is_own_key",
        new="written, is_own_key = changes, False",
        tests=("tests/test_replacement_corners.py",),
    ),
    Mutant(
        name="a save writes each column, be it as it was",
        file="storage/columns.py",
        old="if not (name in base and base[name] == value)",
        new="if name",
        tests=("tests/conformance/test_queries.py",),
    ),
    Mutant(
        name="a column that was not read is taken for empty, and not emptied",
        file="storage/columns.py",
        old="if not (name in base and base[name] == value)",
        new="if base.get(name) != value",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="error pages and logs show the columns of a row, its hash and its data",
        file="storage/records.py",
        old="""return f"<columns {', '.join(self)}>\"""",
        new="return super().__repr__()",
        tests=("tests/test_leaks.py",),
    ),
    Mutant(
        name="error pages and logs show the record of a session",
        file="storage/records.py",
        old='return f"<session {self.key}>"',
        new="return tuple.__repr__(self)",
        tests=("tests/test_leaks.py",),
    ),
    Mutant(
        name="what a view changes of the data that were read is taken for what was read",
        file="storage/row_queries.py",
        old="data, self._once = self._once, None",
        new="data = self._once",
        tests=("tests/test_interleavings.py",),
    ),
    # Rows with copies
    Mutant(
        name="a save within a transaction puts its copy into the cache before the commit",
        file="storage/cached_rows.py",
        old="        if in_transaction(using):\n            Recall(",
        new="        if not conf.lease:\n            Recall(",
        tests=("tests/test_late_copies.py::test_what_is_rolled_back_was_never_in_the_cache",),
    ),
    Mutant(
        name="a save leaves the copy of before in the cache, so that its session is read on",
        file="storage/cached_rows.py",
        old="self._copies().replace(record.public_id, copy)",
        new="pass",
        tests=("tests/conformance/test_overlaps.py",),
    ),
    Mutant(
        name="a copy that a save has found to be wrong is believed on",
        file="storage/cached_rows.py",
        old="Recall([base.public_id], self).schedule(self.using)",
        new="pass",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="a copy is believed although its session has reached its end",
        file="storage/cached_rows.py",
        old="if not key.proves(entry.secret_hash) or entry.expire_date <= timezone.now():",
        new="if not key.proves(entry.secret_hash):",
        tests=("tests/conformance/test_expiry.py",),
    ),
    Mutant(
        name="what a transaction reads from its snapshot is put into the cache",
        file="storage/cached.py",
        old="return bool(lease) and not in_transaction(using)",
        new="return bool(lease)",
        tests=(
            "tests/test_late_copies.py::test_a_view_within_a_transaction_leaves_a_copy_all_the_same",
        ),
    ),
    Mutant(
        name="a session that was read within a transaction is never copied",
        file="storage/cached_rows.py",
        old="freshness = Freshness.REVALIDATED if fills else Freshness.OWES_FILL",
        new="freshness = Freshness.REVALIDATED",
        tests=(
            "tests/test_late_copies.py::test_a_view_within_a_transaction_leaves_a_copy_all_the_same",
        ),
    ),
    Mutant(
        name="with copies in a cache, a save after a rollback asks no row",
        file="storage/cached_rows.py",
        old="recovered = self._rows.recover(base, before, coder, inserted=inserted)",
        new="recovered = base",
        tests=("tests/test_interleavings.py",),
    ),
    # Data in a cache
    Mutant(
        name="data are believed whose user is not that of the row",
        file="storage/vouchers.py",
        old="if entry.user != owner:",
        new="if entry.user and not owner:",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="data that were read within a transaction are never vouched for",
        file="storage/vouchers.py",
        old="is_owed = not fills and bool(conf.lease)",
        new="is_owed = False",
        tests=("tests/test_late_copies.py", "tests/test_cached_corners.py"),
    ),
    Mutant(
        name="a save within a transaction forgets the voucher that it owes",
        file="storage/cache_data.py",
        old="is_own_key=is_own_key, freshness=base.freshness)",
        new="is_own_key=is_own_key)",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="the row of a login that was rolled back is not inserted again",
        file="storage/rows.py",
        old="if in_transaction(self.using) or self.this(base).exists():",
        new="if base.has_row:",
        tests=("tests/test_rollbacks.py",),
    ),
    Mutant(
        name="what a view changes of a session in a cache is taken for what was read",
        file="storage/records.py",
        old="data, self.data = self.data, None",
        new="data = self.data",
        tests=("tests/test_interleavings.py",),
    ),
    # Data apart from the row
    Mutant(
        name="an end that was moved far stays in the row as it was until the lease ends",
        file="storage/apart.py",
        old="is_late = is_due or abs(end - base.end) > tolerance(end)",
        new="is_late = is_due",
        tests=("tests/cookies/test_lease.py", "tests/test_cached_corners.py"),
    ),
    Mutant(
        name="within the lease a save leaves the user of the row as it was",
        file="storage/apart.py",
        old='if not (at_once or is_late or changes.keys() - LATER - {"expire_date"}):',
        new="if not (at_once or is_late):",
        tests=("tests/conformance/test_owner.py", "tests/conformance/test_cycling.py"),
    ),
    Mutant(
        name="each save within the lease writes the row",
        file="storage/apart.py",
        old='if not (at_once or is_late or changes.keys() - LATER - {"expire_date"}):',
        new="if not changes:",
        tests=("tests/conformance/test_queries.py", "tests/cookies/test_lease.py"),
    ),
)
