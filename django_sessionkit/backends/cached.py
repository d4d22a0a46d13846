"""What the session stores of the engines with a cache have besides: the name of their key there."""

from __future__ import annotations

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.recall import DropsCopies


def cache_key(store: BaseSessionStore) -> str | None:
    """Return the key in the cache, made of the public id, before the cache adds its prefix.

    None where the store has no session key, or one that is not ours.
    """
    public_id, keeper = store.public_id_in(store.session_key), store.get_repository()
    return keeper.cache_key(public_id) if public_id and isinstance(keeper, DropsCopies) else None
