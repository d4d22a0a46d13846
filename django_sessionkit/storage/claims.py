"""The claims of a cookie about its session, whatever the format they are written in.

Who has not signed in has a cookie without the secret half of a session key, and no row.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.utils import timezone

from django_sessionkit.keys import is_public_id, secret_from_text, secret_to_text
from django_sessionkit.moments import microseconds, moment
from django_sessionkit.tokens.errors import BadToken

FORMAT = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR = 10**17  # microseconds; later than that nobody has asked a row
#: What nobody means by an age, in seconds: some thousand years.
LONGEST = 1e11
#: What tells who is signed in; nobody is, without a row.
AUTH = "_auth_"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a cookie says.

    ``checked_at``: when the row was last asked, in microseconds since 1970; 0: never.
    ``row_expire_date``: the end that the row had when it was last read or written.
    ``authenticated_at``: when the user last signed in, in seconds since 1970.
    """

    public_id: uuid.UUID
    expire_date: datetime
    data: dict[str, Any] = field(repr=False)
    secret: bytes = field(default=b"", repr=False)
    checked_at: int = 0
    row_expire_date: datetime | None = None
    authenticated_at: int | None = None

    @property
    def is_visitors(self) -> bool:
        """Whether there is no row of it."""
        return not self.secret

    @property
    def has_user(self) -> bool:
        """Whether somebody is signed in, as far as the cookie tells."""
        return not self.is_visitors and AUTH_USER_ID in self.data

    def believed_until(self, lease: int) -> int:
        """Return how long others may believe the cookie, who do not ask the row.

        In whole seconds since 1970: the end of the session or of the lease, what comes first.
        """
        end = int(self.expire_date.timestamp())
        if not self.is_visitors:
            end = min(end, self.checked_at // 1_000_000 + lease)
        return max(end, 1)  # 0 is "never" for some

    def told(self) -> dict[str, Any]:
        """Return what is written of it beside its data, public id and time of signing in."""
        told: dict[str, Any] = {"v": FORMAT, "end": microseconds(self.expire_date)}
        if not self.is_visitors:
            told["key"] = secret_to_text(self.secret)
            told["checked"] = self.checked_at
            told["row_end"] = microseconds(self.row_expire_date or self.expire_date)
        return told


def claims_from(told: Mapping[str, Any], data: dict[str, Any]) -> Claims:
    """Return what was ``told()``, with the public id as ``sid`` and ``auth_time``.

    Raises BadToken if it was not: what is authentic may be of a later version, or be written by
    another program that shares the key.
    """
    if told.get("v") != FORMAT:
        raise BadToken("It says nothing that this version understands.")
    sid, secret, authenticated_at = told.get("sid"), told.get("key", ""), told.get("auth_time")
    if not isinstance(sid, str) or not isinstance(secret, str):
        raise BadToken("It names no session.")
    try:
        public_id = uuid.UUID(sid)
    except ValueError as error:
        raise BadToken("It names no session.") from error
    if not is_public_id(public_id):
        raise BadToken("It names no session.")
    expire_date = _moment(told, "end")
    if not secret:
        return visitors_claims(public_id, expire_date, data)
    secret_bytes = secret_from_text(secret)
    if secret_bytes is None:
        raise BadToken("It holds no session key.")
    return Claims(
        public_id,
        expire_date,
        _with_good_expiry(data),
        secret=secret_bytes,
        checked_at=_number(told, "checked"),
        row_expire_date=_moment(told, "row_end"),
        authenticated_at=None if authenticated_at is None else _number(told, "auth_time"),
    )


def visitors_claims(public_id: uuid.UUID, expire_date: datetime, data: dict[str, Any]) -> Claims:
    """Return the content of somebody who is nobody, whatever another program has put there."""
    kept = {key: value for key, value in data.items() if not str(key).startswith(AUTH)}
    return Claims(public_id, expire_date, _with_good_expiry(kept))


def _with_good_expiry(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data without an expiry that set_expiry() does not write.

    Another program may have put it there, and each save would fail for it.
    """
    if "_session_expiry" in data and not _is_expiry(data["_session_expiry"]):
        del data["_session_expiry"]
    return data


def _is_expiry(value: object) -> bool:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return False
    if isinstance(value, datetime):
        return timezone.is_aware(value) is settings.USE_TZ
    return isinstance(value, int | float) and abs(value) < LONGEST


def _number(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadToken(f"Its {name!r} is no whole number.")
    return value


def _moment(told: Mapping[str, Any], name: str) -> datetime:
    try:
        return moment(_number(told, name))
    except OverflowError as error:
        raise BadToken(f"Its {name!r} is no moment.") from error


def now() -> int:
    """Return the time in microseconds since 1970, as Claims count it."""
    return time.time_ns() // 1000


def moment_of(checked_at: int) -> datetime:
    """Return the moment so many microseconds after 1970, naive if USE_TZ is off."""
    moment = EPOCH + timedelta(microseconds=min(max(checked_at, 0), FAR))
    return moment if settings.USE_TZ else timezone.make_naive(moment)
