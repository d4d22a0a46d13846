"""Taking copies back from the cache, once the transaction that made them wrong has committed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction

from django_sessionkit.conf import conf

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: The sessions of which a transaction that may still be open has changed the rows.
_touched: WeakKeyDictionary[BaseDatabaseWrapper, set[uuid.UUID]] = WeakKeyDictionary()
#: What the deletions of single rows in one transaction have gathered.
_gathered: WeakKeyDictionary[BaseDatabaseWrapper, Recall] = WeakKeyDictionary()


class Recall:
    """The copies of some sessions, to be taken back after commit.

    ``at_once`` says what came of it: True: no copy is left; False: the cache did not answer, so
    that copies are believed until their lease ends; None: not known, nothing has committed yet.
    """

    def __init__(self, public_ids: Iterable[uuid.UUID] = (), store: Any = None) -> None:
        self.public_ids = set(public_ids)
        self.at_once: bool | None = None
        #: The class of stores that keeps the copies, if it is not the configured one.
        self._store = store

    def schedule(self, using: str) -> None:
        """Take the copies back after commit. Nothing is read from them until then."""
        if self._store is None and not engine_has_copies():
            self.at_once = True
            return
        if in_transaction(using):
            _touched.setdefault(connections[using], set()).update(self.public_ids)
        after_commit(self._act, using)

    def _act(self) -> None:
        if self.public_ids:
            store: Any = self._store or conf.session_store
            is_done = store.drop_copies(self.public_ids)
            self.at_once = is_done and self.at_once is not False
            self.public_ids = set()
        elif self.at_once is None:
            self.at_once = True


def gathered(public_id: uuid.UUID, using: str) -> Recall:
    """Return the recall of what is deleted in this transaction, with ``public_id`` added to it.

    So a thousand rows that are deleted one by one empty the cache in one go.
    """
    connection = connections[using]
    recall = _gathered.get(connection)
    if recall is None or not recall.public_ids:
        recall = _gathered[connection] = Recall()
    recall.public_ids.add(public_id)
    # Each time: the savepoint in which the first one was scheduled may be rolled back.
    recall.schedule(using)
    return recall


def is_touched(public_id: uuid.UUID, using: str) -> bool:
    """Whether the transaction at hand has changed the row, so that a copy tells less than it."""
    touched = _touched.get(connections[using])
    if not touched:
        return False
    if not in_transaction(using):
        touched.clear()
    return public_id in touched


def engine_has_copies() -> bool:
    """Whether the configured engine keeps anything in a cache."""
    return hasattr(conf.session_store, "drop_copies")


def in_transaction(using: str) -> bool:
    """Whether what is written now may still be taken back. Opens no connection."""
    connection = connections[using]
    if connection.in_atomic_block:
        return True
    if connection.connection is None:
        return not connection.settings_dict["AUTOCOMMIT"]
    return not connection.autocommit


def after_commit(act: Callable[[], object], using: str) -> None:
    """Call ``act`` once what has been written is committed, as far as Django can tell when."""
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(act, using=using)
    else:
        act()  # Transactions are the site's own affair (AUTOCOMMIT is off).
