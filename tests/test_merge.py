"""Tests of merge.py: for any three dictionaries, nothing that anybody changed is lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from hypothesis import example, given
from hypothesis import strategies as st

from django_sessionkit.merge import merge

Session = dict[str, Any]

# Values that Python holds for equal and JSON does not, or the other way round.
LOOK_ALIKES = [0, 0.0, -0.0, False, 1, 1.0, True, "1", None, "", float("nan"), float("inf"), 2**64]
scalars = st.one_of(
    st.sampled_from(LOOK_ALIKES), st.integers(), st.floats(), st.booleans(), st.text()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
# Few keys and values, so that the three dictionaries meet.
keys = st.one_of(st.sampled_from(["a", "b", "c", "_d", "é", ""]), st.text(max_size=3))
sessions = st.dictionaries(keys, st.sampled_from(LOOK_ALIKES) | values, max_size=6)
NAN = float("nan")


def merged(base: Session, mine: Session, theirs: Session) -> Session:
    return merge(base, mine, theirs, JSONSerializer().dumps)


def written(session: Session, key: str) -> str | None:
    """Return how the value of the key is written down; None where it is absent."""
    return json.dumps(session[key]) if key in session else None


def same(one: Session, other: Session) -> bool:
    """Compare as the database would; the order of the keys means nothing."""
    return all(written(one, key) == written(other, key) for key in one.keys() | other.keys())


@given(base=sessions, mine=sessions, theirs=sessions)
@example(base={"a": 1}, mine={"a": True}, theirs={"a": 1.0})
@example(base={"a": NAN}, mine={"a": float("nan")}, theirs={"a": 2})
@example(base={"a": [1]}, mine={"a": [True]}, theirs={"a": [1]})
@example(base={"a": 1}, mine={}, theirs={"a": 1})
def test_each_key_is_as_the_last_one_left_it_who_changed_it(
    base: Session, mine: Session, theirs: Session
) -> None:
    result = merged(base, mine, theirs)
    assert result.keys() <= mine.keys() | theirs.keys()
    for key in base.keys() | mine.keys() | theirs.keys():
        i_changed = written(mine, key) != written(base, key)
        assert written(result, key) == written(mine if i_changed else theirs, key)


@given(base=sessions, theirs=sessions)
def test_what_i_did_not_touch_is_theirs(base: Session, theirs: Session) -> None:
    assert same(merged(base, base, theirs), theirs)
    assert same(merged(base, copy.deepcopy(base), theirs), theirs)


@given(base=sessions, mine=sessions)
def test_where_nobody_else_was_the_result_is_mine(base: Session, mine: Session) -> None:
    assert same(merged(base, mine, base), mine)


@given(base=sessions, mine=sessions)
def test_the_same_change_twice_is_that_change(base: Session, mine: Session) -> None:
    assert same(merged(base, mine, mine), mine)


@given(base=sessions, theirs=sessions, key=keys)
def test_what_i_deleted_stays_deleted(base: Session, theirs: Session, key: str) -> None:
    base = {**base, key: "here"}
    mine = {name: value for name, value in base.items() if name != key}
    assert key not in merged(base, mine, theirs)


@given(base=sessions, mine=sessions, key=keys)
def test_what_they_deleted_stays_deleted_unless_i_changed_it(
    base: Session, mine: Session, key: str
) -> None:
    base = {**base, key: "here"}
    theirs = {name: value for name, value in base.items() if name != key}
    assert key not in merged(base, {**mine, key: "here"}, theirs)
    assert merged(base, {**mine, key: "changed"}, theirs)[key] == "changed"


@given(base=sessions, mine=sessions, theirs=sessions)
def test_changes_of_different_keys_can_be_merged_in_either_order(
    base: Session, mine: Session, theirs: Session
) -> None:
    for key in mine.keys() | theirs.keys() | base.keys():
        if written(mine, key) != written(base, key) != written(theirs, key):
            theirs.pop(key, None)
            if key in base:
                theirs[key] = base[key]
    assert same(merged(base, mine, theirs), merged(base, theirs, mine))


@given(base=sessions, mine=sessions, theirs=sessions)
def test_merging_changes_none_of_the_three(base: Session, mine: Session, theirs: Session) -> None:
    before = json.dumps([base, mine, theirs])
    merged(base, mine, theirs).clear()
    assert json.dumps([base, mine, theirs]) == before


@given(base=sessions, mine=sessions, theirs=sessions)
def test_what_is_merged_is_as_it_would_be_after_a_load(
    base: Session, mine: Session, theirs: Session
) -> None:
    serializer = JSONSerializer()
    stored = [serializer.loads(serializer.dumps(one)) for one in (base, mine, theirs)]
    assert same(merged(*stored), merged(base, mine, theirs))


def test_a_value_changed_in_place_deep_down_is_a_change() -> None:
    base = {"cart": {"items": [{"id": 1, "count": 1}]}, "other": 1}
    mine = copy.deepcopy(base)
    mine["cart"]["items"][0]["count"] = 2  # type: ignore[index]
    assert merged(base, mine, {**base, "other": 2}) == {**mine, "other": 2}


def test_a_tuple_is_no_change_of_the_list_that_was_stored_for_it() -> None:
    assert merged({"pair": [1, 2]}, {"pair": (1, 2)}, {"pair": [3]}) == {"pair": [3]}


def test_what_both_left_alone_stays_the_object_that_the_view_holds() -> None:
    cart = [1]
    assert merged({"cart": [1]}, {"cart": cart, "a": 1}, {"cart": [1]})["cart"] is cart


def test_a_value_that_cannot_be_written_raises_as_saving_it_would() -> None:
    with pytest.raises(TypeError):
        merged({"a": 1}, {"a": object()}, {"a": 2})


def test_an_unserializable_value_of_a_key_of_my_own_is_left_to_the_save() -> None:
    thing = object()
    assert merged({}, {"mine": thing}, {"theirs": 1}) == {"mine": thing, "theirs": 1}
