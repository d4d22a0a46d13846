"""Finding sessions whose data lie in a cache; a row vouches for those of signed-in users."""

from __future__ import annotations

import logging

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.core.cache import caches
from django.utils import timezone

from django_sessionkit.conf import conf
from django_sessionkit.copies import data_in
from django_sessionkit.copies.format import Entry, Kind, pack_voucher, unpack_voucher
from django_sessionkit.copies.slots import Data, Read
from django_sessionkit.exceptions import BadEntry
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.cached import EntryData, may_believe, may_fill, owner_of
from django_sessionkit.storage.entries import entry_in, log_foreign, reached, retired_key, text_of
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

logger = logging.getLogger("django_sessionkit")


class Vouchers:
    """Finds data, and lets the row vouch for them once a lease."""

    def __init__(self, rows: Rows, alias: str) -> None:
        self._rows, self._alias = rows, alias

    def find(self, asked: MustAsk, coder: Coder, facts: RequestFacts) -> Found:
        """See protocol.Repository."""
        key, lease, using = asked.key, conf.lease, self._rows.using
        fills = may_fill(using, lease)
        with reached():
            data = data_in(caches[self._alias], lease)
            read = data.read(key.public_id, wants_ticket=fills)
        entry = entry_in(read.raw, key.public_id)
        if entry is None:
            return Unknown()
        if entry.kind is Kind.RETIRED:
            is_its = key.proves(entry.secret_hash)
            return retired_key(entry, key, facts) if is_its else Unknown()
        try:
            if entry.kind is Kind.VISITOR:
                return self._visitor(entry, key, coder) or Unknown()
            if may_believe(key, using, lease):
                found = self._vouched_for(data, entry, read, key, coder, lease)
                if found is not None:
                    return found
            return self._asked(data, entry, read, asked, coder, facts, fills=fills)
        except BadEntry as error:
            log_foreign(key.public_id, error)
            return Unknown()

    def _asked(
        self,
        data: Data,
        entry: Entry,
        read: Read,
        asked: MustAsk,
        coder: Coder,
        facts: RequestFacts,
        *,
        fills: bool,
    ) -> Found:
        """Ask the row about the data."""
        key = asked.key
        columns = self._rows.active(key.public_id, with_user=facts.wants_user)
        if columns is None:
            return Unknown()
        owner, secret_hash = text_of(columns["user_id"]), bytes(columns["secret_hash"])
        if entry.user == owner and entry.secret_hash == secret_hash and read.ticket is not None:
            # Whoever asks: a wrong secret must not keep the right one from being vouched for.
            with reached():
                end = columns["expire_date"]
                voucher = pack_voucher(entry, key.public_id, end, columns["id"])
                data.vouch(key.public_id, read.ticket, voucher)
        if not key.proves(secret_hash):
            return self._rows.replaced_key(columns, key.mark, facts) or Unknown()
        if entry.user != owner:
            logger.warning("The data of session %s are not those of its user.", key)
            return Unknown()
        is_owed = not fills and bool(conf.lease)
        freshness = Freshness.OWES_FILL if is_owed else Freshness.REVALIDATED
        payload = EntryData.read(entry, coder, ends=True)
        return Record(key, columns, payload, Source.ROW, freshness)

    def _visitor(self, entry: Entry, key: SplitKey, coder: Coder) -> Record | None:
        payload = EntryData.read(entry, coder, ends=True)
        # Nobody is signed in without a row.
        if AUTH_USER_ID in payload.peek() or not key.proves(entry.secret_hash):
            return None
        columns = Columns(
            id=None,
            public_id=key.public_id,
            secret_hash=entry.secret_hash,
            user_id=None,
            expire_date=entry.expire_date,
            data=None,
        )
        return Record(key, columns, payload, Source.VISITOR, Freshness.FRESH)

    def _vouched_for(
        self, data: Data, entry: Entry, read: Read, key: SplitKey, coder: Coder, lease: int
    ) -> Record | None:
        """Return the record if a voucher confirms the key."""
        if read.voucher is None or not key.proves(entry.secret_hash):
            return None
        try:
            end, pk = unpack_voucher(read.voucher, entry, key.public_id, lease)
        except BadEntry as error:
            logger.warning("The voucher of session %s is none: %s", key, error)
            with reached():
                data.unvouch([key.public_id])
            return None
        if end <= timezone.now():
            return None
        columns = Columns(
            id=pk,
            public_id=key.public_id,
            secret_hash=entry.secret_hash,
            user_id=owner_of(entry, self._rows.model),
            expire_date=end,
            data=None,
        )
        payload = EntryData.read(entry, coder, ends=True)
        return Record(key, columns, payload, Source.COPY, Freshness.FRESH)
