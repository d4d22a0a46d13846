"""The session store: Django's contract over a repository of sessions.

The contract is that of Django's ``SessionBase``, with these rules of ours:

- unknown, expired or malformed key: ``load()`` returns {} and sets ``session_key`` to None;
  nothing is created. A malformed key costs no query.
- retired key (one that the session had until a login replaced it, less than 5 seconds before the
  request arrived): the same, and ``save()`` raises ``SessionGone`` instead of starting a session,
  so that a request in flight does not displace the new cookie. Only a new login starts one. Any
  other wrong secret is an unknown key.
- ``cycle_key()`` notes the wish for a new secret; the next ``save()`` writes the secret, together
  with the user and the data, in one statement.
- the session was revoked, or its key replaced, since it was loaded: ``save()`` writes nothing
  and raises ``SessionGone``, with two exceptions: after a login it starts a new session, and so it
  does for a visitor who has called ``cycle_key()`` or whose key was replaced long ago. ``create()``
  and a flush that is filled again do not revive a session either; nor does a login of the user
  whose session a second ``load()`` has found gone.
- tampered data: ``decode()`` returns {} and logs to ``django.security.SuspiciousSession``.
- an error of the database or the cache is an exception, never an empty session.

The async twins of Django's ``SessionBase`` run the whole sync method in one thread hop.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError

from django_sessionkit import announcing, cleanup, users
from django_sessionkit.backends.held import Flushed, SignIn, State
from django_sessionkit.backends.reading import ReadingStore, noting_outages
from django_sessionkit.backends.saving import Saving
from django_sessionkit.events import SessionEndReason
from django_sessionkit.exceptions import KeyReplaced, SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.columns import has_new_secret
from django_sessionkit.storage.protocol import ClosesVisitors
from django_sessionkit.storage.records import EndCause, Gone, MustAsk, Record, Source, Unknown
from django_sessionkit.storage.retired import ReplacedKey

#: A new public id that is in use is a wonder; more than that many are a fault.
CREATE_TRIES = 3


class BaseSessionStore(ReadingStore):
    """A session store whose sessions can be listed and revoked."""

    # ---- Starting and saving ----

    def create(self) -> None:
        if self._had_user():
            # Django leaves the old session as well. Ours is one, and revoked as one: a second,
            # made of the data of the first, would outlive it.
            self.cycle_key()
            with suppress(SessionGone):  # save() will say so again
                self.save()
            self.modified = True
            return
        for _ in range(CREATE_TRIES):
            self._start()
            if self._held.must_not_start:
                return  # Nothing is written; and save() will say so.
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise CreateError("No unused session key was found.")

    def _start(self) -> None:
        key = SplitKey.generate()
        self._held.start(key)
        self._session_key = key.session_key

    @noting_outages
    def save(self, must_create: bool = False) -> None:
        held = self._held
        is_pending = must_create or held.state is State.PENDING
        if held.state is State.UNREAD and not is_pending and self._session_key is not None:
            self._find_base()
        if held.state is State.GONE or (held.refused is not None and held.must_not_start):
            raise SessionGone("The session has ended.")
        if held.refused is not None and self._is_signed_in_elsewhere():
            return
        if self._session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        has_lost_user = held.flushed is not None and held.flushed.has_lost_user
        if has_lost_user and AUTH_USER_ID in data and not held.is_signing_in:
            raise SessionGone("The session had ended before it was flushed.")
        owner_before = None if held.current is None else held.current.columns["user_id"]
        if is_pending:
            self._insert(data)
        else:
            gone = Saving(self, held, self._repository).update(data)
            if gone is not None and not self._start_over(gone, data):
                return
        self._note_saved(owner_before)

    def _find_base(self) -> None:
        """Find the session to save over. Raises SessionGone if there is none, and no data."""
        data = self._get_session()
        self._look_up()
        if self._session_key is None and not data:
            raise SessionGone("There is no such session, and nothing to start one with.")

    def _insert(self, data: dict[str, Any]) -> None:
        key = self._key_of_draft()
        if key is None:
            raise CreateError("Not a session key of this engine.")
        if self._held.new_key is None and self._repository.makes_tokens:
            # No key was made here, so the token is that of an existing session.
            raise CreateError("The session key is in use.")
        Saving(self, self._held, self._repository).insert(key, data)

    def _start_over(self, gone: Gone, data: dict[str, Any]) -> bool:
        """Save the data as a new session, since the one that was loaded has gone.

        Returns False where nothing of the request is to be saved. Raises SessionGone where the
        session must not come back.
        """
        held, had_user, has_new_key = self._held, self._had_user(), self.has_new_key
        if gone.is_replaced and held.record is not None:
            held.judge(self._repository.judge(held.record, self, self.facts))
        if self._is_signed_in_elsewhere():
            return False
        # A visitor's may start over. But a save alone does not bring back what was deleted.
        is_visitors = not (had_user or self.is_retired) and (gone.is_replaced or has_new_key)
        if not (held.is_signing_in or is_visitors):
            if gone.is_replaced:
                raise KeyReplaced("The key of the session was replaced meanwhile.")
            raise SessionGone("The session was revoked meanwhile.")
        self._start()
        self._insert(data)
        return True

    def _note_saved(self, owner_before: Any) -> None:
        held, record = self._held, self._held.current
        if record is None:
            return
        if held.refused is not None or held.flushed is not None:
            held.settle_verdicts()
        if self._repository.makes_tokens:
            self._session_key = self._repository.session_key(record, self._session_key)
            self.modified = True  # The response has to carry the token, as with Django's own.
        if (sign_in := held.signed_in(owner_before)) is not None:
            using = self._repository.using
            announcing.announce_sign_in(record.columns, using, sign_in.settle)

    def _is_signed_in_elsewhere(self) -> bool:
        """Whether a login presents a key of the same user that another request has just changed.

        Such a login counts for this request alone, and nothing of it is saved. The response with
        the new key has the cookie.
        """
        retired = self._held.retired_key
        if retired is None or not retired.was_users or not self._held.is_signing_in:
            return False
        owner = users.signed_in(self._get_session(), self.model)
        return owner is not None and owner == retired.user_id

    # ---- A new key, and signing in ----

    def cycle_key(self) -> None:
        self._get_session()
        # clear() empties the store without reading. The session is looked up, so that the next save
        # changes its key instead of leaving the session alive under the present one.
        self._look_up()
        self._held.change_key(had_user=self._held.current is None and self._had_user())
        if self._held.new_key is not None:
            self._session_key = self._held.new_key.session_key
        self.modified = True

    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()

    def mark_authenticated(self) -> None:
        """Note that the user has proven who they are; the next save writes it to the row."""
        self._held.sign_in = SignIn()

    def renew_key_at_login(self) -> None:
        """Note that the key is to change, as its user has signed in again, unless it is new.

        A key is new for 60 seconds, so that a middleware which calls ``login()`` at each request
        does not replace the keys of requests beside it (OWASP ASVS 5.0, 7.2.4).
        """
        self._get_session()
        record = self._held.current
        if record is not None and record.has_row:
            # A copy or a token may speak of a row that was revoked: the row itself is asked.
            whole = self._repository.whole(record)
            if isinstance(whole, Record) and has_new_secret(whole.columns):
                return
        self.cycle_key()

    # ---- Ending ----

    @noting_outages
    def delete(self, session_key: str | None = None) -> None:
        target = self._target()
        if session_key:
            target, session_key = self._repository.peek(session_key, self), None
        if target is not None and not isinstance(target, Unknown):
            self._repository.delete(target, EndCause(SessionEndReason.DELETED), self)

    def _target(self) -> Record | MustAsk | Unknown | None:
        """Return the session that the key of now opens, as far as that is known."""
        if self._held.state is not State.UNREAD:
            return self._held.current
        return self._repository.peek(self._session_key, self)

    @noting_outages
    def flush(self) -> None:
        held, repository, cause = self._held, self._repository, self.flush_cause
        target, left, had_user = self._target(), held.left, self._had_user()
        is_stale = held.refused is not None
        if isinstance(target, Unknown):
            # A token whose session is over opens nothing, as an unknown key.
            is_stale = is_stale or target.is_ours
            target = None
        self.clear()
        flushed = Flushed(None if target is None else target.public_id)
        if target is not None and not repository.delete(target, cause, self):
            user_id = None if held.record is None else held.record.user_id
            flushed = Flushed(target.public_id, user_id, has_lost_user=had_user)
            is_stale = True
            held.judge(repository.judge(target, self, self.facts))
        if left is not None and isinstance(repository, ClosesVisitors):
            repository.drop_visitor(left)
            is_stale = False
        replaced = held.refused
        if (
            cause.reason == SessionEndReason.LOGOUT
            and isinstance(replaced, ReplacedKey)
            and replaced.may_end_session
            and repository.delete_of_user(replaced.public_id, replaced.user_id, cause)
        ):
            held.refused, is_stale = None, False
        if isinstance(target, Record) and target.source is Source.TOKEN:
            # The token is believed until its lease ends, so a logout deletes the cookie even where
            # the row had gone.
            is_stale = False
        held.end(flushed, is_stale=is_stale)
        self._session_key = None

    async def aflush(self) -> None:
        await sync_to_async(self.flush)()

    def end_left_session(self, user: Any) -> None:
        """End the session that a login of ``user`` has flushed, though it has another key by now.

        That is a session of somebody else, who has signed in again in another tab meanwhile.
        """
        flushed = self._held.flushed
        if flushed is None or flushed.public_id is None or flushed.left_user is None:
            return
        self._held.flushed = flushed._replace(left_user=None)
        if flushed.left_user != user.pk:
            cause = EndCause(SessionEndReason.SUPERSEDED, user)
            self._repository.delete_of_user(flushed.public_id, flushed.left_user, cause)

    @classmethod
    def clear_expired(cls) -> None:
        cleanup.clear_expired(cls.get_model_class())

    # ---- Renewing ----

    def lease_has_run_out(self) -> bool:
        """Whether ``renew_lease()`` has something to do; asks neither row nor cache."""
        return self._held.current is not None and self._repository.is_due(self._held.current)

    def renew_lease(self) -> bool:
        """Move ``last_seen_at``, and the client with it, if the lease has run out.

        The middleware calls this when it sends a response. Loses nothing and raises nothing when
        the session has ended meanwhile. Returns whether the session has another cookie by now.
        """
        record, key = self._held.current, self._session_key
        if record is None:
            return False
        self._held.current = renewed = self._repository.renew(record, self, self.facts)
        if self._held.new_key is None:
            self._session_key = self._repository.session_key(renewed, key)
        return key != self._session_key

    async def arenew_lease(self) -> bool:
        """See renew_lease()."""
        return await sync_to_async(self.renew_lease)()
