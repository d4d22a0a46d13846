"""What Django's admin log has of sessions: who ended whose session, and why.

Made of the events that the audit log and the signals tell, but written with the revocation, in
one transaction where both lie in one database: logged and done, or neither. After the commit it
would be lost with a process that dies in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.events import SessionEndReason, SessionEvent, SessionEventType


def log_ends(
    model: type[AbstractSession],
    actor: Any,
    owner: Callable[[AbstractSession], str],
    sessions: Iterable[AbstractSession],
) -> list[LogEntry]:
    """Log that ``actor`` revokes the sessions, of each of which ``owner`` tells whose it is."""
    content_type = ContentType.objects.get_for_model(model)
    events = [
        SessionEvent.of(
            SessionEventType.ENDED,
            vars(session),
            reason=SessionEndReason.REVOKED,
            actor=actor,
            session=session,
        )
        for session in sessions
    ]
    return LogEntry.objects.bulk_create(
        LogEntry(
            user_id=event.actor_id,
            content_type_id=content_type.pk,
            object_id=str(event.public_id),
            object_repr=str(event.public_id),
            action_flag=DELETION,
            change_message=_words(event, owner(event.session)),
        )
        for event in events
    )


def _words(event: SessionEvent, owner: str) -> str:
    words = gettext("The session of %(user)s ended: %(reason)s.")
    return words % {"user": owner, "reason": event.reason.label if event.reason else ""}
