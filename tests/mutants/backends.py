"""Faults in the stores, and in the merge."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="a write names the row by its id alone, not by the secret that was loaded",
        file="backends/rows.py",
        old='return {"id": row.pk, "secret_hash": row.secret_hash}',
        new='return {"id": row.pk}',
        tests=("tests/test_key_replacement.py",),
    ),
    Mutant(
        name="each of several requests side by side writes the renewal of the lease",
        file="backends/rows.py",
        old='was = {**self._identity(row), "last_seen_at__lte": now - _lease()}',
        new="was = self._identity(row)",
        tests=("tests/test_lease.py",),
    ),
    Mutant(
        name="a save overwrites whatever version other requests have saved meanwhile",
        file="backends/saving.py",
        old='was = {**self._identity(base), "version": base.version}',
        new="was = self._identity(base)",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="the save after a rollback takes what was rolled back for saved",
        file="backends/saving.py",
        old="self._before_transaction = self._before_transaction or base",
        new="self._before_transaction = None",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="of a key that two requests have changed, the earlier save wins",
        file="merge.py",
        old="            merged[key] = mine[key]",
        new="            merged.setdefault(key, mine[key])",
        tests=("tests/test_merge.py",),
    ),
    Mutant(
        name="a save is merged into a session in which somebody else has signed in meanwhile",
        file="backends/tracked.py",
        old="if _auth(before) != _auth(after):",
        new="if not (before or after):",
        tests=("tests/conformance/test_overlaps.py",),
    ),
    Mutant(
        name="acycle_key() is Django's, which starts a session without owner and client",
        file="backends/tracked.py",
        old="""
    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()
""",
        new="",
        tests=("tests/conformance/test_cycling.py",),
    ),
    Mutant(
        name="a save within a transaction puts its copy into the cache before the commit",
        file="backends/cached_db.py",
        old="        if in_transaction(using):\n            Recall(",
        new="        if not conf.lease:\n            Recall(",
        tests=("tests/test_late_copies.py::test_what_is_rolled_back_was_never_in_the_cache",),
    ),
    Mutant(
        name="a save leaves the copy of before in the cache, so that its session is read on",
        file="backends/cached_db.py",
        old="self._copies.replace(row.public_id, self._copy_of(row, data))",
        new="pass",
        tests=("tests/conformance/test_overlaps.py",),
    ),
    Mutant(
        name="a copy that a save has found to be wrong is believed on",
        file="backends/cached_db.py",
        old="Recall([row.public_id], type(self)).schedule(self._using)",
        new="pass",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="a copy is believed although its session has reached its end",
        file="backends/cached_db.py",
        old="if not key.proves(entry.secret_hash) or entry.expire_date <= timezone.now():",
        new="if not key.proves(entry.secret_hash):",
        tests=("tests/conformance/test_expiry.py",),
    ),
    Mutant(
        name="what a transaction reads from its snapshot is put into the cache",
        file="backends/copied.py",
        old="return bool(conf.lease) and not in_transaction(self._using)",
        new="return bool(conf.lease)",
        tests=(
            "tests/test_late_copies.py::test_a_view_within_a_transaction_leaves_a_copy_all_the_same",
        ),
    ),
    Mutant(
        name="data are believed whose user is not that of the row",
        file="backends/data.py",
        old="if entry.user != _user_of(row):",
        new="if entry.user and row.user_id is None:",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="a login retires the visitor's session before its transaction commits",
        file="backends/cache.py",
        old="after_commit(partial(self._retire, data), using)",
        new="self._retire(data)",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="a cookie is believed whose last check lies in the future",
        file="backends/presented.py",
        old="return content.checked_at <= now() < content",
        new="return now() < content",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a cookie that holds the data of one user opens the row of another",
        file="backends/presented.py",
        old="if row.user_id != self._user_id:",
        new="if row.user_id is None:",
        tests=("tests/cookies/test_tampering.py",),
    ),
    Mutant(
        name="a save prolongs the lease of the cookie without asking the row",
        file="backends/cookie.py",
        old="checked_at=self._checked_at,",
        new="checked_at=now(),",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a visitor's cookie, which no row backs, may hold a signed-in user",
        file="backends/contents.py",
        old="if not str(key).startswith(AUTH)}",
        new="if key}",
        tests=("tests/cookies/test_visitors.py", "tests/cookies/test_tampering.py"),
    ),
    Mutant(
        name="exp is the end of the session, not of the lease, for those who verify offline",
        file="backends/contents.py",
        old="end = min(end, self.checked_at // 1_000_000 + lease)",
        new="end = max(end, self.checked_at // 1_000_000 + lease)",
        tests=("tests/cookies/test_signed.py",),
    ),
)
