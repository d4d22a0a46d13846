"""The audit log: sign-ins, ends of sessions and late keys, on the logger ``sessionkit.audit``.

Each line begins with constant words and goes on with ``name=value`` pairs; the record has the
same values as attributes, for formatters that write JSON. (``record.msg`` is constant, for those
who count messages before their arguments are filled in.) Text that a client, or a user's primary
key, brings along is escaped in both, so that it can neither begin a line of its own nor pass for
another pair (CWE-117). Of the session key nothing is in there, not even its hash.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from django_sessionkit.events import SessionEndReason, SessionEvent, SessionEventType

logger = logging.getLogger("sessionkit.audit")

#: The messages. A new row is none: it is a sign-in as well, or a visitor's (bots).
MESSAGES: Mapping[SessionEventType, str] = {
    SessionEventType.SIGNED_IN: "signed in %s",
    SessionEventType.ENDED: "session ended %s",
    SessionEventType.LATE_KEY: "retired key turned up late %s",
}
CLEANUP_MESSAGE = "ended sessions removed %s"

#: What each record has, be it None, so that a formatter may name them.
FIELDS = (
    "event",
    "at",
    "public_id",
    "user_id",
    "reason",
    "actor_id",
    "at_once",
    "age",
    "count",
    "ip_address",
    "user_agent",
)

#: What a value may consist of where it stands without quotes.
_BARE = re.compile(r"[\w.:@+-]+", re.ASCII)


def wants_sign_ins() -> bool:
    """Whether anybody reads of sign-ins."""
    return logger.isEnabledFor(logging.INFO)


def wants_ends(*, by_cleanup: bool) -> bool:
    """Whether anybody reads of ends; of what a clean-up removes each by itself at DEBUG alone."""
    return logger.isEnabledFor(logging.DEBUG if by_cleanup else logging.INFO)


def write(event: SessionEvent) -> None:
    """Log the event, if it is one for the log."""
    level = _level(event)
    if event.what in MESSAGES and logger.isEnabledFor(level):
        _log(level, MESSAGES[event.what], _fields(event))


def write_cleanup(counts: Mapping[SessionEndReason, int]) -> None:
    """Log how many rows a clean-up has removed, by the reason for which they had ended."""
    if counts and logger.isEnabledFor(logging.INFO):
        by_reason = {reason.value: count for reason, count in counts.items()}
        known = {"event": "sessions_removed", "count": sum(counts.values())}
        _log(logging.INFO, CLEANUP_MESSAGE, {**known, **by_reason})


def _level(event: SessionEvent) -> int:
    if event.what is SessionEventType.LATE_KEY:
        return logging.WARNING
    if event.by_cleanup:
        return logging.DEBUG
    # That a visitor's session ended is worth a line where somebody ended it.
    is_of_somebody = event.user_id is not None or event.actor_id is not None
    return logging.INFO if is_of_somebody else logging.DEBUG


def _fields(event: SessionEvent) -> dict[str, Any]:
    client, reason = event.client, event.reason
    return {
        "event": event.what.value,
        "at": event.at.isoformat(),
        "public_id": str(event.public_id),
        "user_id": _plain(event.user_id),
        # A project may pass a text of its own.
        "reason": None if reason is None else _plain(getattr(reason, "value", reason)),
        "actor_id": _plain(event.actor_id),
        "at_once": event.at_once,
        "age": None if event.age is None else round(event.age.total_seconds(), 3),
        "ip_address": None if client is None else client.ip_address,
        "user_agent": None if client is None else _plain(client.user_agent),
    }


def _log(level: int, message: str, fields: Mapping[str, Any]) -> None:
    pairs = [
        f"{name}={_quoted(value)}"
        for name, value in fields.items()
        # A line has its own time, and says by its first words what happened.
        if value not in (None, "") and name not in ("event", "at")
    ]
    logger.log(level, message, " ".join(pairs), extra={**dict.fromkeys(FIELDS), **fields})


def _plain(value: Any) -> Any:
    """Return the value as JSON has it, text without what a terminal or a reader of lines obeys."""
    if value is None or isinstance(value, bool | int):
        return value
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def _quoted(value: Any) -> str:
    text = str(value)
    # JSON, in which nothing looks like a pair even to those who do not mind the quotes.
    return text if _BARE.fullmatch(text) else json.dumps(text).replace("=", r"\u003d")
