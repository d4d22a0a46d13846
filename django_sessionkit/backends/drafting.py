"""Making of a session dictionary what its row is to hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from django.contrib.sessions.backends.base import CreateError
from django.utils import timezone

from django_sessionkit import users
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.columns import columns_of, differing, seen_columns
from django_sessionkit.storage.protocol import Repository
from django_sessionkit.storage.records import Coder, Draft, Record, RequestFacts


class Drafts(Coder, Protocol):
    """The session store, as far as drafts need it."""

    facts: RequestFacts

    fills_columns: bool

    @property
    def is_signing_in(self) -> bool: ...
    @property
    def model(self) -> type[AbstractSession]: ...
    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession: ...
    def get_expiry_date(self, **kwargs: Any) -> datetime: ...
    def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...


def draft_of(
    store: Drafts,
    repository: Repository,
    data: dict[str, Any],
    *,
    key: SplitKey,
    base: Record | None,
    current: Record | None,
) -> Draft:
    """Return the draft of the data over ``base``; None: a new session.

    ``current`` is the record that the store holds: a project's ``create_model_instance()`` has made
    its row of that, while ``base`` may be what another request has saved since. Raises SessionGone
    if the hook asks for a column that was not read, and the row is gone.
    """
    if not store.fills_columns:
        columns = changed_columns(store, repository, data, key=key, base=base)
        return Draft(key, data, columns if base is None else differing(columns, base.columns))
    try:
        row = store.create_model_instance(data)
    except store.model.DoesNotExist as error:
        raise SessionGone("The session has ended.") from error
    columns = columns_of(row)
    if current is None:
        return Draft(key, data, columns, row)
    return Draft(key, data, differing(columns, current.columns))


def changed_columns(
    store: Drafts,
    repository: Repository,
    data: dict[str, Any],
    *,
    key: SplitKey,
    base: Record | None,
) -> dict[str, Any]:
    """Return the columns that a save of the data sets, but for those of the key's secret."""
    now, columns = timezone.now(), seen_columns(store.facts)
    owner, owner_before = users.signed_in(data, repository.model), None
    if base is None:
        columns |= {"public_id": key.public_id, "secret_hash": key.secret_hash}
        columns |= {"created_at": now, "last_seen_at": now}
    else:
        owner_before = base.columns["user_id"]
        if columns:
            columns["last_seen_at"] = now
    if owner is None:
        columns["authenticated_at"] = None
    elif owner != owner_before or store.is_signing_in:
        columns["authenticated_at"] = now
    columns["user_id"] = owner
    columns["data"] = repository.row_data(data, store)
    # Of the data that is saved: it may hold an expiry that another request has set meanwhile.
    columns["expire_date"] = store.get_expiry_date(
        modification=now, expiry=data.get("_session_expiry")
    )
    return columns


def row_of(
    store: Drafts,
    repository: Repository,
    data: dict[str, Any],
    *,
    key: SplitKey | None,
    current: Record | None,
) -> AbstractSession:
    """Return the row that represents the data: of ``current``, or a new one of the key.

    Raises CreateError if there is neither.
    """
    if current is None:
        if key is None:
            raise CreateError("Not a session key of this engine.")
        columns = changed_columns(store, repository, data, key=key, base=None)
        return store.model(**columns)
    row = repository.instance(current.columns)
    columns = changed_columns(store, repository, data, key=current.key, base=current)
    for name, value in columns.items():
        setattr(row, name, value)
    return row
