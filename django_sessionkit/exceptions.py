"""Errors of the package; a bad session is an empty session, never one of these."""

from django.contrib.sessions.backends.base import UpdateError


class SessionGone(UpdateError):  # noqa: N818 - like Django's SessionInterrupted
    """The session that this store holds was revoked, or its key was replaced, in the meantime.

    Raised by ``save()``; nothing was written. It is Django's ``UpdateError``, so that code
    written for Django's engines catches it.
    """


class CacheUnreachable(Exception):  # noqa: N818 - what has happened, not what was done wrong
    """The cache that SESSION_CACHE_ALIAS names did not answer, or refused.

    ``cached_db`` goes on with the row; of ``cache`` the methods that need the data raise this,
    and the middleware answers 503.
    """


class BadEntry(ValueError):  # noqa: N818
    """What lies in the cache is not what we put there; the message says why."""
