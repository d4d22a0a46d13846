"""The session as a dictionary, and what it notes about its use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cases import for_each
from tests.conformance.engines import in_sync_code
from tests.conformance.faces import Face, Faces
from tests.engines import Engine

pytestmark = pytest.mark.django_db

READ = (True, False)  # accessed, not modified
WRITTEN = (True, True)


@in_sync_code
def test_a_new_session_is_empty_and_untouched(session: Face) -> None:
    assert session.flags == (False, False)
    assert session.is_empty()
    assert session.session_key is None
    assert session.get("cat") is None
    assert session.get("cat", "none") == "none"
    assert dict(session.items()) == {}


@in_sync_code
def test_a_stored_value_is_read_again(session: Face) -> None:
    session.set("cat", "Tom")
    assert session.flags == WRITTEN
    assert session.get("cat") == "Tom"
    assert session.store["cat"] == "Tom"
    assert not session.is_empty()


#: Method, arguments, result, and what it notes.
METHODS: list[tuple[str, tuple[Any, ...], object, tuple[bool, bool]]] = [
    ("get", ("cat",), "Tom", READ),
    ("get", ("dog",), None, READ),
    ("get", ("dog", "Rex"), "Rex", READ),
    ("has_key", ("cat",), True, READ),
    ("has_key", ("dog",), False, READ),
    ("setdefault", ("cat", "Felix"), "Tom", READ),
    ("setdefault", ("dog", "Rex"), "Rex", WRITTEN),
    ("pop", ("cat",), "Tom", WRITTEN),
    ("pop", ("cat", "none"), "Tom", WRITTEN),
    ("pop", ("dog", "none"), "none", READ),
    ("set", ("dog", "Rex"), None, WRITTEN),
    ("update", ({"dog": "Rex"},), None, WRITTEN),
    ("clear", (), None, WRITTEN),
    ("cycle_key", (), None, WRITTEN),
    ("flush", (), None, WRITTEN),
]


def test_each_method_returns_its_result_and_notes_reading_and_writing(faces: Faces) -> None:
    def check(case: tuple[str, tuple[Any, ...], object, tuple[bool, bool]]) -> None:
        method, arguments, result, flags = case
        session = faces.open(faces.saved({"cat": "Tom"}).session_key)
        assert session.flags == (False, False)
        assert getattr(session, method)(*arguments) == result
        assert session.flags == flags

    for_each(METHODS, check)


def test_views_of_the_dictionary_only_read(faces: Faces) -> None:
    session_key = faces.saved({"cat": "Tom"}).session_key

    def check(case: tuple[str, list[object]]) -> None:
        method, result = case
        session = faces.open(session_key)
        assert list(getattr(session, method)()) == result
        assert session.flags == READ

    views: list[tuple[str, list[object]]] = [
        ("keys", ["cat"]),
        ("values", ["Tom"]),
        ("items", [("cat", "Tom")]),
    ]
    for_each(views, check)


@in_sync_code
def test_a_default_may_be_given_to_pop_by_name(session: Face) -> None:
    assert session.pop("cat", default="none") == "none"
    assert session.flags == READ


@in_sync_code
def test_popping_a_missing_key_without_a_default_is_a_key_error(session: Face) -> None:
    with pytest.raises(KeyError, match="cat"):
        session.pop("cat")
    assert session.flags == READ


@in_sync_code
def test_operators_read_and_write(session: Face) -> None:
    store = session.store
    store["cat"] = "Tom"
    session.forget_flags()
    assert "cat" in store
    assert "dog" not in store
    assert store["cat"] == "Tom"
    assert session.flags == READ
    del store["cat"]
    assert session.flags == WRITTEN
    assert "cat" not in store
    with pytest.raises(KeyError):
        del store["cat"]


@in_sync_code
def test_clearing_leaves_nothing(session: Face) -> None:
    session.set("cat", "Tom")
    session.forget_flags()
    session.clear()
    assert list(session.items()) == []
    assert session.flags == WRITTEN


@in_sync_code
def test_a_key_alone_makes_a_session_not_empty(faces: Faces) -> None:
    session = faces.saved({"cat": "Tom"})
    session.clear()
    assert not session.is_empty()
    session.flush()
    assert session.is_empty()


@in_sync_code
def test_the_test_cookie_comes_and_goes(session: Face) -> None:
    assert not session.test_cookie_worked()
    session.set_test_cookie()
    assert session.test_cookie_worked()
    session.delete_test_cookie()
    assert not session.test_cookie_worked()
    assert not session.has_key(session.store.TEST_COOKIE_NAME)


@in_sync_code
def test_the_session_key_cannot_be_assigned(session: Face) -> None:
    with pytest.raises(AttributeError):
        session.store.session_key = "0" * 64


def test_the_session_holds_what_was_put_in_and_nothing_else(faces: Faces, engine: Engine) -> None:
    data = {
        "text": "Grüße, 世界 \N{GRINNING FACE} \0 \u2028",
        "nested": {"list": [1, 2.5, None, True, {"deep": []}], "empty": {}},
        "": "an empty key",
        "_starts_with": "an underscore",
        "big": 2**70,
        "long": "x" * engine.longest_value,
    }
    session = faces.saved(data)
    assert dict(session.items()) == data
    assert faces.read(session.session_key) == data
    session.set("more", 1)
    session.save()
    session.cycle_key()
    session.save()
    assert faces.read(session.session_key) == {**data, "more": 1}
