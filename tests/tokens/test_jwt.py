"""Signed tokens: what was signed is verified, for its time and its audience."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.jwt import ALGORITHMS, LENGTH, Signer
from tests.tokens.signed import (
    ASYMMETRIC,
    AUDIENCE,
    CLAIMS,
    NOW,
    decoded,
    key,
    private_key,
    public_pem,
    signer,
)

pytestmark = pytest.mark.varies

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Halves of an emoji, too, but not two that make one: JSON takes them for it.
    | st.text(st.characters(exclude_categories=())).filter(lambda text: text == whole(text)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


def whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_signed_is_verified(algorithm: str) -> None:
    one = signer(algorithm)
    assert one.verify(one.sign(CLAIMS), now=NOW) == {**CLAIMS, "aud": AUDIENCE}


@given(data=values)
def test_what_is_json_comes_back(data: object) -> None:
    one = signer("HS256")
    assert one.verify(one.sign({**CLAIMS, "data": data}), now=NOW)["data"] == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_holds_three_members_in_its_header_and_no_space(algorithm: str) -> None:
    token = signer(algorithm, issuer="https://cats.example").sign({**CLAIMS, "data": "Müßig 🐈"})
    header, payload, _ = token.split(".")
    told = json.loads(decoded(header))
    assert list(told) == ["alg", "typ", "kid"]
    assert (told["alg"], told["typ"]) == (algorithm, "session+jwt")
    assert decoded(payload).decode() == (
        '{"iat":1900000000,"exp":1900000060,"sub":"7","data":"Müßig 🐈",'
        '"aud":"tests","iss":"https://cats.example"}'
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_first_key_signs_and_all_verify(algorithm: str) -> None:
    old, rotated, done = signer(algorithm, 0), signer(algorithm, 1, 0), signer(algorithm, 1)
    assert rotated.verify(old.sign(CLAIMS), now=NOW)["sub"] == "7"
    assert done.verify(rotated.sign(CLAIMS), now=NOW)["sub"] == "7"
    for one, other in ((old, rotated), (done, old)):
        with pytest.raises(BadToken, match="no key of ours"):
            one.verify(other.sign(CLAIMS), now=NOW)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_public_part_of_an_old_key_is_enough(algorithm: str) -> None:
    public = public_pem(private_key(algorithm, 0))
    rotated = Signer(algorithm, [key(algorithm, 1), public], audience=AUDIENCE)
    assert rotated.verify(signer(algorithm).sign(CLAIMS), now=NOW)["sub"] == "7"


def test_a_token_ends_at_the_moment_that_it_says_and_not_before() -> None:
    one = signer("HS256")
    for end in (NOW, NOW + 0.25):
        token = one.sign({**CLAIMS, "exp": end})
        assert one.verify(token, now=end - 0.001)["exp"] == end
        for now in (end, end + 0.001, end + 10**9):
            with pytest.raises(ExpiredToken):
                one.verify(token, now=now)
            assert one.verify(token, now=now, may_be_expired=True)["exp"] == end


def test_now_is_the_present_if_nobody_says_otherwise() -> None:
    one, now = signer("HS256"), time.time()
    assert one.verify(one.sign({"iat": now, "exp": now + 1000}))["iat"] == now
    ended = one.sign({"iat": now, "exp": now - 1})
    with pytest.raises(ExpiredToken):
        one.verify(ended)
    assert one.verify(ended, may_be_expired=True)["iat"] == now


def test_a_token_from_a_clock_that_is_ahead_is_good() -> None:
    one = signer("HS256")
    assert one.verify(one.sign(CLAIMS), now=NOW - 3600)["iat"] == NOW


def test_only_a_token_of_ours_has_ended() -> None:
    one = signer("HS256")
    ended = one.sign(CLAIMS)
    for token in (ended[:-2] + "AA", signer("HS256", audience="another").sign(CLAIMS)):
        for may_be_expired in (False, True):
            with pytest.raises(BadToken) as raised:
                one.verify(token, now=NOW + 1000, may_be_expired=may_be_expired)
            assert not isinstance(raised.value, ExpiredToken)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ({"audience": "another"}, {}),
        ({"audience": "tests "}, {}),
        ({"audience": "TESTS"}, {}),
        ({}, {"issuer": "https://cats.example"}),
        ({"issuer": "https://dogs.example"}, {"issuer": "https://cats.example"}),
        ({"issuer": "https://cats.example"}, {}),
    ],
)
def test_a_token_for_others_or_of_others_is_refused(
    made: dict[str, str], wanted: dict[str, str]
) -> None:
    token = signer("HS256", **made).sign(CLAIMS)
    assert signer("HS256", **made).verify(token, now=NOW)["aud"] == made.get("audience", AUDIENCE)
    with pytest.raises(BadToken, match="another"):
        signer("HS256", **wanted).verify(token, now=NOW)


def test_the_audience_and_the_issuer_are_the_signers_own() -> None:
    one = signer("HS256", issuer="https://cats.example")
    given = {**CLAIMS, "aud": "another", "iss": "https://dogs.example"}
    claims = one.verify(one.sign(given), now=NOW)
    assert (claims["aud"], claims["iss"]) == (AUDIENCE, "https://cats.example")
    assert given["aud"] == "another"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"iat": None},
        {"exp": "1900000060"},
        {"exp": True},
        {"exp": 10**400},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": 1},
        {"iss": "https://dogs.example"},
        {"data": float("nan")},
        {"data": "x" * LENGTH},
    ],
    ids=str,
)
def test_nothing_is_signed_that_would_not_be_verified(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"issue|later|JSON|characters"):
        signer("HS256").sign({**CLAIMS, **changes})


def test_what_is_no_json_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        signer("HS256").sign({**CLAIMS, "data": object()})
