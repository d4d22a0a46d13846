"""Errors of the package; a bad session is an empty session, never one of these."""

from django.contrib.sessions.backends.base import UpdateError


class SessionGone(UpdateError):  # noqa: N818 - like Django's SessionInterrupted
    """The session that this store holds was revoked, or its key was replaced, in the meantime.

    Raised by ``save()``; nothing was written. It is Django's ``UpdateError``, so that code
    written for Django's engines catches it.
    """


class KeyReplaced(SessionGone):
    """The session goes on under another secret than the one that this store holds."""


class CacheUnreachable(Exception):  # noqa: N818 - what has happened, not what was done wrong
    """The cache that SESSION_CACHE_ALIAS names did not answer, or refused.

    ``cached_db`` goes on with the row; of ``cache`` the methods that need the data raise this,
    and the middleware answers 503.
    """


class BadEntry(ValueError):  # noqa: N818
    """What lies in the cache is not what we put there; the message says why."""


class CookieTooLarge(Exception):  # noqa: N818
    """The session does not fit into a cookie, which browsers would drop in silence.

    Nothing was saved. ``size`` is that of the cookie's name and value and ``limit`` what they may
    have, ``largest`` the largest keys of the session with the size of each, all in bytes.
    """

    def __init__(self, size: int, limit: int, largest: dict[str, int]) -> None:
        super().__init__(size, limit, largest)
        self.size, self.limit, self.largest = size, limit, largest

    def __str__(self) -> str:
        keys = ", ".join(f"{key!r} ({size} bytes)" for key, size in self.largest.items())
        return (
            f"The session cookie would have {self.size} bytes, and browsers keep {self.limit}. The "
            f"largest keys of the session: {keys}. Store less in it, or use an engine that keeps "
            "sessions on the server."
        )
