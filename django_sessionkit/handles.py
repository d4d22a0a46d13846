"""What the verbs accept as a session, as a user, and as the owner that a session must have."""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase

from django_sessionkit.base_session import AbstractSession, SessionQuerySet


class AnyOwner(Enum):
    """The type of ``ANY_OWNER``."""

    ANY_OWNER = "any owner"


#: For code that may end anybody's session: the admin, a command, a support tool.
ANY_OWNER: Final = AnyOwner.ANY_OWNER

#: A session that is named by its row or by its public id.
SessionHandle = AbstractSession | uuid.UUID | str


def read_handle(session: object) -> uuid.UUID | TypeError | ValueError:
    """Return the public id of what names a session, or the error to raise where nothing does.

    Returned, not raised, so that the caller can ``del`` its argument first: that may be a raw
    session key, which neither the message nor a frame of the traceback may hold.
    """
    if isinstance(session, AbstractSession):
        return session.public_id
    if isinstance(session, uuid.UUID):
        return session
    if isinstance(session, SessionBase):
        return TypeError("A session store names no session here; use request.session.public_id.")
    if not isinstance(session, str):
        kind = type(session).__name__
        return TypeError(f"A session is named by its row or its public id, not by {kind}.")
    try:
        return uuid.UUID(session)
    except ValueError:
        return ValueError(
            "This text is no public id of a session (a session key, for one, names none here)."
        )


def checked(handle: uuid.UUID | TypeError | ValueError) -> uuid.UUID:
    """Return the public id that ``read_handle()`` has found, or raise its error."""
    if isinstance(handle, uuid.UUID):
        return handle
    raise handle


def of_owner(rows: SessionQuerySet, owner: Any) -> SessionQuerySet:
    """Return the rows that belong to ``owner``: a user, a primary key, or ``ANY_OWNER``.

    Of somebody who has not signed in (AnonymousUser, None) there are none.
    """
    return rows if owner is ANY_OWNER else rows.for_user(owner)
