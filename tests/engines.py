"""The session engines under test: one row an engine, with what it can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_sessionkit import prepared
from django_sessionkit.keys import SplitKey
from django_sessionkit.storage.claims import Claims
from django_sessionkit.storage.records import Unknown

#: What the store of a signed-in session asks the database for, act by act: the queries' verbs.
ROW_QUERIES: Mapping[str, Sequence[str]] = {
    "load": ["SELECT"],
    "load in the lease": ["SELECT"],
    "load an unknown key": ["SELECT"],
    "renew": [],
    "exists": ["SELECT"],
    "insert": ["INSERT"],
    "insert a visitor": ["INSERT"],
    "save": ["UPDATE"],
    "merge": ["UPDATE", "SELECT", "UPDATE"],
    "cycle_key": [],
    "save under a new key": ["UPDATE"],
    "delete": ["DELETE"],
    "sign in": ["INSERT"],
    "sign in over a visitor's session": ["SELECT", "UPDATE"],
    "sign in again": ["SELECT", "UPDATE"],
    "sign in over another user's session": ["SELECT", "DELETE", "INSERT"],
    "revoke": ["DELETE"],
    "revoke a user's": ["DELETE"],
}


@dataclass(frozen=True, slots=True)
class Engine:
    """A session engine.

    ``cache_alias``: the cache that holds copies of the rows, or the data.
    ``data_in_row``: the row holds the session's data, so that it can be looked for there, and
    each save is a statement; else the row's end and client follow once a lease.
    ``rows_for_visitors``: a session has a row before anybody signs in.
    ``keeps_public_id_at_login``: so does a visitor's session when the visitor signs in; else the
    session of before goes on until the login's is saved.
    ``key_is_token``: the session key is a token that holds the data. Each save makes another one;
    what requests save side by side is not merged; a visitor's cannot be taken back.
    ``lease``: the ``SESSIONKIT_LEASE`` to test it with, if not the default.
    ``prepares``: statements are prepared; else each is built by the ORM anew.
    ``longest_value``: how many characters a value may have at least.
    ``queries``: what each act costs, where it is not what it costs with rows alone.
    ``conforms_alone``: another engine stands for it beyond the conformance suite.
    ``is_quick``: a quick run is of it too; else others do in it what this one would.
    ``varies``: tests marked so are of it too, on each Python and Django.
    """

    name: str
    path: str
    cache_alias: str | None = None
    data_in_row: bool = True
    rows_for_visitors: bool = True
    keeps_public_id_at_login: bool = True
    key_is_token: bool = False
    lease: int | None = None
    prepares: bool = True
    longest_value: int = 200_000
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    conforms_alone: bool = False
    is_quick: bool = True
    varies: bool = False

    def __str__(self) -> str:
        return self.name

    def store(self, session_key: str | None = None) -> Any:
        """Return a bare store, made as Django makes it: from the session key alone."""
        return import_module(self.path).SessionStore(session_key)

    def split_key(self, session_key: str | None) -> SplitKey | None:
        """Return the split key that a session key is, or holds; None if it is none of ours."""
        store = self.store()
        presented = store.get_repository().peek(session_key, store)
        return None if isinstance(presented, Unknown) else presented.key

    def wrong_key(self, session_key: str) -> str:
        """Return the session key with another secret; as a token it is past its lease."""
        key = self.split_key(session_key)
        assert key is not None
        wrong = SplitKey.generate(key.public_id)
        if not self.key_is_token:
            return wrong.session_key
        content = self.content(session_key)
        end = content.row_expire_date or content.expire_date
        wrongly = dataclasses.replace(
            content, secret=wrong.secret, checked_at=0, row_expire_date=end
        )
        return self.token(wrongly)

    def content(self, token: str) -> Claims:
        """Return what a token says, valid or not."""
        store = self.store()
        content: Claims = store.get_repository().format.read(token, store)
        return content

    def token(self, content: Claims) -> str:
        """Return the token that says so."""
        store = self.store()
        token: str = store.get_repository().format.write(content, store)
        return token

    def retired_key(self, session_key: str) -> str:
        """Give the session a new key; return the old one, as a token past its lease."""
        session = self.store(session_key)
        session.cycle_key()
        session.save()
        return self.aged(session_key) if self.key_is_token else session_key

    def aged(self, token: str, seconds: float = 61) -> str:
        """Return the token as it would be if its row had been asked so many seconds earlier."""
        content = self.content(token)
        checked_at = content.checked_at - int(seconds * 1_000_000)
        return self.token(dataclasses.replace(content, checked_at=checked_at))

    @property
    def refuses_at_once(self) -> bool:
        """Whether a session is refused from the moment on at which it was ended."""
        return not self.key_is_token or self.lease == 0

    @property
    def has_lease(self) -> bool:
        """Whether something else than the row is believed."""
        return self.cache_alias is not None or not self.refuses_at_once

    @property
    def lease_of_saves(self) -> int:
        """A ``SESSIONKIT_LEASE`` with which each save writes the row's end and client."""
        return 60 if self.data_in_row else 0

    def costs(self, *acts: str) -> list[str]:
        """Return the verbs of the queries on sessions that the acts make, one after the other."""
        queries = {**ROW_QUERIES, **self.queries}
        return [verb for act in acts for verb in queries[act]]


