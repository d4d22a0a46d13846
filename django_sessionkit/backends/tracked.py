"""What every engine does with a session that a row tracks: starting, saving, ending it.

``exists``, ``create``, ``save``, ``delete``, ``load`` and ``clear_expired`` have the async twins
of Django's ``SessionBase``, which run the whole sync method in one thread hop; ``cycle_key`` and
``flush`` have theirs here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import CreateError

from django_sessionkit import announcing, cleanup
from django_sessionkit.backends.base import AUTH_PREFIX
from django_sessionkit.backends.replaced import ReplacedKey
from django_sessionkit.backends.rows import RowStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.ending import end
from django_sessionkit.exceptions import KeyReplaced, SessionGone
from django_sessionkit.keys import MARK_BYTES, SplitKey
from django_sessionkit.merge import merge
from django_sessionkit.signals import SessionEndReason

#: A new public id that is in use is a wonder; more than that many are a fault.
CREATE_TRIES = 3


@dataclass(eq=False, slots=True)
class SignIn:
    """One sign-in, of which the audit log tells once."""

    is_told: bool = False


class TrackedStore(RowStore):
    """A session that a row tracks."""

    # The session ended while this store held it, and nothing of it is saved any more.
    _is_gone = False
    # It ended before this store flushed it: whoever was signed in is not signed in again.
    _has_lost_user = False
    # The last sign-in, if no save of that has been committed and told yet.
    _owed_sign_in: SignIn | None = None
    # The session, and its user, that a flush has not ended, since it has another key by now.
    _left: tuple[uuid.UUID, Any] | None = None

    def exists(self, session_key: str | None) -> bool:
        key = self._parse(session_key)
        if key is None:
            return False
        stored = self._rows().filter(public_id=key.public_id).values_list("secret_hash", flat=True)
        return any(key.proves(secret_hash) for secret_hash in stored)

    def load(self) -> dict[str, Any]:
        if self._is_deferred:
            return {}  # Nothing has been written yet.
        row = self._read()
        if not hasattr(self, "_session_cache"):
            self._remember(row)
        elif row is None and self._row is not None:
            # Loaded again, and it has ended meanwhile: the dictionary must not start another.
            self._is_gone = True
        # Else the row that the present dictionary was made from stays the base of its save.
        return self._decoded(row) if row else {}

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
            self._session_key = self._get_new_session_key()
            if self._must_not_start():
                # No row; and save() will say so.
                self._is_deferred = True
                return
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise CreateError("No unused session key was found.")

    def save(self, must_create: bool = False) -> None:
        if not must_create and not self._is_deferred and self._session_key is not None:
            self._look_up()
        if self._is_gone or self._must_not_start():
            raise SessionGone("The session has ended.")
        if self._is_signed_in_elsewhere():
            return
        if self._session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        if self._has_lost_user and AUTH_USER_ID in data and not self._has_authenticated:
            raise SessionGone("The session had ended before it was flushed.")
        owner_before = getattr(self._current_row(), "user_id", None)
        if must_create or self._is_deferred:
            self._insert(data)
            self._is_deferred = False
        else:
            try:
                self._update(data)
            except SessionGone as error:
                if not self._may_start_over(data, is_replaced=isinstance(error, KeyReplaced)):
                    if self._is_signed_in_elsewhere():
                        return
                    raise
                self._start_over(data)
        self._announce_sign_in(owner_before)
        self.has_new_key = self._has_authenticated = self.is_retired = False
        self._has_lost_user, self._replaced = False, None

    def delete(self, session_key: str | None = None) -> None:
        key = self._parse(session_key) if session_key else SplitKey.parse(self._session_key)
        if key:
            self._end(key, SessionEndReason.DELETED)

    def flush(self) -> None:
        key = None if self._is_deferred else SplitKey.parse(self._session_key)
        had_user = self._had_user()
        self.flushed_public_id = None if key is None else key.public_id
        self.clear()
        if key and not self._end(key, self.flush_reason, self.flush_actor):
            self._has_lost_user = had_user
            self._is_stale = True
            if self._row is not None and self._row.user_id is not None:
                self._left = (key.public_id, self._row.user_id)
            self._judge_held_key(key)
        is_logout = self.flush_reason == SessionEndReason.LOGOUT
        if is_logout and self._replaced is not None and self._replaced.may_end_session:
            self._is_stale = not self._end_by_replaced_key(self._replaced)
            self.is_retired = self.is_retired and self._is_stale
        self.is_flushed = not self._is_stale
        self._session_key = None
        self._remember(None)
        self._is_deferred = self._is_gone = self.has_new_key = False
        self._replaced = None

    async def aflush(self) -> None:
        await sync_to_async(self.flush)()

    def cycle_key(self) -> None:
        self._get_session()
        if self._session_key is not None and self._row is None and not self._is_deferred:
            # clear() does that; the session of before must not outlive this.
            self._remember(self._read())
        row = self._current_row()
        if row is not None and self._keeps_public_id(row):
            # The save writes the secret, in one statement with the user: were it written here, a
            # login of somebody else could come in between.
            key = SplitKey.generate(row.public_id)
            self._session_key = self._row_key = key.session_key
        elif row is None and self._had_user():
            # It ended while somebody was signed in, and is not revived.
            self._is_gone = True
        else:
            self._defer(row)
        self.has_new_key = True
        self.modified = True

    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()

    def renew_key_at_login(self) -> None:
        self._get_session()
        row = self._current_row()
        if row is not None and self._keeps_public_id(row):
            # A copy or a token may speak of a row that was revoked: the row itself is asked.
            whole = self._read_whole(row)
            if whole is not None and self._has_new_secret(whole):
                return
        self.cycle_key()

    @classmethod
    def clear_expired(cls) -> None:
        cleanup.clear_expired(cls.get_model_class())

    def _must_not_start(self) -> bool:
        """Whether a login elsewhere has replaced the key, and this is no login."""
        return self.is_retired and not self._has_authenticated

    def _announce_sign_in(self, owner_before: Any) -> None:
        """Tell that somebody has signed in, once a save of that has been committed."""
        row = self._current_row()
        if row is None or row.user_id is None:
            return
        if self._has_authenticated or row.user_id != owner_before:
            self._owed_sign_in = SignIn()
        if self._owed_sign_in is not None:
            is_due = partial(self._settle_sign_in, self._owed_sign_in)
            announcing.announce_sign_in(row, self._using, is_due)

    def _settle_sign_in(self, sign_in: SignIn) -> bool:
        """Note that the sign-in is told; return False if it was before."""
        was_told, sign_in.is_told = sign_in.is_told, True
        if self._owed_sign_in is sign_in:
            self._owed_sign_in = None
        return not was_told

    def _look_up(self) -> None:
        """Find the row to save over, where the dictionary was filled without being loaded."""
        data = self._get_session()
        if self._session_key is not None and self._current_row() is None:
            # clear() does that; what is there is the base of the save.
            self._remember(self._read())
        if self._session_key is None and not data:
            raise SessionGone("There is no such session, and nothing to start one with.")

    def _defer(self, left: AbstractSession | None = None) -> None:
        """Go on under a new public id, whose row the save inserts.

        ``left``: the session that was loaded, if its data are to go along.
        """
        self._session_key = self._get_new_session_key()
        self._is_deferred, self._is_gone = True, False

    def _keeps_public_id(self, row: AbstractSession) -> bool:
        """Whether a new key of the session is another secret of its row."""
        return True

    def _read_whole(self, row: AbstractSession) -> AbstractSession | None:
        """Return the row with all its columns as they are now; None if it has ended.

        The row that was loaded does if it comes from the database.
        """
        return row

    def end_left_session(self, user: Any) -> None:
        """End the session that a login of ``user`` has flushed, though it has another key by now.

        That is a session of somebody else, who has signed in again in another tab meanwhile.
        """
        left, self._left = self._left, None
        if left is not None and left[1] != user.pk:
            rows = self._rows().filter(public_id=left[0], user=left[1])
            reason = SessionEndReason.SUPERSEDED
            end(rows, reason=reason, actor=user, public_ids=[left[0]])

    def _is_signed_in_elsewhere(self) -> bool:
        """Whether a login presents a key of the same user that another request has just changed.

        Such a login counts for this request alone, and nothing of it is saved. The response with
        the new key has the cookie.
        """
        replaced = self._replaced
        if replaced is None or not (replaced.is_retired and replaced.was_users):
            return False
        if not self._has_authenticated:
            return False
        owner = self._owner(self._get_session(), self.model)
        return owner is not None and owner == replaced.user_id

    def _may_start_over(self, data: Mapping[str, Any], *, is_replaced: bool) -> bool:
        """Whether a save starts a new session, since the one that was loaded has gone.

        ``is_replaced``: it goes on under another key.
        """
        base, key = self._row, SplitKey.parse(self._session_key)
        had_user = self._had_user()
        if is_replaced and base is not None and key is not None:
            # A copy that still says otherwise would lose every save until its lease ends.
            self._doubt(base)
            self._judge_held_key(key)
        if self._has_authenticated:
            return not self._is_signed_in_elsewhere()
        if had_user or self.is_retired:
            return False
        # A visitor's. A save alone does not bring back what was deleted.
        return is_replaced or self.has_new_key

    def _judge_held_key(self, key: SplitKey) -> None:
        """Note what the key is worth with which this store holds a session that moved on."""
        row, base = self._first(key), self._row
        if row is not None and not row.is_active:
            row = None
        if row is not None and base is not None and self._is_from_row(base):
            # The row had this key when the request loaded it, so it was replaced since.
            was_users = base.user_id is not None
            self._judge(ReplacedKey(key.public_id, base.user_id, timedelta(0), was_users))
            return
        mark = key.mark if base is None else bytes(base.secret_hash)[:MARK_BYTES]
        self._judge(self._replaced_key(row, mark))

    def _is_from_row(self, row: AbstractSession) -> bool:
        """Whether it was read from the database, or written to it, not taken from a copy."""
        return True

    def _start_over(self, data: dict[str, Any]) -> None:
        """Insert a new session that holds the data."""
        self._remember(None)
        self._defer()
        self._insert(data)
        self._is_deferred = False

    def _doubt(self, row: AbstractSession) -> None:
        """Believe no copy of the row any more."""

    def _end_by_replaced_key(self, replaced: ReplacedKey) -> int:
        """End the session that had the key; return 0 if it has ended, or has another user."""
        rows = self._rows().filter(public_id=replaced.public_id, user=replaced.user_id)
        return end(
            rows,
            reason=self.flush_reason,
            actor=self.flush_actor,
            public_ids=[replaced.public_id],
        ).count

    def _had_user(self) -> bool:
        """Whether somebody was signed in in the row that this store has read or written."""
        return self._row is not None and AUTH_USER_ID in self._decoded(self._row)

    def _end(self, key: SplitKey, reason: SessionEndReason, actor: Any = None) -> int:
        """Delete the row of the key; return 0 if there is none, or none of this key.

        Where somebody signs out whose row was loaded, it is this user's session that ends,
        whatever its secret by now: a logout in one tab is not undone by signing in again in
        another. (Else by the secret: Django flushes too when the password was changed meanwhile,
        and the session in which that was done goes on under another key.)
        """
        rows, row = self._rows().filter(public_id=key.public_id), self._row
        if row is None or row.public_id != key.public_id:
            rows = rows.filter(secret_hash=key.secret_hash)
        elif row.user_id is None or reason != SessionEndReason.LOGOUT:
            rows = rows.filter(secret_hash=bytes(row.secret_hash))
        else:
            rows = rows.filter(user=row.user_id)
        return end(rows, reason=reason, actor=actor, public_ids=[key.public_id]).count

    def _update(self, data: dict[str, Any]) -> None:
        """Write ``data`` over what was loaded, merged with what others have saved since.

        Raises SessionGone if the session has ended, or its key was replaced.
        """
        raise NotImplementedError

    def _changed(self, base: AbstractSession, data: dict[str, Any]) -> AbstractSession:
        """Return the row ``base`` as it is to be with the data.

        Raises SessionGone if it is asked for a column that the cache does not hold, and is gone.
        """
        # The base of what is in the dictionary stays what was loaded, until a write succeeds.
        loaded, self._row = self._row, base
        try:
            obj = self.create_model_instance(data)
            self._set_secret(base, obj)
            return obj
        except self.model.DoesNotExist as error:
            raise SessionGone("The session has ended.") from error
        finally:
            self._row = loaded

    def _merge(
        self, base: AbstractSession, mine: dict[str, Any], theirs: AbstractSession
    ) -> dict[str, Any]:
        # Decoded again: the view may have changed nested values of what was decoded at load.
        before, after = self._decoded(base), self._decoded(theirs)
        if _auth(before) != _auth(after):
            # Somebody else's session by now, be it that nobody was signed in before.
            raise SessionGone("Somebody signed in or out meanwhile.")
        return merge(before, mine, after, self.serializer().dumps)

    def _adopt(self, data: dict[str, Any]) -> None:
        """Show in this store what was saved, so that its next save starts from there."""
        cache = self._get_session()
        if data is not cache:
            cache.clear()
            cache.update(data)


def _auth(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if str(key).startswith(AUTH_PREFIX)}
