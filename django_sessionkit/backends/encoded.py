"""What the engines share that write sessions down elsewhere than in the row."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from django.core.signing import JSONSerializer

from django_sessionkit import prepared
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.backends.tracked import TrackedStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.exceptions import BadEntry


class EncodedStore(TrackedStore):
    """A store that knows its session without having read the row, or not all of it."""

    # A copy has vouched for the row, so there is no lease to renew.
    _is_leased = False

    def _has_row_lease_run_out(self) -> bool:
        row = self._current_row()
        # Not of a row of which only a copy is known, even if that would not vouch any more.
        is_read = row is not None and self._is_read(row)
        return is_read and not self._is_leased and super().lease_has_run_out()

    def _is_read(self, row: AbstractSession) -> bool:
        """Whether it comes from the database, not from a copy."""
        return "last_seen_at" in row.__dict__

    def _read_whole(self, row: AbstractSession) -> AbstractSession | None:
        is_whole = {"created_at", "replaced_at"} <= vars(row).keys()
        return row if is_whole else self._this(row).first()

    def _is_from_row(self, row: AbstractSession) -> bool:
        return self._is_read(row)

    def _deferred(self, values: dict[str, Any]) -> AbstractSession:
        """Return a row of which no more is known; the rest is read when it is asked for."""
        # In the model's own order: a project may have defined some of them anew.
        names = tuple(f.attname for f in self.model._meta.concrete_fields if f.attname in values)
        return prepared.make(self.model, self._using, names, [values[name] for name in names])

    def _from_bytes(self, raw: bytes) -> dict[str, Any]:
        """Return the data that were written down.

        They must be authentic. Raises BadEntry if they cannot be read.
        """
        try:
            if self._encodes_by_itself():
                return self.decode(raw.decode())
            data: dict[str, Any] = self.serializer().loads(raw)
        except Exception as error:
            # As in Django's decode(): a serializer may raise anything.
            raise BadEntry(f"Its data cannot be read ({type(error).__name__}).") from error
        return data

    def _to_bytes(self, data: dict[str, Any]) -> bytes:
        """Return the data as they are written down: what the serializer makes of them.

        They get a signature there. A store that encodes in a way of its own (which may encrypt)
        does so there too.
        """
        if self._encodes_by_itself():
            return self.encode(data).encode()
        serialized: bytes = self.serializer().dumps(data)
        return serialized

    def _to_json(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return the data as a JSON object of them, None if that is not how they are written."""
        is_json = isinstance(self.serializer, type) and issubclass(self.serializer, JSONSerializer)
        if self._encodes_by_itself() or not is_json:
            return None
        if self.serializer is JSONSerializer:
            return data
        written: dict[str, Any] = json.loads(self._to_bytes(data))
        return written

    def _from_json(self, written: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a JSON object. Raises BadEntry if they cannot be read."""
        if self.serializer is JSONSerializer:
            return written
        return self._from_bytes(json.dumps(written, separators=(",", ":")).encode())

    def _packed(self, data: dict[str, Any]) -> str:
        """Return the data as text that stands in JSON, and tells others nothing."""
        return urlsafe_b64encode(self._to_bytes(data)).decode()

    def _unpacked(self, packed: str) -> dict[str, Any]:
        """Return the data that were packed. Raises BadEntry if they cannot be read."""
        try:
            raw = urlsafe_b64decode(packed)
        except ValueError as error:
            raise BadEntry("It is not packed.") from error
        return self._from_bytes(raw)

    def _encodes_by_itself(self) -> bool:
        cls = type(self)
        return (
            cls.encode is not BaseSessionStore.encode or cls.decode is not BaseSessionStore.decode
        )