#: What a copy changes: inside the lease the row is not asked, and whose copies are to be taken
#: back is told by the deletion, until nothing is left.
COPY_QUERIES: Mapping[str, Sequence[str]] = {
    "load in the lease": [],
    "revoke a user's": ["BEGIN", "DELETE", "DELETE", "COMMIT"],
}

#: And where the data lies there alone: a row appears at login, and is asked once a lease.
DATA_QUERIES: Mapping[str, Sequence[str]] = {
    **COPY_QUERIES,
    "load an unknown key": [],
    "insert a visitor": [],
    "save": [],
    "merge": [],
    "sign in over a visitor's session": ["INSERT"],
}

CACHED_DB = "django_sessionkit.backends.cached_db"
CACHE: dict[str, Any] = {
    "path": "django_sessionkit.backends.cache",
    "data_in_row": False,
    "rows_for_visitors": False,
    "keeps_public_id_at_login": False,
    "queries": DATA_QUERIES,
}

#: Where a token holds everything, nobody is asked inside the lease, not even by a save.
COOKIE_QUERIES: Mapping[str, Sequence[str]] = {
    "load": [],
    "load in the lease": [],
    "load an unknown key": [],
    "insert a visitor": [],
    "save": [],
    "merge": [],
    "sign in over a visitor's session": ["INSERT"],
    "sign in over another user's session": ["DELETE", "INSERT"],
}

#: Without a lease, each request asks the row and moves the time when it was last seen.
ASKING_QUERIES: Mapping[str, Sequence[str]] = {
    "load an unknown key": [],
    "renew": ["UPDATE"],
    "insert a visitor": [],
    "merge": ["UPDATE"],
    "sign in over a visitor's session": ["INSERT"],
}

COOKIE: dict[str, Any] = {
    "data_in_row": False,
    "rows_for_visitors": False,
    "keeps_public_id_at_login": False,
    "key_is_token": True,
    "longest_value": 1000,
    "queries": COOKIE_QUERIES,
}
ASKING: dict[str, Any] = {**COOKIE, "lease": 0, "queries": ASKING_QUERIES}
SIGNED = "django_sessionkit.backends.signed_cookies"
ENCRYPTED = "django_sessionkit.backends.encrypted_cookies"

