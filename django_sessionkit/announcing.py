"""Announces events to the audit log and the signals, once the transaction has committed.

(The admin's log is written in one transaction with the revocation itself, and made of the same
events: see ``admin/log.py``.)
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.http import HttpRequest
from django.utils import timezone

from django_sessionkit import audit
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import Client
from django_sessionkit.current import current_request
from django_sessionkit.events import SessionEndReason, SessionEvent, SessionEventType
from django_sessionkit.recall import Recall, after_commit
from django_sessionkit.signals import session_created, session_ended

#: Where a request keeps the ends whose reason is open; None once its view is done.
_UNDECIDED = "_sessionkit_undecided_ends"

logger = logging.getLogger("django_sessionkit")


def tell(events: Iterable[SessionEvent]) -> None:
    """Hand the events to each sink: audit log and signals. A sink that fails is logged."""
    for event in events:
        for sink in (audit.write, _send_signal):
            _try(partial(sink, event), event.public_id)


def _try(sink: Callable[[], object], about: object) -> None:
    try:
        sink()
    except Exception:
        # A handler of the log that fails, such as a full disk, is no reason to fail a request.
        logger.exception("What happened to session %s could not be told", about)


def _send_signal(event: SessionEvent) -> None:
    session = event.session
    if session is None:
        return
    if event.what is SessionEventType.CREATED:
        session_created.send_robust(sender=type(session), session=session)
    elif event.what is SessionEventType.ENDED:
        session_ended.send_robust(
            sender=type(session),
            session=session,
            reason=event.reason,
            actor=event.actor,
            at_once=event.at_once,
        )


# Events


def announce_start(
    make_row: Callable[[], AbstractSession], model: type[AbstractSession], using: str
) -> None:
    """Announce, after commit, that a row of ``model`` was inserted.

    ``make_row`` makes the instance, which is needed only where a receiver listens.
    """
    if session_created.has_listeners(model):
        session = make_row()
        event = SessionEvent.of(SessionEventType.CREATED, vars(session), session=session)
        after_commit(partial(tell, [event]), using)


def announce_sign_in(columns: Mapping[str, Any], using: str, is_due: Callable[[], bool]) -> None:
    """Announce, after commit, that a sign-in was saved into the row, if ``is_due()`` by then.

    A save that was rolled back is repeated, and the repeated save is announced as well.
    """
    if not audit.wants_sign_ins():
        return
    event = SessionEvent.of(SessionEventType.SIGNED_IN, columns)

    def tell_if_due() -> None:
        if is_due():
            tell([event])

    after_commit(tell_if_due, using)


def announce_ends(
    ended: Sequence[AbstractSession | Mapping[str, Any]],
    *,
    model: type[AbstractSession],
    reason: SessionEndReason,
    actor: Any,
    recall: Recall,
    using: str,
    by_cleanup: bool = False,
) -> None:
    """Announce, after commit, that rows of ``model`` were deleted.

    ``ended``: the instances, for receivers of the signal, or columns of the rows, for the log.
    Call ``recall.schedule()`` before: the events tell what came of the recall.
    """
    is_wanted = audit.wants_ends(by_cleanup=by_cleanup) or session_ended.has_listeners(model)
    if not ended or not is_wanted:
        return
    events = [
        SessionEvent.of(
            SessionEventType.ENDED,
            vars(one) if isinstance(one, AbstractSession) else one,
            reason=reason,
            actor=actor,
            by_cleanup=by_cleanup,
            session=one if isinstance(one, AbstractSession) else None,
        )
        for one in ended
    ]
    ends = _Ends(events, recall)
    request = current_request.get()
    if reason == SessionEndReason.FLUSHED and request is not None and _may_wait(request):
        request.__dict__.setdefault(_UNDECIDED, []).append(ends)
    else:
        ends.decide()
    after_commit(ends.commit, using)


def late_retired_key(public_id: UUID, user_id: Any, client: Client | None, age: timedelta) -> None:
    """Announce that ``client`` presented a key which was replaced ``age`` ago.

    At once: reading the session has written nothing that could be rolled back.
    """
    what = SessionEventType.LATE_KEY
    tell([SessionEvent(what, timezone.now(), public_id, user_id, client=client, age=age)])


def announce_cleanup(counts: Mapping[SessionEndReason, int], using: str) -> None:
    """Announce how many rows a clean-up has removed for each reason, by one line for all rows."""
    act = partial(_try, partial(audit.write_cleanup, counts), "*")
    if connections[using].in_atomic_block:
        transaction.on_commit(act, using=using)
    else:
        act()  # Without opening a connection: a failed connection may have stopped the clean-up.


# Why a request flushed


class _Ends:
    """Ends of sessions: announced when the deletion has committed and the reason is decided."""

    def __init__(self, events: list[SessionEvent], recall: Recall) -> None:
        self._events, self._recall = events, recall
        self._is_committed = self._is_decided = False

    @property
    def public_ids(self) -> list[UUID]:
        """The public ids of the sessions that ended."""
        return [event.public_id for event in self._events]

    def commit(self) -> None:
        """Note that the deletion has been committed."""
        self._is_committed = True
        self._tell()

    def decide(self, **changes: Any) -> None:
        """Note the reason (and the actor), as changes of the events."""
        self._events = [dataclasses.replace(event, **changes) for event in self._events]
        self._is_decided = True
        self._tell()

    def _tell(self) -> None:
        if self._is_committed and self._is_decided:
            events, self._events = self._events, []
            in_force = self._recall.in_force
            tell(dataclasses.replace(event, in_force=in_force) for event in events)


def a_login_has_flushed(public_id: UUID, user: Any) -> None:
    """Note that the session was flushed to make room for a sign-in of ``user``.

    Django's ``login()`` flushes another user's session before it sends ``user_logged_in``, so the
    end of a session that a request flushes is announced after that signal, or else after the view.
    """
    undecided = undecided_ends(current_request.get())
    for ends in [one for one in undecided if one.public_ids == [public_id]]:
        undecided.remove(ends)
        ends.decide(reason=SessionEndReason.SUPERSEDED, actor=user)


def undecided_ends(request: HttpRequest | None) -> list[_Ends]:
    """Return the ends whose reason is not decided yet."""
    waiting = None if request is None else request.__dict__.get(_UNDECIDED)
    return waiting or []


def _may_wait(request: HttpRequest) -> bool:
    """Whether the view still runs. A task that the view has started may outlive the view."""
    return request.__dict__.get(_UNDECIDED, ()) is not None


def no_login_follows(request: HttpRequest) -> None:
    """Note that the view is done: no sign-in will follow the flushes of this request."""
    undecided, request.__dict__[_UNDECIDED] = undecided_ends(request), None
    for ends in undecided:
        ends.decide()
