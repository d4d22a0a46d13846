"""What the session engines share: keys, the owner, the client, and what became of the session.

What builds on what::

    base     the key, the owner, the client, what became of the session
    rows     the row: finding and inserting it, its secret, its lease
    tracked  the life of a session that a row tracks: starting, merging, ending
    saving   a save over the version of the row that was loaded      -> the engine ``db``
    copied   a cache that is believed for a lease
             copies of rows (with ``saving``)                        -> the engine ``cached_db``
    apart    data that lie apart from a row
    data     in a cache alone (with ``copied``), and vouchers        -> the engine ``cache``
    opened     in a token (with ``apart``): what it says
    presented  believing it, asking the row
    renewed    issuing it anew
    cookie     saving it                        -> the engines ``signed_`` and ``encrypted_cookies``

The contract of the storage methods is Django's (``SessionBase``), with these rules of ours:

- unknown, expired or malformed key: ``load()`` returns {} and sets ``session_key`` to None;
  nothing is created. A malformed key costs no query.
- retired key (one that the session had until a login replaced it, less than 5 seconds before the
  request arrived): the same, and ``save()`` raises ``SessionGone`` instead of starting a session,
  so that a request in flight does not displace the new cookie. Only a new login starts one. Any
  other wrong secret is an unknown key.
- ``cycle_key()`` notes the wish for a new secret; the next ``save()`` writes it, together with
  the user and the data, in one statement.
- the session was revoked, or its key replaced, since it was loaded: ``save()`` writes nothing
  and raises ``SessionGone``, with two exceptions: after a login it starts a new session, and so it
  does for a visitor who has called ``cycle_key()`` or whose key was replaced long ago. ``create()``
  and a flush that is filled again do not revive a session either.
- tampered data: ``decode()`` returns {} and logs to ``django.security.SuspiciousSession``.
- an error of the database is an exception, never an empty session.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import Client
from django_sessionkit.keys import SplitKey
from django_sessionkit.signals import SessionEndReason
from django_sessionkit.signing import session_signer

AUTH_PREFIX = "_auth_user_"


class BaseSessionStore(SessionBase):
    """A session store whose sessions can be listed and revoked."""

    #: ``request.META``, set by the middleware; the client is read from it only when needed.
    client_meta: Mapping[str, Any] | None = None
    #: What ``session_ended`` says, and of whom, when this request flushes the session.
    flush_reason = SessionEndReason.FLUSHED
    flush_actor: Any = None
    #: ``time.monotonic()`` when the request arrived, set by the middleware; None: just now.
    arrived_at: float | None = None
    #: A login elsewhere has just replaced the key: no cookie but that of another login is set.
    is_retired = False
    #: This request ended the session: the cookie is deleted.
    is_flushed = False
    #: The session that flush() has ended last, if any.
    flushed_public_id: uuid.UUID | None = None
    #: cycle_key() has made a session key since the last save, which that will write.
    has_new_key = False
    #: set_expiry() was called, so that the browser's cookie may have to live longer or shorter.
    has_new_expiry = False
    #: renew_lease() has made another cookie of the session that was loaded.
    has_new_cookie = False
    #: Somebody will ask for the user: it may come with the row.
    wants_user = False
    #: A transaction that rolls back takes along what ``save()`` has written in it.
    saves_roll_back = True
    #: What holds the data did not answer, so that it is not known whose session this is.
    is_unavailable = False

    _has_authenticated = False
    # The key is one of ours, but opens nothing: the browser may have got another one by now.
    _is_stale = False

    if TYPE_CHECKING:  # Django's; the stubs leave them out.

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def set_expiry(self, value: Any) -> None:
        self.has_new_expiry = True
        super().set_expiry(value)

    async def aset_expiry(self, value: Any) -> None:
        self.has_new_expiry = True
        await super().aset_expiry(value)

    @property
    def public_id(self) -> uuid.UUID | None:
        """The handle of this session that may be shown, or None where there is none.

        None too until the session has been loaded: what a cookie claims is not proven before.
        """
        raise NotImplementedError

    def mark_authenticated(self) -> None:
        """Note that the user has proven who they are; the next save writes it to the row."""
        self._has_authenticated = True

    def renew_key_at_login(self) -> None:
        """Note that the key is to change, as its user has signed in again, unless it is new.

        A key is new for 60 seconds, so that a middleware which calls ``login()`` at each request
        does not replace the keys of requests beside it (OWASP ASVS 5.0, 7.2.4).
        """
        raise NotImplementedError

    def end_left_session(self, user: Any) -> None:
        """End the session that a login of ``user`` has flushed, whatever its key is by now."""

    def is_owned_by(self, user: Any) -> bool:
        """Tell whether ``user`` is signed in in this session, as far as it has been loaded."""
        data: dict[str, Any] = getattr(self, "_session_cache", {})
        return bool(data.get(AUTH_USER_ID) == user._meta.pk.value_to_string(user))

    def loaded_user(self) -> Any:
        """Return the user that came with the row of this session, or None."""
        return None

    def get_cookie_age(self) -> int:
        """Return how long a cookie of the session that was saved may live, in seconds."""
        return self.get_expiry_age()

    def renew_lease(self) -> None:
        """Move ``last_seen_at``, and the client with it, if the lease has run out.

        The middleware calls this when it sends a response. Loses nothing and raises nothing when
        the session has ended meanwhile.
        """
        raise NotImplementedError

    async def arenew_lease(self) -> None:
        """See renew_lease()."""
        await sync_to_async(self.renew_lease)()

    def lease_has_run_out(self) -> bool:
        """Whether ``renew_lease()`` has something to do; asks neither row nor cache."""
        raise NotImplementedError

    # As Django's, which make a signer each time.

    def encode(self, session_dict: dict[str, Any]) -> str:
        signer = session_signer(self.key_salt)
        return signer.sign_object(session_dict, serializer=self.serializer, compress=True)

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        try:
            signer = session_signer(self.key_salt)
            data: dict[str, Any] = signer.unsign_object(
                cast(str, session_data), serializer=self.serializer
            )
        except Exception:
            # Whatever it is, Django says so, and that the session is empty.
            return super().decode(session_data)
        return data

    def _parse(self, session_key: object) -> SplitKey | None:
        """Take a session key apart, as browsers hold it; return None if it is none of ours."""
        return SplitKey.parse(session_key)

    def _get_new_session_key(self) -> str:
        # No exists(): the unique constraint answers when the row is inserted.
        return SplitKey.generate().session_key

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    def _client(self) -> Client | None:
        return None if self.client_meta is None else Client.from_meta(self.client_meta)

    def _owner(self, data: Mapping[str, Any], model: type[AbstractSession]) -> Any:
        """Return the primary key of the signed-in user, or None.

        None too where the value does not fit the user model of today: AUTH_USER_MODEL may have
        changed since, and a session is no place to fail for it.
        """
        value = data.get(AUTH_USER_ID)
        if value is None:
            return None
        target = model._meta.get_field("user").target_field
        try:
            owner = target.to_python(value)
            target.run_validators(owner)
        except (ValidationError, TypeError, ValueError, OverflowError):
            return None
        return owner
