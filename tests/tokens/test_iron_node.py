"""iron-session itself: it opens what is sealed here, and what it seals opens here."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.iron import SKEW, Sealer
from tests.cases import looped
from tests.node import Node, NodeError

pytestmark = pytest.mark.slow

PASSWORD, OTHER = "the lighthouse keeper's long password", "a password of the harbour master's"
SEALER = Sealer(PASSWORD)
DATA = {"cat": "Tom", "lives": 9, "friends": [None, {"mouse": "Jerry"}]}
TEXTS = [
    "Müßiggänger",
    "灯台守",
    "🐈‍⬛🏳️‍🌈",
    "\u2028\u2029\x00\x7f\ufeff",
    "\ud83d",  # JSON can hold half of an emoji, though UTF-8 can't
    '"\\/\b\n',
    "~2*Fe26.2",
]


class Iron:
    """One version of iron-session."""

    def __init__(self, node: Node, version: int) -> None:
        self.node, self.version = node, version

    def seal(self, data: object, password: object = PASSWORD, **options: float) -> str:
        given = {"version": self.version, "data": data, "password": password, **options}
        return str(self.node.call("seal", **given))

    def unseal(self, seal: str, password: object = PASSWORD) -> Any:
        """Return the data; {} for what it refuses, as it does itself for most of that."""
        try:
            return self.node.call("unseal", version=self.version, seal=seal, password=password)
        except NodeError:
            return {}


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with Node("iron.mjs") as node:
        yield node


@pytest.fixture(params=[8, 9])
def iron(node: Node, request: pytest.FixtureRequest) -> Iron:
    return Iron(node, request.param)


def sealed(data: object, *, is_ascii: bool = True, **options: Any) -> str:
    return SEALER.seal(json.dumps(data, ensure_ascii=is_ascii).encode(), **options)


def unsealed(seal: str, **options: Any) -> Any:
    return json.loads(SEALER.unseal(seal, **options).payload)


def test_it_opens_ours(iron: Iron) -> None:
    assert iron.unseal(sealed(DATA)) == DATA
    assert iron.unseal(sealed(DATA, expires_at=time.time() + 3600)) == DATA


def test_ours_opens_its(iron: Iron) -> None:
    for options in ({}, {"ttl": 0}, {"ttl": 3600}):
        assert unsealed(iron.seal(DATA, **options)) == DATA


def test_its_seals_end_when_it_says(iron: Iron) -> None:
    before = int(time.time() * 1000) / 1000
    seal = iron.seal(DATA, ttl=3600)
    after = time.time()
    expires_at = SEALER.unseal(seal).expires_at
    assert expires_at is not None
    assert before + 3600 <= expires_at <= after + 3600
    assert SEALER.unseal(iron.seal(DATA, ttl=0)).expires_at is None


def test_ours_are_good_there_for_the_minute_that_clocks_may_differ(iron: Iron) -> None:
    now = time.time()
    assert iron.unseal(sealed(DATA, expires_at=now - SKEW / 2)) == DATA
    assert iron.unseal(sealed(DATA, expires_at=now - SKEW - 1)) == {}
    assert iron.unseal(sealed(DATA, expires_at=1)) == {}


def test_its_are_good_here_for_the_minute_that_clocks_may_differ(iron: Iron) -> None:
    now = time.time()
    seal = iron.seal(DATA, ttl=600)
    assert unsealed(seal, now=now + 600 + SKEW / 2) == DATA
    with pytest.raises(ExpiredToken):
        unsealed(seal, now=now + 600 + SKEW + 30)  # a slow machine may have sealed it late
    assert unsealed(iron.seal(DATA, ttl=-SKEW / 2)) == DATA
    with pytest.raises(ExpiredToken):
        unsealed(iron.seal(DATA, ttl=-SKEW - 1))


@pytest.mark.parametrize("old", [1, "1"])
@pytest.mark.parametrize("new", [2, "10"])
def test_the_newest_password_seals_and_the_old_one_opens(
    iron: Iron, old: int | str, new: int | str
) -> None:
    passwords = {old: PASSWORD, new: OTHER}
    rotated = Sealer(passwords)
    assert iron.unseal(rotated.seal(b'{"sealed": "here"}'), passwords) == {"sealed": "here"}
    assert rotated.unseal(iron.seal(DATA, passwords)).password_id == int(new)
    # Who has not heard of the new one yet, and who has.
    assert rotated.unseal(iron.seal(DATA)).password_id == 1
    assert iron.unseal(sealed(DATA), passwords) == DATA
    assert iron.unseal(rotated.seal(b'{"sealed": "here"}')) == {}
    with pytest.raises(BadToken, match="unknown id"):
        unsealed(iron.seal(DATA, passwords))


@looped("number", [0, 2**53 - 1])
def test_the_ids_at_the_edge_are_the_same_there(iron: Iron, number: int) -> None:
    sealer = Sealer({number: PASSWORD})
    assert iron.unseal(sealer.seal(b'{"sealed": "here"}'), {number: PASSWORD}) != {}
    assert sealer.unseal(iron.seal(DATA, {number: PASSWORD})).password_id == number


@looped("text", TEXTS)
def test_text_of_all_kinds_goes_both_ways(iron: Iron, text: str) -> None:
    data = {text: text}
    assert iron.unseal(sealed(data)) == data
    assert unsealed(iron.seal(data)) == data
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert iron.unseal(sealed(data, is_ascii=False)) == data


@looped("password", ["ключ от маяка" * 3, "🗝️" * 32, "x" * 32, "x" * 65, "\0" * 32])
def test_passwords_of_all_kinds_are_the_same_there(iron: Iron, password: str) -> None:
    sealer = Sealer(password)
    assert iron.unseal(sealer.seal(b'{"sealed": "here"}'), password) == {"sealed": "here"}
    assert json.loads(sealer.unseal(iron.seal(DATA, password)).payload) == DATA


@looped("length", range(65))
def test_each_length_of_padding_goes_both_ways(iron: Iron, length: int) -> None:
    data = {"": "x" * length}
    assert iron.unseal(sealed(data)) == data
    assert unsealed(iron.seal(data)) == data


@looped("place", range(8))
def test_a_change_in_any_part_is_refused_by_both(iron: Iron, place: int) -> None:
    for seal in (sealed(DATA, expires_at=time.time() + 3600), iron.seal(DATA)):
        parts = seal.split("*")
        # Not the last character of a MAC: two bits of it mean nothing, and version 9 lets them be.
        first = parts[place][0]
        parts[place] = ("2" if first == "1" else "1") + parts[place][1:]
        changed = "*".join(parts)
        assert iron.unseal(seal) == DATA
        assert iron.unseal(changed) == {}
        with pytest.raises(BadToken):
            SEALER.unseal(changed)


def test_another_password_opens_nothing_on_either_side(iron: Iron) -> None:
    assert iron.unseal(sealed(DATA), OTHER) == {}
    with pytest.raises(BadToken, match="another password"):
        Sealer(OTHER).unseal(iron.seal(DATA))


def test_a_short_password_is_refused_by_both(iron: Iron) -> None:
    with pytest.raises(NodeError, match="32"):
        iron.seal(DATA, "x" * 31)
    with pytest.raises(ValueError, match="32"):
        Sealer("x" * 31)


def test_who_strips_the_version_changes_what_version_8_reads_and_not_what_is_read_here(
    node: Node,
) -> None:
    old = {"persistent": {"is_admin": True}}
    for seal in (sealed(old), Iron(node, 8).seal(old)):
        bare = seal.removesuffix("~2")
        assert bare != seal
        assert Iron(node, 8).unseal(bare) == {"is_admin": True}
        assert Iron(node, 9).unseal(bare) == unsealed(bare) == unsealed(seal) == old
