"""A repository around the rows of sessions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import router

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.storage.records import (
    Coder,
    Draft,
    EndCause,
    Gone,
    KeyInUse,
    MustAsk,
    Record,
    RequestFacts,
    Saved,
    Unknown,
)
from django_sessionkit.storage.retired import ReplacedKey
from django_sessionkit.storage.rows import Rows


class RowsWrapper:
    """Passes to the rows what a repository around them need not do by itself.

    Subclasses write ``find``, ``exists``, ``update``, ``recover``, ``is_due`` and ``renew``. The
    methods are told in protocol.Repository.
    """

    makes_tokens = False
    is_transactional = True

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @property
    def model(self) -> type[AbstractSession]:
        return self._rows.model

    @property
    def using(self) -> str:
        return router.db_for_write(self._rows.model)

    def peek(self, session_key: object, coder: Coder) -> Record | MustAsk | Unknown:
        return self._rows.peek(session_key, coder)

    def session_key(self, record: Record, session_key: str | None) -> str | None:
        return session_key

    def whole(self, record: Record) -> Record | Gone:
        return self._rows.whole(record)

    def instance(self, columns: Mapping[str, Any]) -> AbstractSession:
        return self._rows.instance(columns)

    def row_data(self, data: dict[str, Any], coder: Coder) -> str | None:
        return self._rows.row_data(data, coder)

    def insert(self, draft: Draft, coder: Coder) -> Saved | KeyInUse:
        return self._rows.insert(draft, coder)

    def delete(self, held: Record | MustAsk, cause: EndCause, coder: Coder) -> int:
        return self._rows.delete(held, cause, coder)

    def delete_of_user(self, public_id: uuid.UUID, user_id: Any, cause: EndCause) -> int:
        return self._rows.delete_of_user(public_id, user_id, cause)

    def judge(
        self, held: Record | MustAsk, coder: Coder, facts: RequestFacts
    ) -> ReplacedKey | None:
        return self._rows.judge(held, coder, facts)
