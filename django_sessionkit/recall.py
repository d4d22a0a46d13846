"""Taking copies back from the cache, once the transaction that made them wrong has committed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: How many rows one statement names at most.
BATCH = 500

#: The sessions of which a transaction that may still be open has changed the rows.
_touched: WeakKeyDictionary[BaseDatabaseWrapper, set[uuid.UUID]] = WeakKeyDictionary()
#: What the deletions of single rows in one transaction have gathered.
_gathered: WeakKeyDictionary[BaseDatabaseWrapper, Recall] = WeakKeyDictionary()


class Recall:
    """The copies of some sessions, to be taken back after commit.

    ``at_once`` says what came of it: True: no copy is left; False: the cache did not answer, or
    browsers hold the copies, so that they are believed until their lease ends; None: not known,
    nothing has committed yet.
    """

    def __init__(self, public_ids: Iterable[uuid.UUID] = (), store: Any = None) -> None:
        self.public_ids = set(public_ids)
        self.at_once: bool | None = None
        #: The class of stores that keeps the copies, if it is not the configured one.
        self._store = store

    def schedule(self, using: str, added: Iterable[uuid.UUID] | None = None) -> None:
        """Take the copies back after commit. Nothing is read from them until then.

        ``added``: those that were not known when this was scheduled before.
        """
        public_ids = self.public_ids if added is None else set(added)
        if self._store is None and not engine_has_copies():
            self.at_once = not copies_are_out_of_reach()
            return
        connection = connections[using]
        if not in_transaction(using) or connection.in_atomic_block:
            if connection.in_atomic_block:
                _touched.setdefault(connection, set()).update(public_ids)
            after_commit(partial(self._act, using), using)
            return
        # Transactions are the site's own affair (AUTOCOMMIT is off): nobody knows when it commits,
        # and others may copy the old row until then.
        self._store_class().doubt_copies(public_ids)
        self.at_once = False

    def _act(self, using: str) -> None:
        _touched.pop(connections[using], None)
        public_ids, self.public_ids = self._ended(using), set()
        if public_ids:
            is_done = self._store_class().drop_copies(public_ids)
            self.at_once = is_done and self.at_once is not False
        elif self.at_once is None:
            self.at_once = True

    def _ended(self, using: str) -> set[uuid.UUID]:
        """Return those whose copies are to go."""
        return self.public_ids

    def _store_class(self) -> Any:
        return self._store or conf.session_store


class GatheredRecall(Recall):
    """What the deletions of single rows have gathered, of which some may have been taken back."""

    def __init__(self, model: type[AbstractSession]) -> None:
        super().__init__()
        self._model = model

    def _ended(self, using: str) -> set[uuid.UUID]:
        public_ids = list(self.public_ids)
        left: set[uuid.UUID] = set()
        rows = SessionQuerySet(self._model, using=using)
        for start in range(0, len(public_ids), BATCH):
            some = rows.filter(public_id__in=public_ids[start : start + BATCH])
            left.update(some.values_list("public_id", flat=True))
        return self.public_ids - left


def gathered(session: AbstractSession, using: str) -> Recall:
    """Return the recall of what is deleted in this transaction, with ``session`` added to it.

    So a thousand rows that are deleted one by one empty the cache in one go.
    """
    connection = connections[using]
    recall = _gathered.get(connection)
    if recall is None or not recall.public_ids:
        recall = _gathered[connection] = GatheredRecall(type(session))
    recall.public_ids.add(session.public_id)
    # Each time: the savepoint in which the first one was scheduled may be rolled back.
    recall.schedule(using, [session.public_id])
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


def copies_are_out_of_reach() -> bool:
    """Whether the configured engine lets browsers hold what is believed for a lease."""
    return bool(conf.lease) and getattr(conf.session_store, "copies_are_out_of_reach", False)


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