ENGINES = (
    Engine("db", "django_sessionkit.backends.db", varies=True),
    Engine(
        "db-orm",
        "django_sessionkit.backends.db",
        prepares=False,
        conforms_alone=True,
        is_quick=False,
    ),
    Engine("cached_db-redis", CACHED_DB, cache_alias="redis", queries=COPY_QUERIES, varies=True),
    Engine("cached_db-locmem", CACHED_DB, cache_alias="default", queries=COPY_QUERIES),
    Engine("cache-redis", cache_alias="redis", **CACHE),
    Engine("cache-locmem", cache_alias="default", **CACHE),
    Engine("signed_cookies", SIGNED, **COOKIE, varies=True),
    Engine("signed_cookies-lease0", SIGNED, **ASKING),
    Engine("encrypted_cookies", ENCRYPTED, **COOKIE, conforms_alone=True),
    Engine("encrypted_cookies-lease0", ENCRYPTED, **ASKING, conforms_alone=True, is_quick=False),
)


@contextmanager
def configured(engine: Engine) -> Iterator[None]:
    """Make the engine that of the site, and leave nothing in its cache."""
    prepared.is_on = engine.prepares
    try:
        with _settings(engine):
            yield
    finally:
        prepared.is_on = True


@contextmanager
def _settings(engine: Engine) -> Iterator[None]:
    settings: dict[str, Any] = {"SESSION_ENGINE": engine.path}
    if engine.lease is not None:
        settings["SESSIONKIT_LEASE"] = engine.lease
    if engine.cache_alias is None:
        with override_settings(**settings):
            yield
        return
    with override_settings(**settings, SESSION_CACHE_ALIAS=engine.cache_alias):
        yield
        cache: Any = caches[engine.cache_alias]
        if hasattr(cache, "delete_pattern"):
            # Not clear(): a Redis may hold other things as well.
            cache.delete_pattern("sk:*", itersize=1000)
        else:
            cache.clear()


Chosen = Callable[[Engine], bool]


def params(chosen: Chosen, *, with_all: bool = False) -> list[Any]:
    """Return the engines as parameters of a test, with what each needs to be tested.

    ``with_all``: also those for which another stands beyond the conformance suite.

    In a transaction nothing is copied, and nothing taken back before its commit: with a lease,
    the test would be one of the row alone.
    """
    return [
        pytest.param(
            engine,
            id=engine.name,
            marks=[
                *([pytest.mark.django_db(transaction=True)] if engine.has_lease else []),
                *([] if engine.is_quick else [pytest.mark.slow]),
                *([pytest.mark.redis] if engine.cache_alias == "redis" else []),
            ],
        )
        for engine in ENGINES
        if chosen(engine) and (with_all or not engine.conforms_alone)
    ]


def with_engines(chosen: Chosen, *, with_all: bool = False) -> pytest.MarkDecorator:
    """Return the mark of a test that takes ``engine`` and is of these engines."""
    return pytest.mark.parametrize("engine", params(chosen, with_all=with_all), indirect=True)


def keys_stay(engine: Engine) -> bool:
    """Whether what requests that overlap save is merged, and a session key stays."""
    return not engine.key_is_token


def refuses_at_once(engine: Engine) -> bool:
    """Whether a session is refused from the moment on at which its row is another or gone."""
    return engine.refuses_at_once


def holds_data_in_rows(engine: Engine) -> bool:
    """Whether something can be forced between the statements of a save."""
    return engine.data_in_row


def keeps_rows_of_visitors(engine: Engine) -> bool:
    """Whether a session has a row, and so a key that can be replaced, before anybody signs in."""
    return engine.rows_for_visitors


def is_token(engine: Engine) -> bool:
    """Whether the cookie holds everything, and is believed for a lease."""
    return engine.key_is_token and engine.lease is None


with_keys_that_stay = with_engines(keys_stay)
refused_at_once = with_engines(refuses_at_once)
with_data_in_rows = with_engines(holds_data_in_rows)
with_a_cache = with_engines(lambda engine: engine.cache_alias is not None)
#: Without ``encrypted_cookies``, for what is in a token's claims; and with, for its own format.
with_tokens = with_engines(is_token)
with_each_token = with_engines(is_token, with_all=True)
