"""Asking the row about a token once a lease, and issuing the token anew."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from django_sessionkit.conf import conf
from django_sessionkit.exceptions import CookieTooLarge
from django_sessionkit.keys import SplitKey
from django_sessionkit.recall import in_transaction
from django_sessionkit.storage import apart
from django_sessionkit.storage.claims import Claims, moment_of, now
from django_sessionkit.storage.columns import failed_renewals_logged, seen_columns
from django_sessionkit.storage.records import (
    Coder,
    Columns,
    Found,
    Freshness,
    MustAsk,
    Record,
    RequestFacts,
    Source,
    Unknown,
)
from django_sessionkit.storage.rows import Rows
from django_sessionkit.storage.token_data import TokenData, TokenFormat, seen_at, token_data
from django_sessionkit.storage.token_size import checked_size

#: A request whose token is not the latest gets another one so long after that was issued, in
#: seconds: the response that carried the latest may have been lost.
OVERLAP = 10

logger = logging.getLogger("django_sessionkit")


class Revalidation:
    """Lets the rows confirm tokens. The methods are told in protocol.Repository."""

    def __init__(self, rows: Rows, token_format: TokenFormat) -> None:
        self._rows, self._format = rows, token_format

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        """See protocol.Repository; the token of ``asked`` is what peek() has read."""
        checked_at, key, payload = now(), asked.key, asked.token
        claims: Claims = payload.claims
        columns = self._rows.first(key.public_id, with_user=facts.wants_user)
        if columns is None:
            return Unknown()
        # The end of the row may lag behind: a save within the lease has moved the token's alone.
        end, lags = columns["expire_date"], columns["expire_date"] == claims.row_expire_date
        is_active = end > timezone.now()
        if not key.proves(columns["secret_hash"]):
            replaced = self._rows.replaced_key(columns, key.mark, facts) if is_active else None
            return replaced or Unknown()
        if not (is_active or lags):
            return Unknown()
        if columns["user_id"] != payload.user_id:
            logger.warning("The data of session %s are not those of its user.", key)
            return Unknown()
        return self._confirmed(key, columns, payload, checked_at, lags=lags)

    def _confirmed(
        self, key: SplitKey, columns: Columns, payload: TokenData, checked_at: int, *, lags: bool
    ) -> Record:
        """Return the record of a token that the row has confirmed at ``checked_at``."""
        claims, changes = payload.claims, dict[str, Any]()
        freshness = Freshness.REVALIDATED
        if in_transaction(self._rows.using):
            freshness = Freshness.MUST_REVALIDATE if conf.lease else Freshness.REVALIDATED
            checked_at = claims.checked_at
        else:
            changes["last_known_seen"] = moment_of(claims.checked_at)
        end = claims.expire_date
        if not lags:
            # Another request has moved the end, which an older token does not tell. Where that has
            # made it earlier, the data have to say so: else the next save would move it back.
            end_of_row = columns["expire_date"]
            if end - end_of_row > apart.tolerance(end_of_row) and payload.is_unread:
                changes["end_set"] = end_of_row.isoformat()
                claims.data["_session_expiry"] = changes["end_set"]
            end = end_of_row
        claims = dataclasses.replace(claims, checked_at=checked_at, expire_date=end)
        return Record(key, columns, payload.checked(claims, **changes), Source.ROW, freshness)

    def is_due(self, record: Record) -> bool:
        return record.freshness is Freshness.MUST_REVALIDATE or self.is_row_due(record)

    def is_row_due(self, record: Record) -> bool:
        known = token_data(record).last_known_seen
        if record.freshness is Freshness.FRESH:
            return False
        if known is None:
            return self._rows.is_due(record)
        last_seen = record.columns["last_seen_at"]
        return bool(last_seen == known or last_seen <= timezone.now() - _overlap())

    def renew(self, record: Record, coder: Coder, facts: RequestFacts) -> Record:
        try:
            asked = self.asked_again(record, coder)
        except DatabaseError:
            # The response is ready; the row is asked again at the next request.
            logger.warning("Could not ask the row of session %s", record.key, exc_info=True)
            return record
        # Of requests side by side one alone renews it: a cookie of another one, with the same data,
        # might come after that of a request that has changed them.
        if asked is None or not self.is_row_due(asked) or not self._renew_row(asked, facts):
            return record if asked is None else asked
        end = token_data(asked).end
        columns = Columns({**asked.columns, "expire_date": end})
        columns.user = asked.columns.user
        renewed = asked._replace(columns=columns)
        return self._issued_anew(renewed, coder) if conf.lease else renewed

    def _renew_row(self, record: Record, facts: RequestFacts) -> int:
        payload, moment = token_data(record), timezone.now()
        changes = {
            "last_seen_at": seen_at(record, moment),
            **seen_columns(facts),
            "expire_date": apart.moved_end(record, payload.end),
        }
        count, known = 0, payload.last_known_seen
        with failed_renewals_logged(record):
            if known is None:
                count = self._rows.renew_row(record, changes)
            else:
                is_due = Q(last_seen_at=known) | Q(last_seen_at__lte=moment - _overlap())
                count = self._rows.this(record).filter(is_due).update(**changes)
        return count

    def _issued_anew(self, record: Record, coder: Coder) -> Record:
        """Make a token of what was loaded: what the view has changed was not to be saved."""
        payload = token_data(record)
        claims = dataclasses.replace(
            payload.claims, data=payload.fresh(coder), row_expire_date=record.end
        )
        try:
            token = checked_size(self._format.write(claims, coder), claims, coder)
        except CookieTooLarge as error:
            logger.warning("Session %s cannot be renewed: %s", record.key, error)
            return record
        return record._replace(payload=TokenData(self._format, token, claims, payload.user_id))

    def asked_again(self, record: Record, coder: Coder) -> Record | None:
        """Return the record as it is outside of the transaction in which the row was asked.

        None if the session has ended meanwhile.
        """
        if record.freshness is not Freshness.MUST_REVALIDATE or in_transaction(self._rows.using):
            return record
        found = self.find(MustAsk(record.key, record.payload), coder, RequestFacts())
        if not isinstance(found, Record):
            return None
        return found._replace(is_own_key=record.is_own_key)


def _overlap() -> timedelta:
    return timedelta(seconds=min(OVERLAP, conf.lease))
