"""What the verbs take for a session, for a user, and for the owner that a session must have."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Group, User
from django.utils.functional import SimpleLazyObject

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.models import Session
from tests.browsers import Browser, both_ways
from tests.cases import looped
from tests.engines import Engine
from tests.ways_to_end import People

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("engine"),
    pytest.mark.database,
]


def call(name: str, *args: Any, is_async: bool, **kwargs: Any) -> Any:
    if is_async:
        return async_to_sync(getattr(registry, f"a{name}"))(*args, **kwargs)
    return getattr(registry, name)(*args, **kwargs)


@both_ways
@pytest.mark.parametrize("form", ["row", "uuid", "text"])
def test_a_session_of_somebody_else_is_neither_found_nor_ended(
    engine: Engine, is_async: bool, form: str
) -> None:
    people = People(engine)
    his = people.his.row
    handle = {"row": his, "uuid": his.public_id, "text": str(his.public_id)}[form]
    hers = people.first.public_id
    for nobody in (people.alice, people.alice.pk, AnonymousUser(), None):
        ended = call("revoke", handle, owner=nobody, is_async=is_async)
        assert ended == registry.Ended(0, InForce.NOW)
        assert call("find_session", his.public_id, owner=nobody, is_async=is_async) is None
    some = call("revoke_sessions", [hers, handle], owner=people.alice, is_async=is_async)
    assert some.count == 1
    kept = people.names()[1:]
    assert kept == ["alice", "alice", "bob"]
    if engine.refuses_at_once:
        assert people.names()[0] == ""
    assert people.his.data()["_auth_user_id"] == str(people.bob.pk)


@both_ways
def test_the_owner_ends_their_session(engine: Engine, is_async: bool) -> None:
    people = People(engine)
    lazy = SimpleLazyObject(lambda: people.bob)  # as request.user is
    for browser, owner in (
        (people.hers[0], people.alice),
        (people.hers[1], people.alice.pk),
        (people.his, lazy),
    ):
        public_id = browser.public_id
        assert call("find_session", public_id, owner=owner, is_async=is_async)
        assert call("revoke", public_id, owner=owner, is_async=is_async).count == 1
    assert Session.objects.count() == 1
    if engine.refuses_at_once:
        assert people.names() == ["", "", "alice", ""]


@both_ways
def test_who_has_not_signed_in_owns_no_visitors_session(engine: Engine, is_async: bool) -> None:
    visitor = Browser()
    visitor.get("/set/cart/full/")
    for nobody in (AnonymousUser(), None):
        assert not call("revoke", visitor.public_id, owner=nobody, is_async=is_async)
    assert visitor.data() == {"cart": "full"}


def test_a_visitors_data_stay_whose_id_somebody_names_as_their_own(engine: Engine) -> None:
    visitor = Browser()
    visitor.get("/set/cart/full/")
    alice = User.objects.create_user("alice")
    assert not registry.revoke(visitor.public_id, owner=alice)
    assert visitor.data() == {"cart": "full"}


def test_a_copy_that_outlived_its_row_is_taken_back_by_a_second_revoke(engine: Engine) -> None:
    """Another process has deleted the row, and died before it took the copy back."""
    people = People(engine)
    public_id = people.first.public_id
    Session.objects.filter(public_id=public_id)._raw_delete("default")
    ended = registry.revoke(public_id, owner=people.alice)
    assert ended.count == 0
    if not engine.refuses_at_once:
        assert ended.in_force is InForce.WITHIN_LEASE
        return
    assert ended.in_force is InForce.NOW
    assert people.names() == ["", "alice", "alice", "bob"]


NO_SESSIONS: dict[str, tuple[Callable[[People], Any], type[Exception]]] = {
    "a user": (lambda people: people.alice, TypeError),
    "a store": (lambda people: people.engine.store(people.first.session_key), TypeError),
    "nothing": (lambda people: None, TypeError),
    "a number": (lambda people: people.first.row.pk, TypeError),
    "a session key": (lambda people: people.first.session_key, ValueError),
    "a word": (lambda people: "abc", ValueError),
}


def frames_of(error: BaseException) -> str:
    """Return the local variables of this package's frames, and of all below, as one text."""
    shown = list[str]()
    tb: TracebackType | None = error.__traceback__
    while tb is not None:
        if shown or "/django_sessionkit/" in tb.tb_frame.f_code.co_filename:
            shown.append(repr(tb.tb_frame.f_locals))
        tb = tb.tb_next
    for more in (error.__cause__, error.__context__):
        if more is not None:
            shown.append(frames_of(more))
    return "\n".join(shown)


@both_ways
@looped("what", NO_SESSIONS)
def test_what_is_no_session_is_an_error_that_shows_no_key(
    engine: Engine, is_async: bool, what: str
) -> None:
    people = People(engine) if not User.objects.exists() else _again(engine)
    make, error = NO_SESSIONS[what]
    given, before = make(people), Session.objects.count()
    own = people.hers[1].public_id
    acts: list[Callable[[], object]] = [
        lambda: call("revoke", given, owner=people.alice, is_async=is_async),
        lambda: call("revoke", given, owner=registry.ANY_OWNER, is_async=is_async),
        lambda: call("revoke_sessions", [own, given], owner=people.alice, is_async=is_async),
        lambda: call("revoke_others", people.alice, keep=given, is_async=is_async),
    ]
    for act in acts:
        with pytest.raises(error) as caught:
            act()
        assert Session.objects.count() == before
        if what == "a session key":
            text = "".join(traceback.format_exception(caught.value)) + frames_of(caught.value)
            assert given not in text


def _again(engine: Engine) -> People:
    User.objects.all().delete()
    Session.objects.all().delete()
    return People(engine)


NO_USERS: dict[str, Callable[[People], Any]] = {
    "a row": lambda people: people.first.row,
    "a store": lambda people: people.engine.store(people.first.session_key),
    "a group": lambda people: Group.objects.create(pk=people.alice.pk, name="staff"),
}


@both_ways
@looped("what", NO_USERS)
def test_what_is_no_user_ends_no_session_of_the_user_with_that_primary_key(
    engine: Engine, is_async: bool, what: str
) -> None:
    people = People(engine) if not User.objects.exists() else _again(engine)
    given, row = NO_USERS[what](people), people.first.row
    acts: list[Callable[[], object]] = [
        lambda: call("revoke_user", given, is_async=is_async),
        lambda: call("revoke_others", given, keep=uuid.uuid4(), is_async=is_async),
        lambda: call("list_sessions", given, is_async=is_async),
        lambda: call("revoke", row, owner=given, is_async=is_async),
    ]
    for act in acts:
        with pytest.raises(TypeError):
            act()
    assert Session.objects.count() == 4


def test_an_owner_has_to_be_named(engine: Engine) -> None:
    people = People(engine)
    revoke: Callable[..., object] = registry.revoke
    with pytest.raises(TypeError, match="owner"):
        revoke(people.first.public_id)
    assert Session.objects.count() == 4
