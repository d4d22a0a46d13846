"""Tokens: their formats, the data in them, and the claims of a save."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID

from django_sessionkit.storage.claims import Claims, moment_of
from django_sessionkit.storage.records import Coder, Draft, Once, Record


class TokenFormat(Protocol):
    """A format of tokens: how claims are signed or sealed, with keys of the settings."""

    def read(self, token: str, coder: Coder) -> Claims:
        """Verify the token and return its claims, be it that the session has ended.

        Raises BadToken if it is none of ours.
        """
        ...

    def write(self, claims: Claims, coder: Coder) -> str:
        """Return a token of the claims."""
        ...

    def check_keys(self) -> None:
        """Raise ValueError if the settings have no keys, or keys that make no sense."""
        ...

    def jwks(self) -> dict[str, Any] | None:
        """Return the public keys as a JWK Set (RFC 7517); None: others cannot verify."""
        ...


class TokenData:
    """The data of a token. See records.Payload.

    ``end_set``: the end that another request has set since the token was made, for the data.
    ``last_known_seen``: the row was last seen then if this token is the latest; None: not known.
    ``user_id``: whom the data named when the token was read or made; the view may change them.
    """

    __slots__ = ("_format", "_once", "claims", "end_set", "last_known_seen", "token", "user_id")

    def __init__(
        self,
        token_format: TokenFormat,
        token: str,
        claims: Claims,
        user_id: Any,
        *,
        data: dict[str, Any] | None = None,
        end_set: str | None = None,
        last_known_seen: datetime | None = None,
    ) -> None:
        self._format, self.token, self.claims, self.user_id = token_format, token, claims, user_id
        self._once, self.end_set = Once(data), end_set
        self.last_known_seen = last_known_seen

    @property
    def end(self) -> datetime:
        return self.claims.expire_date

    @property
    def is_unread(self) -> bool:
        """Whether nobody has got the data yet."""
        return self._once.data is not None

    def fresh(self, coder: Coder) -> dict[str, Any]:
        data = self._once.pop()
        if data is not None:
            return data
        data = self._format.read(self.token, coder).data
        if self.end_set is not None:
            data["_session_expiry"] = self.end_set
        return data

    def checked(self, claims: Claims, **changes: Any) -> TokenData:
        """Return the same data with claims that the row has confirmed."""
        more = {"end_set": self.end_set, "last_known_seen": self.last_known_seen} | changes
        data = self._once.pop()
        return TokenData(self._format, self.token, claims, self.user_id, data=data, **more)

    def __repr__(self) -> str:
        return f"<token of session {self.claims.public_id}>"


def claims_of(
    base: Record | None,
    draft: Draft,
    columns: Mapping[str, Any],
    row_expire_date: datetime,
    *,
    checked_at: int,
) -> Claims:
    """Return the claims of a draft whose row has, or is to have, these columns."""
    end, has_user = columns["expire_date"], AUTH_USER_ID in draft.data
    if not has_user and (base is None or not base.has_row):
        return Claims(draft.key.public_id, end, draft.data)
    authenticated_at = None if base is None else token_data(base).claims.authenticated_at
    if (moment := columns.get("authenticated_at")) is not None:
        authenticated_at = int(moment.timestamp())
    return Claims(
        draft.key.public_id,
        end,
        draft.data,
        secret=draft.key.secret,
        checked_at=checked_at,
        row_expire_date=row_expire_date,
        authenticated_at=authenticated_at if has_user else None,
    )


def token_data(record: Record) -> TokenData:
    payload: Any = record.payload
    return payload  # type: ignore[no-any-return]


def seen_at(record: Record, moment: datetime) -> datetime:
    """Return the time of the last check, or ``moment`` where there was none."""
    checked_at = token_data(record).claims.checked_at
    return moment_of(checked_at) if checked_at else moment
