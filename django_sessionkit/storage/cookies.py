"""Data in a token that the browser holds as its cookie; a row vouches for a signed-in session.

A token is believed for a lease. Past the lease the row is asked, and a new token issued: the claim
of the last check moves only then, and is taken before the row is read. The row keeps that moment
too, as the time last seen, and so tells which token is the latest. Each save makes another token;
of two responses that carry one each, the browser keeps the later.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone

from django_sessionkit import users
from django_sessionkit.conf import conf
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.storage import apart
from django_sessionkit.storage.claims import Claims, moment_of, now
from django_sessionkit.storage.columns import (
    insertable,
    secret_changes,
)
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Conflict,
    Draft,
    EndCause,
    Found,
    Freshness,
    Gone,
    KeyInUse,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
    Source,
    Unknown,
)
from django_sessionkit.storage.revalidation import Revalidation
from django_sessionkit.storage.rows import Rows
from django_sessionkit.storage.token_data import (
    TokenData,
    TokenFormat,
    claims_of,
    seen_at,
    token_data,
)
from django_sessionkit.storage.token_size import COOKIE_SIZE, checked_size
from django_sessionkit.storage.wrapper import RowsWrapper
from django_sessionkit.tokens.errors import BadToken

logger = logging.getLogger("django_sessionkit")
security_logger = logging.getLogger("django.security.SuspiciousSession")


class Cookies(RowsWrapper):
    """Sessions whose data lie in cookies. The methods are told in protocol.Repository."""

    makes_tokens = True

    def __init__(self, rows: Rows, token_format: TokenFormat) -> None:
        super().__init__(rows)
        self.format = token_format
        self._revalidation = Revalidation(rows, token_format)

    # ---- Finding ----

    def peek(self, session_key: object, coder: Coder) -> Record | MustAsk | Unknown:
        # A browser sends no more than COOKIE_SIZE; what is longer is not worth the work.
        if not isinstance(session_key, str) or len(session_key) > COOKIE_SIZE:
            return Unknown(is_ours=False)
        try:
            claims = self.format.read(session_key, coder)
        except BadToken as error:
            security_logger.info("A session cookie was refused: %s", error)
            return Unknown(is_ours=False)
        if claims.expire_date <= timezone.now():
            return Unknown()
        user_id = users.signed_in(claims.data, self._rows.model)
        payload = TokenData(self.format, session_key, claims, user_id, data=claims.data)
        if claims.is_visitors:
            key = SplitKey.generate(claims.public_id)
            return self._record(key, payload, Source.VISITOR)
        key = SplitKey(claims.public_id, claims.secret)
        # Claims that seem to come from the future may be those of a clock that is wrong. And no
        # longer than others believe the token, so that a client whom those refuse gets another.
        if claims.checked_at <= now() < claims.believed_until(conf.lease) * 1_000_000:
            return self._record(key, payload, Source.TOKEN)
        return MustAsk(key, payload)

    def _record(self, key: SplitKey, payload: TokenData, source: Source) -> Record:
        claims = payload.claims
        columns = Columns(
            id=None,  # Clients can read what a cookie holds.
            public_id=key.public_id,
            secret_hash=key.secret_hash,
            user_id=payload.user_id,
            expire_date=claims.row_expire_date or claims.expire_date,
            data=None,
        )
        return Record(key, columns, payload, source, Freshness.FRESH)

    def session_key(self, record: Record, session_key: str | None) -> str | None:
        token: str = token_data(record).token
        return token

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        return self._revalidation.find(asked, coder, facts)

    def exists(self, asked: MustAsk | Record, coder: Coder) -> bool:
        is_visitors = isinstance(asked, Record) and not asked.has_row
        return is_visitors or self._rows.exists(asked, coder)

    def whole(self, record: Record) -> Record | Gone:
        if not record.has_row:
            return record
        whole = self._rows.whole(record)
        return whole if isinstance(whole, Gone) else whole._replace(freshness=record.freshness)

    # ---- Writing ----

    def row_data(self, data: dict[str, Any], coder: Coder) -> str | None:
        return None

    def token(self, base: Record | None, draft: Draft, coder: Coder) -> str:
        columns = draft.changes if base is None else {**base.columns, **draft.changes}
        claims = claims_of(base, draft, columns, columns["expire_date"], checked_at=0)
        return checked_size(self.format.write(claims, coder), claims, coder)

    def insert(self, draft: Draft, coder: Coder) -> Saved | KeyInUse:
        return self._inserted(None, draft, Columns(draft.changes), coder)

    def _inserted(
        self, base: Record | None, draft: Draft, columns: Columns, coder: Coder
    ) -> Saved | KeyInUse:
        """Save a session that has no row; give it one if somebody has signed in."""
        has_user, checked_at = AUTH_USER_ID in draft.data, 0
        if has_user and not in_transaction(self.using):
            checked_at = now()
            columns["last_seen_at"] = moment_of(checked_at)
        claims = claims_of(base, draft, columns, columns["expire_date"], checked_at=checked_at)
        token = checked_size(self.format.write(claims, coder), claims, coder)
        if has_user:
            row = draft.row if base is None else None
            if row is not None:
                row.last_seen_at = columns["last_seen_at"]
            inserted = self._rows.insert_row(draft._replace(changes=insertable(columns), row=row))
            if inserted is None:
                return KeyInUse()
            columns = inserted
        record = self._saved(draft.key, columns, claims, token, Source.ROW)
        return Saved(record, wrote_row=has_user)

    def update(
        self, base: Record, draft: Draft, coder: Coder, *, at_once: bool = False
    ) -> Saved | Conflict | Gone:
        if base.freshness is Freshness.MUST_REVALIDATE:
            asked = self._revalidation.asked_again(base, coder)
            if asked is None:
                return Gone()
            base = asked
        changes = {**draft.changes, **secret_changes(base, draft)}
        columns = Columns({**base.columns, **changes})
        columns.user = base.columns.user
        if not base.has_row:
            columns["secret_hash"] = draft.key.secret_hash
            saved = self._inserted(base, draft, columns, coder)
            return Gone() if isinstance(saved, KeyInUse) else saved
        checked_at = token_data(base).claims.checked_at
        if (moment := changes.pop("last_seen_at", None)) is not None and base.source is Source.ROW:
            # The row keeps the time of the last check, as the token does. A time that the row had
            # already is not written: a later request may have moved last_seen_at on.
            moment = seen_at(base, moment)
            if moment != base.columns.get("last_seen_at"):
                changes["last_seen_at"] = moment
        urgent = apart.urgent_changes(
            base, changes, is_due=self._revalidation.is_row_due(base), at_once=at_once
        )
        end_of_row = urgent.get("expire_date", base.end)
        claims = claims_of(base, draft, columns, end_of_row, checked_at=checked_at)
        token = checked_size(self.format.write(claims, coder), claims, coder)
        gone = self._write(base, urgent)
        if gone is not None:
            return gone
        columns["expire_date"] = end_of_row
        if base.source is Source.ROW:
            columns["last_seen_at"] = changes.get("last_seen_at", base.columns.get("last_seen_at"))
        else:
            columns.pop("last_seen_at", None)
        record = self._saved(draft.key, columns, claims, token, base.source)._replace(
            is_own_key=base.is_own_key or "secret_hash" in changes, freshness=base.freshness
        )
        return Saved(record, wrote_row=bool(urgent))

    def _write(self, base: Record, changes: dict[str, Any]) -> Gone | None:
        if not changes:
            return None
        written = dict(changes)
        if (end := changes.get("expire_date")) is not None:
            # Where another request has moved the row's end since, that is only made earlier.
            written["expire_date"] = Case(
                When(Q(expire_date=base.end) | Q(expire_date__gt=end), then=Value(end)),
                default=F("expire_date"),
            )
        # The row's end may lie in the past, as it lags behind the token's; but not because another
        # request has moved it there.
        lives = Q(expire_date__gt=timezone.now()) | Q(expire_date=base.end)
        return apart.write(self._rows, base, self._rows.this(base).filter(lives), written)

    def _saved(
        self, key: SplitKey, columns: Columns, claims: Claims, token: str, source: Source
    ) -> Record:
        if claims.is_visitors:
            source = Source.VISITOR
        payload = TokenData(self.format, token, claims, columns["user_id"])
        is_fresh = claims.is_visitors or source is Source.TOKEN
        freshness = Freshness.FRESH if is_fresh else Freshness.REVALIDATED
        return Record(key, columns, payload, source, freshness)

    def recover(
        self, base: Record, before: Record | None, coder: Coder, *, inserted: bool
    ) -> Record | Conflict | Gone:
        if in_transaction(self.using):
            return base
        if not inserted and before is not None:
            return before._replace(payload=base.payload)
        checked_at = now()
        seen = Columns({**base.columns, "last_seen_at": moment_of(checked_at)})
        inserting = base._replace(columns=seen)
        again = self._rows.inserted_again(inserting)
        if again is inserting:
            return base  # the row was there
        if isinstance(again, Gone):
            return again
        claims = dataclasses.replace(token_data(base).claims, checked_at=checked_at)
        return again._replace(payload=token_data(base).checked(claims))

    # ---- Ending ----

    def delete(self, held: Record | MustAsk, cause: EndCause, coder: Coder) -> int:
        if isinstance(held, Record) and not held.has_row:
            return 1  # Of a visitor's there is nothing to delete.
        return self._rows.delete(held, cause, coder)

    # ---- Renewing ----

    def is_due(self, record: Record) -> bool:
        return self._revalidation.is_due(record)

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        return self._revalidation.renew(record, coder, facts)

    # ---- Keys, without any store ----

    def check_keys(self) -> None:
        """See protocol.HasKeySet."""
        self.format.check_keys()

    def jwks(self) -> dict[str, Any] | None:
        """See protocol.HasKeySet."""
        return self.format.jwks()
