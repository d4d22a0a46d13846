"""What becomes of the session that a store holds: each transition of ``State``.

Three lists of transitions have to be the same: the table in the docstring of ``State``, the cases
here, and what real stores do when each act is done after each way to come to a state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from django_sessionkit.backends.held import State
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from tests.engines import ENGINES, Engine, configured, params, with_engines
from tests.interleaving import replaced_earlier, saved, stored

pytestmark = [pytest.mark.django_db, pytest.mark.database]

USER, OTHER_USER = {"_auth_user_id": "1"}, {"_auth_user_id": "2"}

#: One engine whose visitors have rows, and one whose visitors have none.
NAMES = ("db", "cache-locmem")
with_both_kinds = with_engines(lambda engine: engine.name in NAMES)
without_rows_of_visitors = with_engines(lambda engine: engine.name == "cache-locmem")

#: What a browser may present.
KEYS: dict[str, Callable[[Engine], str | None]] = {
    "no key": lambda engine: None,
    "visitor's": lambda engine: saved(cat="Tom"),
    "user's": lambda engine: saved(**USER),
    "unknown": lambda engine: SplitKey.generate().session_key,
    "malformed": lambda engine: "malformed",
    "retired": lambda engine: engine.retired_key(saved(**USER)),
}


def sign_in(store: Any, data: dict[str, str]) -> None:
    store.update(data)
    store.mark_authenticated()


#: What a store does.
ACTS: dict[str, Callable[[Any], object]] = {
    "load": lambda store: store.load(),
    "cycle_key": lambda store: store.cycle_key(),
    "save": lambda store: store.save(),
    "create": lambda store: store.create(),
    "flush": lambda store: store.flush(),
}
#: What else happens before.
BEFORE: dict[str, Callable[[Any], object]] = {
    **ACTS,
    "read": lambda store: store.get("cat"),
    "end": lambda store: type(store)(store.session_key).delete(),  # another request
    "sign in": lambda store: sign_in(store, USER),
    "sign in another": lambda store: sign_in(store, OTHER_USER),
}


def come(engine: Engine, key: str, *acts: str) -> Any:
    """Return a store to which this has happened; that its session is gone is no error here."""
    store = engine.store(KEYS[key](engine))
    for name in acts:
        with suppress(SessionGone):
            BEFORE[name](store)
    return store


class Case(NamedTuple):
    """An act after what has happened, and the states before and after it."""

    before: State
    act: str
    after: State
    #: What was presented, and what happened then.
    way: tuple[str, ...]
    #: A visitor with a row (db) keeps it, one without (cache) starts anew.
    engines: tuple[str, ...] = NAMES

    def __str__(self) -> str:
        return f"{self.before.name} {self.act} {self.after.name}: {', '.join(self.way)}"


NEW, LIVE, PENDING = State.NEW, State.LIVE, State.PENDING
UNREAD, GONE, ENDED = State.UNREAD, State.GONE, State.ENDED
CACHE = ("cache-locmem",)

CASES = (
    Case(UNREAD, "load", LIVE, ("user's",)),
    Case(UNREAD, "load", LIVE, ("visitor's",)),
    Case(UNREAD, "load", NEW, ("unknown",)),
    Case(UNREAD, "load", NEW, ("retired",)),
    Case(UNREAD, "load", NEW, ("malformed",)),
    Case(UNREAD, "cycle_key", PENDING, ("no key",)),
    Case(NEW, "cycle_key", PENDING, ("unknown", "read")),
    Case(ENDED, "cycle_key", PENDING, ("user's", "read", "flush")),
    Case(PENDING, "cycle_key", PENDING, ("no key", "cycle_key")),
    Case(PENDING, "cycle_key", PENDING, ("visitor's", "cycle_key"), CACHE),
    Case(LIVE, "cycle_key", PENDING, ("visitor's", "read"), CACHE),
    Case(GONE, "cycle_key", PENDING, ("visitor's", "read", "end", "load")),
    Case(UNREAD, "save", LIVE, ("no key",)),
    Case(UNREAD, "create", LIVE, ("user's",)),
    Case(NEW, "save", LIVE, ("unknown", "read")),
    Case(NEW, "save", LIVE, ("retired", "sign in another")),
    Case(NEW, "create", LIVE, ("unknown", "read")),
    Case(PENDING, "save", LIVE, ("no key", "cycle_key")),
    Case(PENDING, "create", LIVE, ("no key", "cycle_key")),
    Case(ENDED, "save", LIVE, ("user's", "flush")),
    Case(ENDED, "create", LIVE, ("user's", "flush")),
    Case(NEW, "create", PENDING, ("retired", "read")),
    Case(PENDING, "create", PENDING, ("retired", "read", "cycle_key")),
    Case(LIVE, "create", LIVE, ("visitor's", "read")),
    Case(GONE, "create", LIVE, ("visitor's", "read", "end", "load")),
    Case(LIVE, "save", LIVE, ("user's", "read", "end", "sign in")),
    Case(LIVE, "save", LIVE, ("visitor's", "read", "end", "cycle_key"), ("db",)),
    Case(LIVE, "load", GONE, ("user's", "read", "end")),
    Case(UNREAD, "flush", ENDED, ("user's",)),
    Case(UNREAD, "flush", ENDED, ("no key",)),
    Case(NEW, "flush", ENDED, ("malformed", "read")),
    Case(PENDING, "flush", ENDED, ("no key", "cycle_key")),
    Case(LIVE, "flush", ENDED, ("user's", "read")),
    Case(UNREAD, "flush", NEW, ("retired",)),
    Case(PENDING, "flush", NEW, ("unknown", "read", "cycle_key")),
    Case(LIVE, "flush", NEW, ("user's", "read", "end")),
    Case(GONE, "flush", NEW, ("user's", "read", "end", "load")),
)

#: An act that changes nothing: the state before it, and what has happened.
UNCHANGED = (
    (LIVE, "load", ("user's", "read")),
    (LIVE, "cycle_key", ("user's", "read")),
    (LIVE, "save", ("user's", "read")),
    (LIVE, "save", ("user's", "read", "end")),
    (LIVE, "create", ("user's", "read")),
    (NEW, "save", ("retired", "read")),
    (NEW, "flush", ("retired", "read")),
    (PENDING, "load", ("no key", "cycle_key")),
    (PENDING, "save", ("retired", "read", "cycle_key")),
    (GONE, "save", ("visitor's", "read", "end", "load")),
    (GONE, "cycle_key", ("user's", "read", "end", "load")),
    (GONE, "create", ("user's", "read", "end", "load")),
    (ENDED, "flush", ("user's", "flush")),
)

Transition = tuple[State, str, State]


def table() -> set[Transition]:
    """Return the table of the docstring, a transition for each state and act of a row."""
    assert State.__doc__
    _, head, body, _ = re.split(r"^ *=[= ]+=\n", State.__doc__, flags=re.MULTILINE)
    assert head.split() == ["from", "by", "to"]
    found = set()
    for line in body.splitlines():
        before, by, after = re.split(r" {2,}", line.strip())
        acts = re.findall(r"``(\w+)\(\)``", by)
        assert acts, line
        found |= {
            (State[state], act, State[after.partition(",")[0]])
            for state in before.split(", ")
            for act in acts
        }
    return found


def ways() -> Iterator[tuple[str, ...]]:
    """Yield each way to come to a state."""
    for key in KEYS:
        yield (key,)
        for first in ("read", "cycle_key"):
            yield key, first
            for second in ("cycle_key", "sign in", "sign in another", "flush", "end"):
                if second == "end" and key not in ("visitor's", "user's"):
                    continue
                yield key, first, second
                for third in ("load", "cycle_key", "sign in", "flush"):
                    yield key, first, second, third


def observed(engine: Engine) -> Iterator[tuple[Transition, tuple[str, ...]]]:
    """Yield what each act does after each way, if the state or the session is another then."""
    for way in ways():
        for act, do in ACTS.items():
            if len(way) == 1 and way != ("no key",) and act in ("cycle_key", "save"):
                continue  # loads first, so these are two transitions
            store = come(engine, *way)
            before = store._held.state, store.public_id
            with suppress(SessionGone):
                do(store)
            if (store._held.state, store.public_id) != before:
                yield (before[0], act, store._held.state), way


@pytest.mark.parametrize(
    ("engine", "case"),
    [
        pytest.param(*engine.values, case, id=f"{case}-{engine.id}", marks=engine.marks)
        for engine in params(lambda engine: engine.name in NAMES)
        for case in CASES
        if engine.id in case.engines
    ],
    indirect=["engine"],
)
def test_each_transition(engine: Engine, case: Case) -> None:
    store = come(engine, *case.way)
    assert store._held.state is case.before
    before = store.public_id
    with suppress(SessionGone):
        ACTS[case.act](store)
    assert store._held.state is case.after
    if case.before is case.after:
        assert store.public_id not in (None, before)
    # A session that goes on has a handle, and a key that opens it once it is LIVE.
    assert (store.public_id is not None) == (case.after in (LIVE, PENDING))
    if case.after is LIVE:
        assert engine.store().exists(store.session_key)
    if case.after in (NEW, GONE, ENDED):
        assert store.session_key is None


@with_both_kinds
@pytest.mark.parametrize(("state", "act", "way"), UNCHANGED, ids=str)
def test_what_changes_nothing(engine: Engine, state: State, act: str, way: tuple[str, ...]) -> None:
    store = come(engine, *way)
    assert store._held.state is state
    before = store.public_id
    with suppress(SessionGone):
        ACTS[act](store)
    assert (store._held.state, store.public_id) == (state, before)


def test_the_table_has_each_case_and_no_other() -> None:
    assert table() == {(case.before, case.act, case.after) for case in CASES}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_stores_make_the_transitions_of_the_table_and_no_other() -> None:
    found: dict[Transition, tuple[str, ...]] = {}
    for engine in ENGINES:
        if engine.name in NAMES:
            with configured(engine):
                found.update(observed(engine))
    assert {one: way for one, way in found.items() if one not in table()} == {}
    assert table() - found.keys() == set()


# What goes along with a transition.


@without_rows_of_visitors
@pytest.mark.parametrize("times", [1, 2])
def test_a_key_that_is_cycled_leaves_nothing_of_the_visitors_session(
    engine: Engine, times: int
) -> None:
    session_key = saved(cat="Tom")
    store = engine.store(session_key)
    for _ in range(times):
        store.cycle_key()
    assert stored(session_key) == {"cat": "Tom"}
    store.save()
    assert stored(session_key) == {}
    assert stored(store.session_key) == {"cat": "Tom"}


@with_both_kinds
def test_a_visitors_session_that_is_created_anew_leaves_the_old_one_alone(engine: Engine) -> None:
    session_key = saved(cat="Tom")
    store = engine.store(session_key)
    store["dog"] = "Rex"
    store.create()
    assert store.session_key != session_key
    assert stored(session_key) == {"cat": "Tom"}


@with_both_kinds
def test_a_key_that_is_cycled_twice_keeps_the_public_id_of_a_row(engine: Engine) -> None:
    store = engine.store(saved(**USER))
    public_id = store.public_id
    store.cycle_key()
    store.cycle_key()
    assert (store.public_id, store.has_new_key) == (store._held.record.public_id, True)
    store.save()
    assert (store.has_new_key, store._held.state) == (False, LIVE)
    assert public_id in (None, store.public_id)
    assert stored(store.session_key) == USER


@with_both_kinds
@pytest.mark.parametrize("key", ["retired", "unknown"])
def test_after_a_flush_a_retired_key_stores_nothing_and_an_unknown_one_starts_over(
    engine: Engine, key: str
) -> None:
    store = come(engine, key, "read", "flush")
    store["cat"] = "Tom"
    if key == "retired":
        with pytest.raises(SessionGone):
            store.save()
        return
    store.save()
    assert stored(store.session_key) == {"cat": "Tom"}


@with_both_kinds
def test_after_a_flush_a_retired_key_is_nobodys(engine: Engine) -> None:
    before, after = come(engine, "retired", "read"), come(engine, "retired", "read", "flush")
    for store in (before, after):
        sign_in(store, USER)
        store.save()
    # The browser has the user's new key, and this login counts for its request alone.
    assert before.session_key is None
    assert stored(after.session_key) == USER


@with_both_kinds
def test_a_login_under_a_retired_key_may_be_saved_twice(engine: Engine) -> None:
    store = come(engine, "retired", "sign in another")
    store.save()
    store["cat"] = "Tom"
    store.save()
    assert stored(store.session_key) == {**OTHER_USER, "cat": "Tom"}


@with_both_kinds
def test_whoever_was_lost_before_a_flush_is_not_signed_in_by_a_save(engine: Engine) -> None:
    store = come(engine, "user's", "read", "end", "flush")
    store.update(USER)
    with pytest.raises(SessionGone):
        store.save()
    store.mark_authenticated()
    store.save()
    # From then on the session is like any other.
    store["cat"] = "Tom"
    store.save()
    assert stored(store.session_key) == {**USER, "cat": "Tom"}


@with_both_kinds
def test_a_key_replaced_long_ago_is_unknown(engine: Engine) -> None:
    session_key = engine.retired_key(saved(**USER))
    replaced_earlier(timedelta(seconds=6))
    store = engine.store(session_key)
    store["cat"] = "Tom"
    store.save()
    assert stored(store.session_key) == {"cat": "Tom"}
