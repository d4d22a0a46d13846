"""Signed tokens: JWTs (RFC 7519) that only we make, and that others can verify.

joserfc signs and verifies; which tokens are ours is decided here. One is ours if its header says
exactly what we write, if the key named there signed it, and if its claims have the form of ours.
So the algorithm is never the token's choice, no header can bring a key or say where to get one
(RFC 8725, sections 3.1 and 3.10), and there is nothing in a header that could be overlooked.

A token is never to be known by its text: who has one that ES256 signed can make a second signature
that is as good. What it says stays the same.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.registry import HeaderParameter

from django_sessionkit.tokens.errors import BadToken, ExpiredToken
from django_sessionkit.tokens.jwk import TokenKey, read_key

#: The header's ``typ``: a JWT made for something else is none of ours (RFC 8725, section 3.11).
TYPE = "session+jwt"
#: What can sign. Ed25519 is RFC 9864's name for what RFC 8037 calls EdDSA.
ALGORITHMS = ("HS256", "Ed25519", "EdDSA", "ES256", "RS256")
#: The longest token, in characters.
LENGTH = 100_000

# Three parts of base64url, none of them empty: no other serialization, nothing detached, and no
# padding, which joserfc took before 1.7.
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Signer:
    """Makes and opens tokens of one algorithm: the first key signs, all verify.

    For HS256 the keys are secrets of at least 32 bytes, for the other algorithms PEM text of
    private keys; those after the first may be public ones. ``audience`` and ``issuer`` are the
    claims ``aud`` and ``iss`` of each token; without an issuer there is no ``iss``.

    Raises ValueError if there is no such algorithm, no key, or one that does not serve for it.
    """

    __slots__ = ("_headers", "_keys", "_own", "_registry", "_signing")

    def __init__(
        self,
        algorithm: str,
        keys: Sequence[bytes | str],
        *,
        audience: str,
        issuer: str | None = None,
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"The algorithm must be one of {', '.join(ALGORITHMS)}.")
        if not keys or isinstance(keys, bytes | str):
            raise ValueError("There must be a list of keys, with one at least.")
        read = [_read(algorithm, key, number) for number, key in enumerate(keys, 1)]
        if read[0].signing is None:
            raise ValueError("Key 1: It is to sign, so it must be a private key.")
        self._registry = _Registry(algorithm)
        self._keys = {key.kid: key for key in read}
        self._headers = {kid: {"alg": algorithm, "typ": TYPE, "kid": kid} for kid in self._keys}
        self._signing = (self._headers[read[0].kid], read[0].signing)
        self._own = {"aud": audience} if issuer is None else {"aud": audience, "iss": issuer}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token of the claims, which must hold ``iat`` and ``exp``.

        Both are seconds since the epoch; ``aud`` and ``iss`` are added.

        Raises ValueError if they lack one of these or are no claims of ours for another reason, or
        if the token would be longer than LENGTH; TypeError or ValueError if they are no JSON.
        """
        whole = {**claims, **self._own}
        if fault := self._fault_of(whole):
            raise ValueError(fault)
        # A lone surrogate, which UTF-8 has no bytes for, becomes the escape that JSON has for it.
        payload = _ENCODER.encode(whole).encode(errors="backslashreplace")
        header, key = self._signing
        token = jws.serialize_compact(header, payload, key, registry=self._registry)
        if len(token) > LENGTH:
            raise ValueError(f"The token has {len(token)} characters; {LENGTH} is the most.")
        return token

    def verify(
        self, token: str, *, now: float | None = None, may_be_expired: bool = False
    ) -> dict[str, Any]:
        """Return the claims of the token, ``aud`` and ``iss`` among them.

        Raises BadToken if it is none of ours, and ExpiredToken if it is and ``now`` (seconds since
        the epoch; None: the present) is not before its ``exp``, unless it ``may_be_expired``.
        Takes a time linear in the length of the token.
        """
        claims = _claims_in(self._verified(token))
        if fault := self._fault_of(claims):
            raise BadToken(fault)
        if not may_be_expired and (time.time() if now is None else now) >= claims["exp"]:
            raise ExpiredToken("Its time is over.")
        return claims

    def jwks(self) -> dict[str, Any]:
        """Return the public parts of the keys as a JWK Set (RFC 7517, section 5).

        A secret is not among them, so there are none with HS256.
        """
        return {"keys": [dict(key.jwk) for key in self._keys.values() if key.jwk is not None]}

    def _verified(self, token: str) -> bytes:
        """Return the payload. Raises BadToken if none of the keys has signed it as ours."""
        if len(token) > LENGTH or _FORM.fullmatch(token) is None:
            raise BadToken("It does not have the form of a token.")
        try:
            signature = jws.extract_compact(token.encode(), registry=self._registry)
        # joserfc takes the header for an object before it has looked, hence the TypeError.
        except (JoseError, TypeError, ValueError, RecursionError) as error:
            raise BadToken("It does not have the form of a token.") from error
        header: object = signature.headers()
        kid = header.get("kid") if isinstance(header, dict) else None
        if not isinstance(kid, str) or kid not in self._keys:
            raise BadToken("Its header names no key of ours.")
        if header != self._headers[kid]:
            raise BadToken("Its header has another algorithm or type than ours, or says more.")
        key = self._keys[kid].verifying
        if not jws.validate_compact(signature, key, registry=self._registry):
            raise BadToken("It was changed, or signed with another key.")
        return signature.payload

    def _fault_of(self, claims: dict[str, Any]) -> str:
        """Return why these are no claims of ours; an empty text if they are.

        When a token was issued is not compared with the present: the clocks of a site's servers
        differ, and nothing depends on it.
        """
        if claims.get("aud") != self._own["aud"]:
            return "It is for another audience."
        if claims.get("iss") != self._own.get("iss"):
            return "It is of another issuer."
        if not (_is_moment(claims.get("iat")) and _is_moment(claims.get("exp"))):
            return "It does not say when it was issued or when it ends."
        # Who does not heed it must not take it for nothing (RFC 7519, section 4.1.5).
        return "It is for later, which none of ours is." if "nbf" in claims else ""


class _Registry(jws.JWSRegistry):
    """Has one algorithm, and of the members of a header those that we write."""

    default_header_registry = {
        name: HeaderParameter(name, "str", required=True) for name in ("alg", "typ", "kid")
    }
    max_payload_length = max_signature_length = LENGTH

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm])
        self._algorithm = algorithm

    def get_alg(self, name: str) -> JWSAlgModel:
        # Not theirs: it warns of EdDSA at each use. RFC 9864 deprecates that name, and what is
        # older knows no other.
        if name != self._algorithm:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


def _read(algorithm: str, key: bytes | str, number: int) -> TokenKey:
    try:
        return read_key(algorithm, key)
    except ValueError as error:
        raise ValueError(f"Key {number}: {error}") from error


def _claims_in(payload: bytes) -> dict[str, Any]:
    """Raises BadToken if the payload is no JSON object."""
    try:
        claims = _DECODER.decode(payload.decode())
    except (ValueError, RecursionError) as error:
        raise BadToken("It is authentic, and its payload is no JSON.") from error
    if not isinstance(claims, dict):
        raise BadToken("It is authentic, and its payload is no JSON object.")
    return claims


def _is_moment(value: object) -> bool:
    # Far beyond any date, and small enough to count with: JSON has numbers of any size.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON.")


# Without NaN and its like: other services could not read them, and no time would be past them.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse)
