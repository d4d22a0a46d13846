"""What can happen to a session, and why sessions end: one type for log, signals and admin log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class InForce(StrEnum):
    """From when on every process refuses the key of a session that ended."""

    #: From now on.
    NOW = "now"
    #: Within ``SESSIONKIT_LEASE`` seconds. Browsers hold the session in a cookie, or a cache that
    #: did not answer has a copy; cookies and copies are believed until their lease ends.
    WITHIN_LEASE = "within_lease"
    #: From the commit on, or within a lease after that: the transaction that deleted the row is
    #: still open.
    ON_COMMIT = "on_commit"

    @classmethod
    def latest(cls, states: Iterable[InForce]) -> InForce:
        """Return the latest of the states, which holds for all; NOW if there is none."""
        return max(states, key=list(cls).index, default=cls.NOW)


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

    ``ENDED`` alone has a ``reason``, an ``actor`` (the user who ended the session, if known) and
    ``in_force``. ``client``: the session's client as last seen; of ``LATE_KEY`` the client that
    presented the key. Either within what SESSIONKIT_IP_ADDRESS allows now. ``age``: how long ago
    a late key was replaced. ``by_cleanup``: the session had ended before, and a clean-up has
    removed the row.
    """

    what: SessionEventType
    at: datetime
    public_id: UUID
    user_id: Any
    reason: SessionEndReason | None = None
    actor: Any = None
    client: Client | None = None
    in_force: InForce | None = None
    age: timedelta | None = None
    by_cleanup: bool = False
    #: The row, for receivers of the signals: it has the hash of the key, so it is never shown.
    session: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, what: SessionEventType, columns: Mapping[str, Any], **more: Any) -> Self:
        """Return the event that has just happened to the row with these columns.

        Columns that are missing are not queried: the row may be gone.
        """
        client = None
        if "ip_address" in columns and "user_agent" in columns:
            # As the client would be stored now: SESSIONKIT_IP_ADDRESS may be stricter by now.
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

    @property
    def at_once(self) -> bool | None:
        """Whether the end holds without waiting for a lease: told by ``session_ended`` and the log.

        None: nothing ended.
        """
        return None if self.in_force is None else self.in_force is not InForce.WITHIN_LEASE
