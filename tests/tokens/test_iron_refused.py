"""Seals: what a stranger sends is refused, and nothing tells what is secret."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.iron import Sealer
from tests.cases import looped

PASSWORD, OTHER = "the lighthouse keeper's long password", "a password of the harbour master's"
SEALER = Sealer(PASSWORD)
NOW = 1_900_000_000.0
SEAL = SEALER.seal(b'{"cat": "Tom"}', expires_at=NOW)


def signed_by_hand(parts: str) -> str:
    """Return the first six parts of a seal with a MAC that is right for PASSWORD."""
    salt = "5" * 64
    key = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt.encode(), 1, 32)
    mac = urlsafe_b64encode(hmac.digest(key, parts.encode(), "sha256")).rstrip(b"=").decode()
    return f"{parts}*{salt}*{mac}~2"


def first_six(seal: str) -> list[str]:
    return seal.split("*")[:6]


def test_a_change_of_any_character_is_refused() -> None:
    body = SEAL.removesuffix("~2")
    for place, character in enumerate(body):
        # For the last character of a part, the first of these may change unused bits alone.
        for other in {chr(ord(character) + 1), "A", "0", "*", "Å"} - {character}:
            with pytest.raises(BadToken):
                SEALER.unseal(body[:place] + other + body[place + 1 :] + "~2", now=NOW)


def test_a_part_of_it_or_more_than_it_is_refused() -> None:
    body = SEAL.removesuffix("~2")
    for length in range(len(body)):
        with pytest.raises(BadToken):
            SEALER.unseal(body[:length], now=NOW)
    for more in ("~", "~1", "~02", "~2 ", "~2~2", "~22", "~2*", "=", "\n", "~2\n", "*", "~\u0662"):
        with pytest.raises(BadToken, match="form"):
            SEALER.unseal(body + more, now=NOW)
    with pytest.raises(BadToken):
        SEALER.unseal(" " + SEAL, now=NOW)


def test_the_expiry_is_not_believed_before_the_mac() -> None:
    for expiry in ("1", "9999999999999999", ""):
        parts = [*first_six(SEAL)[:5], expiry, *SEAL.split("*")[6:]]
        with pytest.raises(BadToken, match="changed") as raised:
            SEALER.unseal("*".join(parts), now=NOW)
        assert not isinstance(raised.value, ExpiredToken)


def test_the_id_is_under_the_mac() -> None:
    twice = Sealer({1: PASSWORD, 2: PASSWORD})
    assert twice.unseal(SEAL, now=NOW).password_id == 1
    for name in ("2", "01", "0", ""):
        with pytest.raises(BadToken):
            twice.unseal(SEAL.replace("*1*", f"*{name}*", 1), now=NOW)


def test_another_password_opens_nothing() -> None:
    with pytest.raises(BadToken, match="another password"):
        Sealer(OTHER).unseal(SEAL, now=NOW)


@looped("ciphertext", ["A", "AAAA", "A" * 21, "A" * 22, "A" * 43, "A" * 4000])
def test_what_is_authentic_and_no_ciphertext_is_refused(ciphertext: str) -> None:
    parts = [*first_six(SEAL)[:4], ciphertext, ""]
    with pytest.raises(BadToken, match="decrypted"):
        SEALER.unseal(signed_by_hand("*".join(parts)))


def test_who_has_the_password_may_spell_an_iv_in_another_way() -> None:
    # The last character of 22 has four bits that mean nothing.
    prefix, name, salt, iv, ciphertext, _ = first_six(SEALER.seal(b"cat"))
    spelt = iv[:-1] + chr(ord(iv[-1]) + 1)
    parts = "*".join([prefix, name, salt, spelt, ciphertext, ""])
    assert SEALER.unseal(signed_by_hand(parts)).payload == b"cat"


HOSTILE = [
    "",
    "*" * 7,
    "Fe26.2" + "*" * 7,
    "Fe26.1" + SEAL[6:],
    SEAL.replace("*", "\0"),
    SEAL.replace("1", "\u0661"),
    SEAL + "Å",
    SEAL + "\udc80",
    "\ud800" * 8,
    SEAL.upper(),
    SEAL.replace("-", "+").replace("_", "/") + "==",
    SEAL.replace("*1*", "*" + "1" * 5000 + "*", 1),
    SEAL.replace("*1900000000000*", "*" + "1" * 5000 + "*", 1),
    "*".join(SEAL.split("*")[::-1]),
    SEAL * 2,
    "Fe26.2*1*" + "a" * 1_000_000,
    "*" * 1_000_000,
    SEAL[:150] + "A" * 1_000_000 + SEAL[150:],
]


@looped("text", HOSTILE)
def test_what_strangers_send_is_a_bad_token(text: str) -> None:
    with pytest.raises(BadToken):
        SEALER.unseal(text, now=NOW)


@given(text=st.text(st.characters(exclude_categories=())))
def test_any_text_is_a_bad_token(text: str) -> None:
    with pytest.raises(BadToken):
        SEALER.unseal(text)


@given(text=st.lists(st.text("Fe26.2*1aA0-_~=", max_size=70), min_size=8, max_size=8))
def test_what_looks_like_a_seal_is_a_bad_token(text: list[str]) -> None:
    for prefix in (text[0], "Fe26.2"):
        with pytest.raises(BadToken):
            SEALER.unseal("*".join([prefix, *text[1:]]))


@given(data=st.data())
def test_any_change_of_a_seal_is_a_bad_token(data: st.DataObject) -> None:
    body = SEAL.removesuffix("~2")
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    instead = data.draw(st.text() | st.text("*aA0-_", max_size=4) | st.just(body[:start]))
    changed = body[:start] + instead + body[end:]
    if changed in {body, SEAL}:
        return
    with pytest.raises(BadToken) as raised:
        SEALER.unseal(changed, now=NOW)
    assert PASSWORD not in str(raised.value)
    assert not isinstance(raised.value, ExpiredToken)


def test_nothing_shows_what_is_secret() -> None:
    shown = repr(SEALER) + repr(SEALER.unseal(SEAL, now=NOW))
    for text in (SEAL, "x" + SEAL, SEAL[:-3], signed_by_hand("*".join(first_six(SEAL)[:5]) + "*1")):
        with pytest.raises(BadToken) as raised:
            SEALER.unseal(text, now=NOW + 1000)
        shown += str(raised.value)
    for secret in (PASSWORD, "Tom", *(part for part in SEAL.split("*") if len(part) > 15)):
        assert secret not in shown
