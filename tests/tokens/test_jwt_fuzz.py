"""Signed tokens: whatever the bytes are, they are ours or a BadToken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from tests.tokens.signed import (
    AUDIENCE,
    CLAIMS,
    NOW,
    WHOLE,
    encoded,
    forged,
    header_of,
    private_key,
    secret,
    signer,
    signing_key,
)

KEYS = {algorithm: signing_key(algorithm) for algorithm in ("HS256", "ES256")}
SIGNERS = {algorithm: signer(algorithm) for algorithm in KEYS}
TOKENS = {algorithm: one.sign(CLAIMS) for algorithm, one in SIGNERS.items()}

algorithms = st.sampled_from(sorted(KEYS))
any_text = st.text(st.characters(exclude_categories=()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(
    ["alg", "typ", "kid", "jku", "jwk", "x5u", "x5c", "cty", "crit", "b64", "zip", "enc"]
)
claims = st.sampled_from(["exp", "iat", "nbf", "aud", "iss", "sub", "sid", "data"])


def refused(algorithm: str, token: str) -> None:
    with pytest.raises(BadToken) as raised:
        SIGNERS[algorithm].verify(token, now=NOW)
    assert not isinstance(raised.value, ExpiredToken)


@given(algorithm=algorithms, text=any_text)
def test_any_text_is_a_bad_token(algorithm: str, text: str) -> None:
    refused(algorithm, text)


@given(algorithm=algorithms, parts=st.lists(st.binary(max_size=400), min_size=3, max_size=3))
def test_any_three_parts_are_a_bad_token(algorithm: str, parts: list[bytes]) -> None:
    refused(algorithm, ".".join(map(encoded, parts)))


@given(algorithm=algorithms, data=st.data())
def test_any_change_of_a_token_is_a_bad_token(algorithm: str, data: st.DataObject) -> None:
    token = TOKENS[algorithm]
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    instead = data.draw(any_text | st.text("aA0-_.=", max_size=4) | st.just(token[:start]))
    changed = token[:start] + instead + token[end:]
    if changed != token:
        refused(algorithm, changed)


@given(
    algorithm=algorithms,
    more=st.dictionaries(members | any_text, json_values, min_size=1, max_size=4),
    is_signed=st.booleans(),
)
def test_any_other_header_is_a_bad_token(
    algorithm: str, more: dict[str, Any], is_signed: bool
) -> None:
    header = {**header_of(algorithm), **more}
    if header != header_of(algorithm):
        key = KEYS[algorithm] if is_signed else b"x" * 32
        refused(algorithm, forged(header, WHOLE, key))


@given(algorithm=algorithms, header=json_values | st.binary(max_size=400))
def test_anything_for_a_header_is_a_bad_token(algorithm: str, header: object) -> None:
    refused(algorithm, forged(header, WHOLE, KEYS[algorithm]))


@given(algorithm=algorithms, payload=json_values | st.binary())
def test_anything_for_a_payload_is_a_bad_token(algorithm: str, payload: object) -> None:
    refused(algorithm, forged(header_of(algorithm), payload, KEYS[algorithm]))


@given(more=st.dictionaries(claims, json_values | st.integers(NOW - 9, NOW + 9), max_size=8))
def test_claims_are_ours_or_a_bad_token(more: dict[str, Any]) -> None:
    token = forged(header_of("HS256"), {**WHOLE, **more}, KEYS["HS256"])
    try:
        told = SIGNERS["HS256"].verify(token, now=NOW)
    except BadToken:
        return
    assert told["exp"] > NOW
    assert (told["aud"], told.get("iss"), "nbf" in told) == (AUDIENCE, None, False)


@given(algorithm=algorithms, payload=json_values)
def test_nobody_signs_for_us(algorithm: str, payload: object) -> None:
    whole = {**WHOLE, "data": payload}
    for key in (secret(1), private_key("ES256", 1)):
        refused(algorithm, forged(header_of(algorithm), whole, key))
