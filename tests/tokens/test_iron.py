"""Seals: what was sealed comes out, for as long as it should, with each password."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.iron import PASSWORD_LENGTH, SKEW, Sealer
from tests.cases import looped

pytestmark = pytest.mark.varies

PASSWORD, OTHER = "the lighthouse keeper's long password", "a password of the harbour master's"
SEALER = Sealer(PASSWORD)
NOW = 1_900_000_000.0
SEAL = SEALER.seal(b'{"cat": "Tom"}', expires_at=NOW)

# By iron-session 8.0.4 and 9.0.1: {"cat": "Tom"} with PASSWORD, for ever.
FROM_NODE = [
    "Fe26.2*1*72e43ae6dd9167d4118edc580e2df494314e6df0c951ea3c60914a78be756eb8"
    "*4JGbq4Seh-ZUmEBkQZbHGg*31RNfHQ8WBa-wg9U1oxqHA*"
    "*03475a4fd3645b039be9132d998d08cd6bf9753efb96e74ad79c883abb89312f"
    "*RmWxDH8HYqaYLGwJJZqXADXfviUbXA82M9uxGrOHUIk~2",
    "Fe26.2*1*1c23804c4b0878e6cff07dc2168eef25a46f3ff51d6a25cd60107bb8acf450f7"
    "*zZmmbVh01Uq7qMD06gdjEg*or90z137k-QoNaz-EN1q_A*"
    "*e7664b6210a1c657166cdfa991c62a0c795dfbeff1383799a5d3b5997f188914"
    "*D12XX0s0AZ9tHonGXQMOiSbXzkyfuodHfCkQjMuojUA~2",
]


@given(
    payload=st.binary(max_size=3000),
    expiry=st.none() | st.integers(1_000, 253_402_300_800_000),  # the year 9999 is over
)
@example(payload=b"", expiry=1001)  # int() would lose a millisecond
def test_what_was_sealed_is_unsealed(payload: bytes, expiry: int | None) -> None:
    expires_at = None if expiry is None else expiry / 1000
    seal = SEALER.seal(payload, expires_at=expires_at)
    unsealed = SEALER.unseal(seal, now=0)
    assert (unsealed.payload, unsealed.expires_at) == (payload, expires_at)
    assert unsealed.password_id == 1


@looped("length", range(65))
def test_payloads_of_each_length_are_padded_and_come_out(length: int) -> None:
    payload = b"\x01" * length  # looks like padding itself
    seal = SEALER.seal(payload)
    blocks = length // 16 + 1
    assert len(seal.split("*")[4]) == -(-blocks * 16 * 4 // 3)
    assert SEALER.unseal(seal).payload == payload


@pytest.mark.parametrize("seal", FROM_NODE, ids=["8", "9"])
def test_a_seal_of_iron_session_opens_without_node(seal: str) -> None:
    unsealed = SEALER.unseal(seal)
    assert (unsealed.payload, unsealed.expires_at) == (b'{"cat":"Tom"}', None)


def test_no_two_seals_share_a_salt_an_iv_or_a_mac() -> None:
    seals = [SEALER.seal(b"the same").split("*") for _ in range(100)]
    for part in (2, 3, 4, 6, 7):
        assert len({seal[part] for seal in seals}) == 100
    assert all(seal[2] != seal[6] for seal in seals)


@looped(
    ("late", "is_over"),
    [(-1000, False), (0, False), (SKEW - 1, False), (SKEW, True), (SKEW + 1, True), (1e9, True)],
)
def test_a_seal_opens_until_a_minute_after_its_end(late: float, is_over: bool) -> None:
    unsealed = SEALER.unseal(SEAL, now=NOW + late, may_be_expired=True)
    assert (unsealed.payload, unsealed.expires_at) == (b'{"cat": "Tom"}', NOW)
    if is_over:
        with pytest.raises(ExpiredToken):
            SEALER.unseal(SEAL, now=NOW + late)
    else:
        assert SEALER.unseal(SEAL, now=NOW + late) == unsealed


def test_the_present_decides_where_no_moment_is_given() -> None:
    with pytest.raises(ExpiredToken):
        SEALER.unseal(SEALER.seal(b"", expires_at=1_000_000_000))
    assert SEALER.unseal(SEALER.seal(b"", expires_at=100_000_000_000)).payload == b""


@looped("moment", [0, -1, 0.0004, float("nan"), float("inf"), float("-inf"), 1e15, 10**400])
def test_an_end_that_no_seal_can_hold_is_refused(moment: float) -> None:
    with pytest.raises(ValueError, match="no moment"):
        SEALER.seal(b"", expires_at=moment)


def test_the_version_is_always_written_and_means_nothing() -> None:
    assert SEAL.endswith("~2")
    assert SEALER.unseal(SEAL, now=NOW) == SEALER.unseal(SEAL.removesuffix("~2"), now=NOW)


def test_the_highest_id_seals_and_all_open() -> None:
    old, new = Sealer({2: PASSWORD}), Sealer({10: OTHER})
    both = Sealer({"2": PASSWORD, 10: OTHER})  # as text, "2" is higher
    assert both.unseal(old.seal(b"old")).password_id == 2
    assert new.unseal(both.seal(b"new")).password_id == 10
    with pytest.raises(BadToken, match="unknown id"):
        old.unseal(both.seal(b"new"))


def test_another_than_the_highest_seals_if_it_is_named() -> None:
    both = Sealer({2: PASSWORD, "10": OTHER}, current=2)
    assert both.unseal(both.seal(b"cat")).password_id == 2
    assert both.unseal(Sealer({10: OTHER}).seal(b"cat")).password_id == 10
    with pytest.raises(ValueError, match="no password with the id"):
        Sealer({2: PASSWORD}, current=3)


def test_an_id_is_a_number_whether_given_as_one_or_as_text() -> None:
    sealers = [Sealer(PASSWORD), Sealer({1: PASSWORD}), Sealer({"1": PASSWORD})]
    for sealer in sealers:
        assert all(each.unseal(sealer.seal(b"cat")).payload == b"cat" for each in sealers)


@pytest.mark.parametrize(
    ("passwords", "message"),
    [
        ("", "at least 32"),
        ("x" * (PASSWORD_LENGTH - 1), "at least 32.* id 1 is not"),
        ({1: PASSWORD, 2: "short"}, "id 2 is not"),
        ({1: None}, "id 1 is not"),
        ({1: PASSWORD.encode()}, "id 1 is not"),
        ({}, "no password"),
        ({"1": PASSWORD, 1: PASSWORD}, "two passwords with the id 1"),
        ({"x": PASSWORD}, "whole number"),
        ({"": PASSWORD}, "whole number"),
        ({"01": PASSWORD}, "whole number"),
        ({" 1": PASSWORD}, "whole number"),
        ({"1\n": PASSWORD}, "whole number"),
        ({"\u0661": PASSWORD}, "whole number"),
        ({-1: PASSWORD}, "whole number"),
        ({1.0: PASSWORD}, "whole number"),
        ({True: PASSWORD}, "whole number"),
        ({2**53: PASSWORD}, "whole number"),
        ({PASSWORD: 1}, "whole number"),
        ({3: PASSWORD + "\udc80"}, "id 3 has lone surrogates"),
    ],
)
def test_passwords_of_no_use_are_refused(passwords: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Sealer(passwords)
    assert raised.value.__context__ is None
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    "passwords",
    [{0: PASSWORD}, {2**53 - 1: PASSWORD}, "x" * PASSWORD_LENGTH, "ключ" * 8, "x" * 10_000],
)
def test_passwords_at_the_edge_serve(passwords: str | Mapping[int | str, str]) -> None:
    sealer = Sealer(passwords)
    assert sealer.unseal(sealer.seal(b"cat")).payload == b"cat"


def test_it_works_without_django() -> None:
    code = "import sys; import django_sessionkit.tokens.iron; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
