"""Invalidates copies in the cache, once the transaction that changed the rows has committed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from django.db import connections, transaction

from django_sessionkit.base_session import AbstractSession, SessionQuerySet
from django_sessionkit.conf import conf
from django_sessionkit.events import InForce

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@runtime_checkable
class HasRepository(Protocol):
    """A class of session stores that says where its sessions lie."""

    def get_repository(self) -> object:
        """Return the repository of the sessions."""
        ...


@runtime_checkable
class DropsCopies(Protocol):
    """A repository that keeps in a cache what must go when a session ends."""

    def drop_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        """Invalidate what the cache holds of these sessions; False: the cache did not answer."""
        ...

    def doubt_copies(self, public_ids: Collection[uuid.UUID]) -> bool:
        """Have the rows asked before the cache is believed; False: the cache did not answer."""
        ...

    def cache_key(self, public_id: uuid.UUID) -> str:
        """Return the key in the cache, before the cache adds its prefix and version."""
        ...


#: How many rows one statement names at most.
BATCH = 500

#: By connection, the sessions whose rows were changed in a transaction that may still be open.
_touched: WeakKeyDictionary[BaseDatabaseWrapper, set[uuid.UUID]] = WeakKeyDictionary()
#: By connection, the recall of the sessions that the ORM deleted one by one in one transaction.
_gathered: WeakKeyDictionary[BaseDatabaseWrapper, Recall] = WeakKeyDictionary()


class Recall:
    """Invalidates the copies of some sessions after commit, and knows what came of that.

    ``in_force`` is ``NOW`` until ``schedule()``, and while a transaction is open ``ON_COMMIT``.
    After the commit it is ``NOW`` if no valid copy is left, ``WITHIN_LEASE`` if the cache did not
    answer or browsers hold the sessions.
    """

    def __init__(self, public_ids: Iterable[uuid.UUID] = (), keeper: Any = None) -> None:
        """``keeper``: the repository that keeps the copies; None: the configured engine's."""
        self.public_ids = set(public_ids)
        self.in_force = InForce.NOW
        self._keeper: DropsCopies | None = keeper or _keeper_in_use()
        self._waiting: list[Callable[[], object]] = []

    @property
    def has_copies(self) -> bool:
        """Whether there is a cache that may hold copies."""
        return self._keeper is not None

    def schedule(self, using: str, added: Iterable[uuid.UUID] | None = None) -> None:
        """Invalidate the copies after commit. Until then this transaction reads none of them.

        ``added``: the public ids that the last call of ``schedule()`` did not have yet.
        """
        public_ids = self.public_ids if added is None else set(added)
        connection = connections[using]
        if in_transaction(using) and not connection.in_atomic_block:
            self._give_up(public_ids)
            return
        if self._keeper is not None and connection.in_atomic_block:
            _touched.setdefault(connection, set()).update(public_ids)
        self.in_force = InForce.ON_COMMIT
        after_commit(partial(self._act, using), using)

    def on_commit(self, act: Callable[[], object]) -> None:
        """Call ``act`` when ``in_force`` has changed from ``ON_COMMIT``; after a rollback never."""
        self._waiting.append(act)

    def _give_up(self, public_ids: set[uuid.UUID]) -> None:
        """Do what can be done where the site commits by itself (AUTOCOMMIT is off).

        Django does not learn of the commit, and other processes may copy the old row until then,
        so the copies are marked as stale at most.
        """
        if self._keeper is not None:
            self._keeper.doubt_copies(public_ids)
        is_late = self._keeper is not None or copies_are_out_of_reach()
        self.in_force = InForce.WITHIN_LEASE if is_late else InForce.ON_COMMIT
        self.public_ids = set()

    def _act(self, using: str) -> None:
        _touched.pop(connections[using], None)
        if self._keeper is not None:
            public_ids = self._ended(using)
            is_done = not public_ids or self._take_back(self._keeper, public_ids)
        else:
            is_done = not copies_are_out_of_reach()
        self.public_ids = set()
        outcomes = {InForce.NOW if is_done else InForce.WITHIN_LEASE, self.in_force}
        # One commit calls this once for each schedule(): the worst outcome counts.
        self.in_force = InForce.latest(outcomes - {InForce.ON_COMMIT})
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()

    def _ended(self, using: str) -> set[uuid.UUID]:
        """Return the sessions whose copies are to be invalidated."""
        return self.public_ids

    def _take_back(self, keeper: DropsCopies, public_ids: Collection[uuid.UUID]) -> bool:
        return keeper.drop_copies(public_ids)


class DoubtingRecall(Recall):
    """The recall of sessions that may be a visitor's, whose data in a cache are not to go."""

    def _take_back(self, keeper: DropsCopies, public_ids: Collection[uuid.UUID]) -> bool:
        return keeper.doubt_copies(public_ids)


class GatheredRecall(Recall):
    """The recall of rows that were deleted one by one.

    A row that the rollback of a savepoint has restored keeps its copy.
    """

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
    """Return the recall of the rows that this transaction deletes, with ``session`` added.

    A thousand rows that are deleted one by one then cost one round trip to the cache.
    """
    connection = connections[using]
    recall = _gathered.get(connection)
    # Empty: its transaction has committed. A rollback leaves the recall as it is, for the next
    # transaction, which may have another engine (override_settings).
    if recall is None or not recall.public_ids or recall.has_copies != engine_has_copies():
        recall = _gathered[connection] = GatheredRecall(type(session))
    recall.public_ids.add(session.public_id)
    # For each session: the savepoint of the last schedule() may be rolled back.
    recall.schedule(using, [session.public_id])
    return recall


def is_touched(public_id: uuid.UUID, using: str) -> bool:
    """Whether the open transaction has changed the row, so that the copy is older than the row."""
    touched = _touched.get(connections[using])
    if not touched:
        return False
    if not in_transaction(using):
        touched.clear()
    return public_id in touched


def repository_in_use() -> object:
    """Return the repository of the configured engine, None if that is none of ours."""
    store: object = conf.session_store
    return store.get_repository() if isinstance(store, HasRepository) else None


def _keeper_in_use() -> DropsCopies | None:
    repository = repository_in_use()
    return repository if isinstance(repository, DropsCopies) else None


def engine_has_copies() -> bool:
    """Whether the configured engine keeps anything in a cache."""
    return _keeper_in_use() is not None


def copies_are_out_of_reach() -> bool:
    """Whether the configured engine lets browsers hold what is believed for a lease."""
    repository: Any = repository_in_use()
    return bool(conf.lease) and repository is not None and repository.makes_tokens


def in_transaction(using: str) -> bool:
    """Whether a write to the database now can still be rolled back. Opens no connection."""
    connection = connections[using]
    if connection.in_atomic_block:
        return True
    if connection.connection is None:
        return not connection.settings_dict["AUTOCOMMIT"]
    return not connection.autocommit


def after_commit(act: Callable[[], object], using: str) -> None:
    """Call ``act`` after the commit of the open transaction, or at once if none is open.

    At once, too, where the site commits by itself: Django does not learn of such a commit.
    """
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(act, using=using)
    else:
        act()  # AUTOCOMMIT is off.


def first_after_commit(act: Callable[[], object], using: str) -> None:
    """Call ``act`` after the commit, before what others wait for.

    A callback that raises keeps those behind it from being called, though all was committed. So
    where ``act`` is not called, the transaction or its savepoint was rolled back.
    """
    connection: Any = connections[using]
    if connection.in_atomic_block:
        # As connection.on_commit() appends it.
        connection.run_on_commit.insert(0, (set(connection.savepoint_ids), act, False))
    else:
        after_commit(act, using)
