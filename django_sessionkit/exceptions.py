"""Errors of the package; a bad session is an empty session, never one of these."""

from django.contrib.sessions.backends.base import UpdateError


class SessionGone(UpdateError):  # noqa: N818 - like Django's SessionInterrupted
    """The session that this store holds was revoked, or its key was replaced, in the meantime.

    Raised by ``save()``; nothing was written. It is Django's ``UpdateError``, so that code
    written for Django's engines catches it.
    """
