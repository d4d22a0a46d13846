"""The session store as far as it reads: what a project may override, and what others ask."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from functools import cached_property, lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.sessions.backends.base import SessionBase
from django.core.signals import setting_changed
from django.utils import timezone

from django_sessionkit import announcing, registry
from django_sessionkit.backends.drafting import row_of
from django_sessionkit.backends.held import Held, State
from django_sessionkit.backends.saving import Saving
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.events import SessionEndReason
from django_sessionkit.exceptions import CacheUnreachable
from django_sessionkit.keys import SplitKey
from django_sessionkit.signing import session_signer
from django_sessionkit.storage.protocol import MakesTokens, Repository
from django_sessionkit.storage.records import (
    EndCause,
    Found,
    MustAsk,
    Record,
    RequestFacts,
    Unknown,
)
from django_sessionkit.storage.retired import ReplacedKey


@lru_cache(maxsize=64)
def _repository_of(store: type[ReadingStore], alias: str) -> Repository:
    """Return the repository of a class of stores; SESSION_CACHE_ALIAS is ``alias``."""
    return store.get_repository()


def _forget(**kwargs: Any) -> None:
    _repository_of.cache_clear()  # A setting has changed, as settings do in tests.


setting_changed.connect(_forget, dispatch_uid="sessionkit.repositories")

M = TypeVar("M", bound=Callable[..., Any])


def noting_outages(method: M) -> M:
    """Note in the store when what holds its data did not answer."""

    @wraps(method)
    def noting(self: ReadingStore, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except CacheUnreachable:
            self.is_unavailable = True
            raise

    return cast(M, noting)


class ReadingStore(SessionBase):
    """A session store that finds its session.

    Beside what Django's has, its state is ``_held``, what is known of the request (``facts``,
    ``flush_cause``), and notes for the response (``has_new_expiry``, ``is_unavailable``).
    """

    #: set_expiry() was called, so that the browser's cookie may have to live longer or shorter.
    has_new_expiry = False
    #: What is known of the request; the middleware sets it.
    facts = RequestFacts()
    #: Why the session ends, and by whom, when this request flushes it.
    flush_cause = EndCause(SessionEndReason.FLUSHED)
    #: Whether the project overrides create_model_instance(); encode() or decode().
    fills_columns = encodes_by_itself = False
    #: What holds the data did not answer, so that it is not known whose session this is.
    is_unavailable = False

    if TYPE_CHECKING:  # Django's; the stubs leave them out.

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._held = Held()
        self._repository = _repository_of(type(self), settings.SESSION_CACHE_ALIAS)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        ours = ReadingStore
        cls.fills_columns = cls.create_model_instance is not ours.create_model_instance
        cls.encodes_by_itself = cls.encode is not ours.encode or cls.decode is not ours.decode

    @classmethod
    def get_repository(cls) -> Repository:
        """Return a repository of the sessions, stateless; each engine has its kind."""
        raise NotImplementedError

    # ---- What a project may override ----

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; override it to store columns of your own."""
        return registry.default_model()

    @cached_property
    def model(self) -> type[AbstractSession]:
        return self.get_model_class()

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return the row that represents the session as it is now.

        A copy of the row that was loaded, or a new one. Override it to fill columns of your own;
        ``save()`` writes those that differ from the loaded row. There is no async twin: saving
        takes one thread hop, and this runs within it. Raises CreateError where there is no key.
        """
        key, current = self._key_of_draft(), self._held.current
        return row_of(self, self._repository, data, key=key, current=current)

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

    def set_expiry(self, value: Any) -> None:
        self.has_new_expiry = True
        super().set_expiry(value)

    async def aset_expiry(self, value: Any) -> None:
        self.has_new_expiry = True
        await super().aset_expiry(value)

    # ---- What others ask of a store ----

    @property
    def public_id(self) -> uuid.UUID | None:
        """The handle of this session that may be shown, or None where there is none.

        None too until the session has been loaded: what a cookie claims is not proven before.
        """
        return self._held.public_id

    @property
    def session_key(self) -> str | None:
        key, repository = self._held.new_key, self._repository
        if key is None or not isinstance(repository, MakesTokens):
            return self._session_key
        if not hasattr(self, "_session_cache"):
            return None
        if self._session_key == key.session_key:
            saving = Saving(self, self._held, repository)
            self._session_key = saving.token(repository, key, self._session_cache)
        return self._session_key

    @property
    def is_retired(self) -> bool:
        """Whether a login elsewhere has just replaced the key that the browser presented.

        The response to such a request sets no cookie, unless the request itself signs in.
        """
        return self._held.retired_key is not None

    @property
    def is_flushed(self) -> bool:
        """Whether this request ended the session, so that the cookie is deleted."""
        return self._held.state is State.ENDED

    @property
    def flushed_public_id(self) -> uuid.UUID | None:
        """The session that ``flush()`` has ended last, if any."""
        return None if self._held.flushed is None else self._held.flushed.public_id

    @property
    def has_new_key(self) -> bool:
        """Whether ``cycle_key()`` has made a session key that no save has written yet."""
        return self._held.new_key is not None

    @property
    def is_signing_in(self) -> bool:
        """Whether the user has proven who they are since the last save."""
        return self._held.is_signing_in

    @property
    def saves_roll_back(self) -> bool:
        """Whether a transaction that rolls back takes along what ``save()`` has written in it."""
        return self._repository.is_transactional

    def public_id_in(self, session_key: object) -> uuid.UUID | None:
        """Return the public id that a session key claims, proven or not; None if it is not ours."""
        asked = self._repository.peek(session_key, self)
        return None if isinstance(asked, Unknown) else asked.public_id

    def loaded_user(self) -> Any:
        """Return the user that came with the row of this session, or None."""
        return None if self._held.current is None else self._held.current.columns.user

    def get_cookie_age(self) -> int:
        """Return how long a cookie of the session that was saved may live, in seconds."""
        end = None if self._held.current is None else self._held.current.payload.end
        if end is None or not self._repository.makes_tokens:
            return self.get_expiry_age()
        return math.ceil((end - timezone.now()).total_seconds())

    # ---- Reading ----

    @noting_outages
    def exists(self, session_key: str | None) -> bool:
        # Error pages show local variables, and the key must not be among them.
        asked, session_key = self._repository.peek(session_key, self), None
        return not isinstance(asked, Unknown) and self._repository.exists(asked, self)

    def load(self) -> dict[str, Any]:
        current = self._held.current
        if self._held.new_key is not None:
            # Not written yet: what the session was, if there was one.
            return {} if current is None else current.payload.fresh(self)
        presented = self._repository.peek(self._session_key, self)
        return {} if self._session_key is None else self._loaded(presented)

    async def aload(self) -> dict[str, Any]:
        if self._held.new_key is not None or self._session_key is None:
            return self.load()
        presented = self._repository.peek(self._session_key, self)
        if isinstance(presented, MustAsk):
            return await sync_to_async(self._loaded)(presented)
        return self._loaded(presented)  # no input or output, so no thread

    def _find(self, presented: Record | MustAsk | Unknown) -> Found:
        """Return what was presented, or what the row or the cache says of it."""
        if not isinstance(presented, MustAsk):
            return presented
        try:
            return self._repository.find(presented, self, self.facts)
        except CacheUnreachable:
            self.is_unavailable = True
            raise

    def _loaded(self, presented: Record | MustAsk | Unknown) -> dict[str, Any]:
        """Return the data of the session; the first record is the base of the next save."""
        found = self._find(presented)
        if not isinstance(found, Record):
            self._refuse(found)
            return {}
        if not hasattr(self, "_session_cache"):
            self._held.find(found)
        return found.payload.fresh(self)

    def _refuse(self, found: ReplacedKey | Unknown) -> None:
        """Forget a key that opens nothing, and remember what it is worth."""
        self._session_key = None
        self._held.refuse(found)
        if isinstance(found, ReplacedKey) and not found.is_retired:
            client = self.facts.client()
            announcing.late_retired_key(found.public_id, found.user_id, client, found.age)

    def _look_up(self) -> None:
        """Find the session to go on with, where the dictionary was emptied without being loaded."""
        if self._held.state is not State.UNREAD or self._session_key is None:
            return
        found = self._find(self._repository.peek(self._session_key, self))
        if isinstance(found, Record):
            self._held.find(found)
        else:
            self._refuse(found)

    def _had_user(self) -> bool:
        """Whether somebody was signed in in the session that this store has read or written."""
        record = self._held.record
        if record is None or record.user_id is not None:
            return record is not None
        return AUTH_USER_ID in record.payload.fresh(self)

    def _key_of_draft(self) -> SplitKey | None:
        """Return the key of the next save; None if what the browser presented holds none."""
        if self._held.new_key is not None:
            return self._held.new_key
        if self._held.current is not None:
            return self._held.current.key
        asked = self._repository.peek(self._session_key, self)
        return None if isinstance(asked, Unknown) else asked.key
