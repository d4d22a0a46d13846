"""What can happen to a session, and why sessions end: one type for log, signals and admin log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sessionkit.clients import Client


class SessionEndReason(TextChoices):
    """Why a session ended."""

    LOGOUT = "logout", _("signed out")
    FLUSHED = "flushed", _("emptied by the site")
    SUPERSEDED = "superseded", _("replaced by another sign-in")
    REVOKED = "revoked", _("revoked")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    USER_DEACTIVATED = "user_deactivated", _("user deactivated")
    USER_DELETED = "user_deleted", _("user deleted")
    EXPIRED = "expired", _("expired")
    LOST = "lost", _("lost by the cache")
    DELETED = "deleted", _("deleted")
    # Nothing sends these yet: timeouts, a limit of sessions, acting as another user.
    IDLE = "idle", _("not used for too long")
    ABSOLUTE = "absolute", _("open for too long")
    LIMIT = "limit", _("too many sessions")
    OWNER_CHANGED = "owner_changed", _("user of the session changed")
    ACTOR_ENDED = "actor_ended", _("session of the acting user ended")


class SessionEventType(StrEnum):
    """What happened."""

    #: A row was written: somebody signed in, or a visitor stored something.
    CREATED = "session_created"
    #: A sign-in was saved, into a new session, a visitor's or one of the same user.
    SIGNED_IN = "signed_in"
    #: A row was deleted.
    ENDED = "session_ended"
    #: A key that the session had before turned up when no request can be under way with it.
    LATE_KEY = "late_retired_key"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One thing that happened to one session. Holds no session key, nor the hash of one.

    ``reason`` and ``actor`` (who ended the session, where that is known) belong to ``ENDED``,
    as does ``at_once``: False where a copy is believed until its lease ends. ``client`` is the
    session's as last seen, of ``LATE_KEY`` whoever presented the key; within what
    SESSIONKIT_IP_ADDRESS allows now. ``age`` tells how long ago a late key was replaced.
    ``by_cleanup``: the row had ended before, and a clean-up has removed it.
    """

    what: SessionEventType
    at: datetime
    public_id: UUID
    user_id: Any
    reason: SessionEndReason | None = None
    actor: Any = None
    client: Client | None = None
    at_once: bool | None = None
    age: timedelta | None = None
    by_cleanup: bool = False
    #: The row, for receivers of the signals: it has the hash of the key, so it is never shown.
    session: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, what: SessionEventType, columns: Mapping[str, Any], **more: Any) -> Self:
        """Return what has just happened to the row with these columns.

        What was not read is not looked for: the row may be gone.
        """
        client = None
        if "ip_address" in columns and "user_agent" in columns:
            # As it would be stored now: the privacy setting may have been stricter since.
            client = Client.from_meta(
                {"REMOTE_ADDR": columns["ip_address"], "HTTP_USER_AGENT": columns["user_agent"]}
            )
        return cls(
            what=what,
            at=timezone.now(),
            public_id=columns["public_id"],
            user_id=columns.get("user_id"),
            client=client,
            **more,
        )

    @property
    def actor_id(self) -> Any:
        """The primary key of the actor, or None."""
        return getattr(self.actor, "pk", None)
