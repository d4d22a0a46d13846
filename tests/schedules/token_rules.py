"""The rules of ``signed_cookies``, each switched off alone."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from django.test import override_settings

from django_sessionkit.tokens.jwt import Signer
from tests.schedules import switches
from tests.schedules.engines import SIGNED_COOKIES
from tests.schedules.seams import Switch, instead
from tests.schedules.stepping import asked, rewriting

#: What passes between two lines of a program, in microseconds, and is no time of the schedule.
SHORT = 1_000_000

_sign = Signer.sign


def _sign_as_checked(self: Signer, claims: Mapping[str, Any]) -> str:
    """Sign a token as if the row had been asked just now."""
    if claims.get("checked"):
        claims = {**claims, "checked": time.time_ns() // 1000}
    return _sign(self, claims)


def _checked_late() -> Switch:
    """Sign a token as if its row had been asked when the answer was there."""
    told: set[int] = set()

    def sign(self: Signer, claims: Mapping[str, Any]) -> str:
        checked = claims.get("checked", 0)
        if checked not in told and 0 <= asked.at // 1000 - checked < SHORT:
            claims = {**claims, "checked": asked.answered_at // 1000}
        told.add(claims.get("checked", 0))
        return _sign(self, claims)

    return instead(Signer, "sign", sign)


def _update_user_later(sql: str) -> str:
    """Leave the user of a row to another UPDATE."""
    changes, where, conditions = sql.rpartition(" WHERE ")
    if sql.startswith("UPDATE "):
        changes = re.sub(r"([`\"]user_id[`\"]) = %s", r"\1 = COALESCE(\1, %s)", changes)
    return changes + where + conditions


def _delete_nothing(sql: str) -> str:
    """Say that rows were deleted, and leave them."""
    return re.sub(r"^DELETE FROM (\S+)", r"UPDATE \1 SET version = version", sql)


RULES: Mapping[str, Switch] = {
    "the row is asked past the lease": lambda: override_settings(SESSIONKIT_LEASE=3600),
    "no save moves the time of the last check": instead(Signer, "sign", _sign_as_checked),
    "an UPDATE names the secret": switches.updated_without("secret_hash"),
    "another user is written to the row at once": rewriting(_update_user_later),
    "a save inserts nothing": switches.inserted_again(SIGNED_COOKIES),
    "a key is proven past the lease": switches.loaded_unproven(SIGNED_COOKIES),
    "an end deletes the row": rewriting(_delete_nothing),
    "what was rolled back is saved again": switches.ROLLBACKS_UNNOTICED,
}
#: Seen where a session ends while the row of one of its tokens is asked.
CHECK_RULES: Mapping[str, Switch] = {
    "a check counts from before the row is asked": _checked_late(),
    "a check in a transaction is made again": switches.NO_TRANSACTIONS_KNOWN,
}
