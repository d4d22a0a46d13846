"""Signed tokens: a header decides nothing, and what it says must be what ours say."""

from __future__ import annotations

from typing import Any

import pytest

from django_sessionkit.tokens.errors import BadToken
from django_sessionkit.tokens.jwt import ALGORITHMS
from tests.cases import looped
from tests.tokens.signed import (
    ASYMMETRIC,
    NOW,
    WHOLE,
    decoded,
    forged,
    header_of,
    private_key,
    public_pem,
    signer,
    signing_key,
)


def verified(algorithm: str, header: object) -> dict[str, Any]:
    """Open a token with a good signature of the signer's key."""
    token = forged(header, WHOLE, signing_key(algorithm))
    return signer(algorithm).verify(token, now=NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_forged_here_is_good_but_for_what_each_test_changes(algorithm: str) -> None:
    assert verified(algorithm, header_of(algorithm)) == WHOLE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@looped(
    "changes",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS384"},
        {"alg": "PS256"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "SESSION+JWT"},
        {"typ": "application/session+jwt"},
        {"kid": None},
        {"kid": ""},
        {"kid": "unknown"},
        {"kid": "../../dev/null"},
        {"kid": ["x"]},
        {"kid": {"x": 1}},
        {"kid": 0},
        {"jku": "https://cats.example/jwks.json"},
        {"x5u": "https://cats.example/cert.pem"},
        {"x5c": ["MII"]},
        {"jwk": {"kty": "oct", "k": "eA"}},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": 7},
        {"crit": [{}]},
        {"b64": True},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"cat": "Tom"},
    ],
)
def test_a_header_that_we_would_not_write_is_refused(
    algorithm: str, changes: dict[str, object]
) -> None:
    with pytest.raises(BadToken):
        verified(algorithm, header_of(algorithm, **changes))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@looped("other", [*ALGORITHMS, "none"])
def test_another_algorithm_than_the_configured_one_is_refused(algorithm: str, other: str) -> None:
    if other == algorithm:
        return
    # The other's key, and what the world knows of ours; 'none' takes any for a secret.
    keys: list[Any] = [signing_key("HS256" if other == "none" else other)]
    if algorithm != "HS256":
        keys.append(public_pem(private_key(algorithm)).encode())
        (jwk,) = signer(algorithm).jwks()["keys"]
        keys += [decoded(jwk[name]) for name in ("x", "y", "n") if name in jwk]
    one, header = signer(algorithm), header_of(algorithm, alg=other)
    for key in keys:
        token = forged(header, WHOLE, key)
        unsigned = token.rpartition(".")[0]
        for text in (token, f"{unsigned}.", f"{unsigned}.AA", unsigned):
            with pytest.raises(BadToken):
                one.verify(text, now=NOW)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_what_is_public_signs_nothing(algorithm: str) -> None:
    (jwk,) = signer(algorithm).jwks()["keys"]
    public = [public_pem(private_key(algorithm)).encode()]
    public += [decoded(jwk[name]) for name in ("x", "y", "n") if name in jwk]
    for key in public:
        with pytest.raises(BadToken, match="another key"):
            signer(algorithm).verify(forged(header_of(algorithm), WHOLE, key), now=NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_name_of_one_key_does_not_open_what_another_signed(algorithm: str) -> None:
    both = signer(algorithm, 0, 1)
    token = forged(header_of(algorithm, 1), WHOLE, signing_key(algorithm))
    with pytest.raises(BadToken, match="another key"):
        both.verify(token, now=NOW)
