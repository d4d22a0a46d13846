"""A session store, spoken to through its sync or through its async methods."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from asgiref.sync import async_to_sync

from tests.engines import Engine


class Face:
    """A store whose methods are called in one of their two forms; the rest is the store's own.

    ``face.get("cat")`` is ``store.get("cat")`` or ``await store.aget("cat")``. What has no async
    form (``clear``, ``is_empty``, properties) is the same for both.
    """

    def __init__(self, store: Any, *, is_async: bool) -> None:
        self.store = store
        self.is_async = is_async

    def __getattr__(self, name: str) -> Any:
        if self.is_async and (twin := getattr(self.store, f"a{name}", None)) is not None:
            return async_to_sync(twin)
        # Only the async form of item assignment has a name that can be called.
        return getattr(self.store, "__setitem__" if name == "set" else name)

    def forget_flags(self) -> None:
        """Pretend that nobody has looked into the session yet."""
        self.store.accessed = self.store.modified = False

    @property
    def flags(self) -> tuple[bool, bool]:
        """``accessed`` and ``modified``."""
        return self.store.accessed, self.store.modified


class Faces:
    """Opens sessions of one engine in one form."""

    def __init__(self, engine: Engine, *, is_async: bool) -> None:
        self.engine = engine
        self.is_async = is_async

    def open(self, session_key: str | None = None) -> Face:
        """Return the session of the key, as another request would open it."""
        return Face(self.engine.store(session_key), is_async=self.is_async)

    def saved(self, data: Mapping[str, Any]) -> Face:
        """Return a session that holds ``data`` and has been saved."""
        face = self.open()
        face.update(data)
        face.save()
        return face

    def has_ended(self, session_key: str | None) -> bool:
        """Whether nothing is found under the key; of a token, at the latest after its lease."""
        is_refused = self.read(session_key) == {} or not self.engine.refuses_at_once
        return is_refused and not self.open().exists(session_key)

    def public_id(self, session_key: str | None) -> uuid.UUID | None:
        """Return the public id that the key claims to be of."""
        key = self.engine.split_key(session_key)
        return None if key is None else key.public_id

    def read(self, session_key: str | None) -> dict[str, Any]:
        """Return what the next request finds under the key."""
        return dict(self.open(session_key).items())
