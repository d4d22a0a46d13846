"""Faults in the repository whose sessions lie in cookies."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="a cookie is believed whose last check lies in the future",
        file="storage/cookies.py",
        old="if claims.checked_at <= now() < claims",
        new="if now() < claims",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a cookie that holds the data of one user opens the row of another",
        file="storage/revalidation.py",
        old='if columns["user_id"] != payload.user_id:',
        new='if columns["user_id"] is None:',
        tests=("tests/cookies/test_tampering.py",),
    ),
    Mutant(
        name="a view that takes the user out of the data makes the token another user's",
        file="storage/revalidation.py",
        old='if columns["user_id"] != payload.user_id:',
        new='if str(columns["user_id"]) != claims.data.get("_auth_user_id"):',
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a save prolongs the lease of the cookie without asking the row",
        file="storage/cookies.py",
        old="checked_at = token_data(base).claims.checked_at",
        new="checked_at = now()",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="what a transaction has read is renewed without asking the row again",
        file="storage/revalidation.py",
        old="if record.freshness is not Freshness.MUST_REVALIDATE or in_transaction(",
        new="if record.freshness is not Freshness.OWES_FILL or in_transaction(",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="the row of what a transaction has read is not asked again within the lease",
        file="storage/revalidation.py",
        old="return record.freshness is Freshness.MUST_REVALIDATE or self.is_row_due(record)",
        new="return self.is_row_due(record)",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a save of what a transaction has read does not ask the row again",
        file="storage/cookies.py",
        old="asked = self._revalidation.asked_again(base, coder)",
        new="asked: Record | None = base",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a save within the transaction takes its snapshot for a check of the row",
        file="storage/cookies.py",
        old='"secret_hash" in changes, freshness=base.freshness',
        new='"secret_hash" in changes',
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="a row that is asked again makes the request's own key one that a browser holds",
        file="storage/revalidation.py",
        old="return found._replace(is_own_key=record.is_own_key)",
        new="return found",
        tests=("tests/cookies/test_lease.py",),
    ),
    Mutant(
        name="the row of a login that was rolled back is not inserted again for its cookie",
        file="storage/cookies.py",
        old="again = self._rows.inserted_again(inserting)",
        new="again = inserting",
        tests=("tests/cookies/test_transactions.py",),
    ),
    Mutant(
        name="a cookie goes on from what a rollback has taken back of its row",
        file="storage/cookies.py",
        old="return before._replace(payload=base.payload)",
        new="return base",
        tests=("tests/cookies/test_transactions.py",),
    ),
    Mutant(
        name="a visitor's cookie, which no row backs, may hold a signed-in user",
        file="storage/claims.py",
        old="if not str(key).startswith(AUTH)}",
        new="if key}",
        tests=("tests/cookies/test_visitors.py", "tests/cookies/test_tampering.py"),
    ),
    Mutant(
        name="exp is the end of the session, not of the lease, for those who verify offline",
        file="storage/claims.py",
        old="end = min(end, self.checked_at // 1_000_000 + lease)",
        new="end = max(end, self.checked_at // 1_000_000 + lease)",
        tests=("tests/cookies/test_signed.py",),
    ),
)
