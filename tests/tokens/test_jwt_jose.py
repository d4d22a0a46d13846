"""jose, which services in Node use: it verifies what is signed here, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.jwt import ALGORITHMS, TYPE, Signer
from tests.node import Node, NodeError
from tests.tokens.signed import (
    ASYMMETRIC,
    AUDIENCE,
    CLAIMS,
    NOW,
    header_of,
    key,
    private_key,
    public_pem,
    secret,
    signer,
)

pytestmark = pytest.mark.slow

ISSUER = "https://cats.example"
TEXT = 'Müßiggänger 灯台守 🐈‍⬛ \u2028 \x00 \\ "'


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with Node("jose.mjs") as node:
        yield node


def verified(node: Node, one: Signer, token: str, algorithm: str, **changes: Any) -> Any:
    """Return what jose says of the token, given nothing but what a service would be."""
    known: dict[str, Any] = {"jwks": json.loads(json.dumps(one.jwks()))}
    if algorithm == "HS256":
        known = {"secret": secret().decode()}
    options = {"algorithms": [algorithm], "audience": AUDIENCE, "issuer": ISSUER, "typ": TYPE}
    return node.call("verify", token=token, **{**known, **options, "now": NOW, **changes})


def signed(node: Node, algorithm: str, claims: dict[str, Any], **header: Any) -> str:
    with_key: dict[str, Any] = {"pem": key(algorithm)}
    if algorithm == "HS256":
        with_key = {"secret": secret().decode()}
    header = header_of(algorithm, **header)
    return str(node.call("sign", claims={"aud": AUDIENCE, **claims}, header=header, **with_key))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_verifies_ours(node: Node, algorithm: str) -> None:
    one = signer(algorithm, issuer=ISSUER)
    token = one.sign({**CLAIMS, "data": {"text": TEXT}})
    told = verified(node, one, token, algorithm)
    assert told["payload"] == one.verify(token, now=NOW)
    assert told["payload"]["data"] == {"text": TEXT}
    assert told["header"] == header_of(algorithm)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_it_finds_the_key_of_each_of_ours_in_the_key_set(node: Node, algorithm: str) -> None:
    old, new = signer(algorithm, 0, issuer=ISSUER), signer(algorithm, 1, issuer=ISSUER)
    keys = [key(algorithm, 1), public_pem(private_key(algorithm, 0))]
    rotated = Signer(algorithm, keys, audience=AUDIENCE, issuer=ISSUER)
    for one in (old, new, rotated):
        assert verified(node, rotated, one.sign(CLAIMS), algorithm)["payload"]["sub"] == "7"
    with pytest.raises(NodeError, match="no applicable key"):
        verified(node, new, old.sign(CLAIMS), algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_refuses_what_has_ended_or_was_changed_or_is_for_others(
    node: Node, algorithm: str
) -> None:
    one = signer(algorithm, issuer=ISSUER)
    token = one.sign(CLAIMS)
    header, payload, signature = token.split(".")
    another = one.sign({**CLAIMS, "sub": "1"}).split(".")[1]
    with pytest.raises(NodeError, match="exp"):
        verified(node, one, token, algorithm, now=NOW + 60)
    for changed in (f"{header}.{another}.{signature}", f"{header}.{payload}.{signature[:-4]}AAAA"):
        with pytest.raises(NodeError, match="signature"):
            verified(node, one, changed, algorithm)
    for name, value in (("audience", "another"), ("issuer", "another"), ("typ", "JWT")):
        with pytest.raises(NodeError, match=r"claim|header"):
            verified(node, one, token, algorithm, **{name: value})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ours_verifies_its(node: Node, algorithm: str) -> None:
    token = signed(node, algorithm, {**CLAIMS, "data": {"text": TEXT}})
    assert signer(algorithm).verify(token, now=NOW)["data"] == {"text": TEXT}
    with pytest.raises(ExpiredToken):
        signer(algorithm).verify(token, now=NOW + 60)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_ours_refuses_what_it_signs_in_another_way(node: Node, algorithm: str) -> None:
    one = signer(algorithm)
    for header in ({"typ": "JWT"}, {"typ": None}, {"kid": None}, {"kid": "x"}, {"cty": "JWT"}):
        with pytest.raises(BadToken, match="header"):
            one.verify(signed(node, algorithm, CLAIMS, **header), now=NOW)
    for claims in ({**CLAIMS, "aud": "another"}, {**CLAIMS, "iss": ISSUER}, {"exp": NOW + 60}):
        with pytest.raises(BadToken, match=r"another|issued"):
            one.verify(signed(node, algorithm, claims), now=NOW)


def test_the_order_in_which_it_writes_a_header_is_its_own(node: Node) -> None:
    backwards = dict(reversed(header_of("Ed25519").items()))
    claims = {**CLAIMS, "aud": AUDIENCE}
    token = node.call("sign", claims=claims, header=backwards, pem=key("Ed25519"))
    assert signer("Ed25519").verify(token, now=NOW) == claims
