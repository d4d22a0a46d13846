"""Signed tokens: what a stranger sends is refused, and a payload that is none of ours."""

from __future__ import annotations

import json

import pytest

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.jwt import ALGORITHMS, LENGTH
from tests.cases import looped
from tests.tokens.signed import (
    ASYMMETRIC,
    AUDIENCE,
    CLAIMS,
    NOW,
    WHOLE,
    decoded,
    encoded,
    forged,
    header_of,
    secret,
    signer,
)

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
TOKEN = signer("HS256").sign(CLAIMS)
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_change_of_any_character_is_refused(algorithm: str) -> None:
    one = signer(algorithm)
    token = one.sign(CLAIMS)
    for place in range(0, len(token), 1 if algorithm == "HS256" else 7):
        for other in {"A", "_", ".", "=", " ", "Å"} - {token[place]}:
            with pytest.raises(BadToken):
                one.verify(token[:place] + other + token[place + 1 :], now=NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bits_that_mean_nothing_must_be_zero(algorithm: str) -> None:
    one = signer(algorithm)
    token = one.sign(CLAIMS)
    others = [token[:-1] + end for end in BASE64 if end != token[-1]]
    assert any(decoded(text.split(".")[2]) == decoded(token.split(".")[2]) for text in others)
    for text in others:
        with pytest.raises(BadToken):
            one.verify(text, now=NOW)


def test_the_second_signature_that_anybody_can_make_of_es256_changes_nothing() -> None:
    one = signer("ES256")
    text, _, signature = one.sign(CLAIMS).rpartition(".")
    r, s = decoded(signature)[:32], int.from_bytes(decoded(signature)[32:], "big")
    second = encoded(r + (CURVE_ORDER - s).to_bytes(32, "big"))
    assert second != signature
    assert one.verify(f"{text}.{second}", now=NOW) == WHOLE


@looped(
    "payload",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b'"text"',
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        json.dumps(WHOLE).encode("utf-16"),
        json.dumps(WHOLE).replace("60", "60, NaN").encode(),
        json.dumps({**WHOLE, "exp": float("nan")}).encode(),
        json.dumps({**WHOLE, "exp": float("inf")}).encode(),
        json.dumps({**WHOLE, "data": float("nan")}).encode(),
        json.dumps(WHOLE).replace(str(NOW + 60), "1e999").encode(),
        json.dumps(WHOLE).replace(str(NOW + 60), "9" * 400).encode(),
        json.dumps(WHOLE).replace(str(NOW + 60), "9" * 5000).encode(),
        b"[" * 70_000,
        b'{"a":' * 14_000,
        {**WHOLE, "exp": None},
        {**WHOLE, "exp": True},
        {**WHOLE, "exp": str(NOW + 60)},
        {**WHOLE, "exp": [NOW + 60]},
        {**WHOLE, "iat": None},
        {**WHOLE, "iat": "now"},
        {**WHOLE, "nbf": NOW - 1},
        {**WHOLE, "aud": [AUDIENCE]},
        {**WHOLE, "aud": None},
        {**WHOLE, "iss": ""},
        CLAIMS,
        {},
    ],
)
def test_a_payload_that_we_would_not_write_is_refused(payload: object) -> None:
    for may_be_expired in (False, True):
        token = forged(header_of("HS256"), payload, secret())
        with pytest.raises(BadToken) as raised:
            signer("HS256").verify(token, now=NOW, may_be_expired=may_be_expired)
        assert not isinstance(raised.value, ExpiredToken)


NO_HEADERS: list[object] = [["alg", "b64"], "alg b64", "alg", 7, None, [], {}, ["alg", "typ"]]
HOSTILE = [
    "",
    ".",
    "..",
    "...",
    HEADER,
    f"{HEADER}.{PAYLOAD}",
    f"{HEADER}.{PAYLOAD}.",
    f"{HEADER}..{SIGNATURE}",
    f".{PAYLOAD}.{SIGNATURE}",
    f"{TOKEN}.",
    f"{TOKEN}.{PAYLOAD}",
    f"{TOKEN}\n",
    f" {TOKEN}",
    f"{TOKEN}=",
    f"{TOKEN}==",
    TOKEN + "Å",
    TOKEN + "\0",
    TOKEN + "\udc80",
    TOKEN.replace(".", "\uff0e"),
    "\ud800.\ud800.\ud800",
    TOKEN * 2,
    TOKEN.upper(),
    json.dumps({"protected": HEADER, "payload": PAYLOAD, "signature": SIGNATURE}),
    f"{encoded(b'[' * 300)}.{PAYLOAD}.{SIGNATURE}",
    f"{encoded(b'[' * 60_000)}.{PAYLOAD}.{SIGNATURE}",
    f"{encoded(b'9' * 350)}.{PAYLOAD}.{SIGNATURE}",
    *(f"{encoded(header)}.{PAYLOAD}.{SIGNATURE}" for header in NO_HEADERS),
    f"{HEADER}.{'A' * 5_000_000}.{SIGNATURE}",
    f"{HEADER}.{PAYLOAD}.{'A' * 90_000}",
    "." * 5_000_000,
    "A" * LENGTH,
]


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
@looped("text", HOSTILE)
def test_what_strangers_send_is_a_bad_token(algorithm: str, text: str) -> None:
    with pytest.raises(BadToken):
        signer(algorithm).verify(text, now=NOW)


def test_a_token_longer_than_any_of_ours_is_refused() -> None:
    room = LENGTH - len(TOKEN)
    good = signer("HS256").sign({**CLAIMS, "data": "x" * (room * 3 // 4)})
    assert LENGTH - 100 < len(good) <= LENGTH
    assert signer("HS256").verify(good, now=NOW)["data"].startswith("x")
    token = forged(header_of("HS256"), {**WHOLE, "data": "x" * LENGTH}, secret())
    with pytest.raises(BadToken, match="form"):
        signer("HS256").verify(token, now=NOW)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@looped("length", [0, 1, 32, 63, 64, 65, 255, 256, 257, 1000])
def test_a_signature_of_any_length_is_refused(algorithm: str, length: int) -> None:
    one = signer(algorithm)
    text = one.sign(CLAIMS).rpartition(".")[0]
    for byte in (b"\0", b"\xff"):
        with pytest.raises(BadToken):
            one.verify(f"{text}.{encoded(byte * length)}", now=NOW)
