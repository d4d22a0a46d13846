"""Claims in a signed token: a JWT that other services can verify.

The registered claims are those of RFC 7519 and of OpenID Connect (``sid``, ``auth_time``); the
others are the session's data, and what Claims tell. ``exp`` is for those who cannot ask the row.
"""

from __future__ import annotations

import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID

from django_sessionkit.conf import conf
from django_sessionkit.exceptions import BadEntry
from django_sessionkit.storage.claims import Claims, claims_from
from django_sessionkit.storage.records import Coder
from django_sessionkit.storage.secrets import site_secrets
from django_sessionkit.storage.serialization import (
    from_bytes,
    from_json,
    packed,
    to_bytes,
    to_json,
    unpacked,
)
from django_sessionkit.tokens.derivation import derive_key
from django_sessionkit.tokens.errors import BadToken
from django_sessionkit.tokens.jwt import Signer

PURPOSE = "django_sessionkit.signed_cookies"
#: More than any cookie holds that was compressed honestly, in bytes.
INFLATED = 1_000_000


class JwtFormat:
    """Claims in a JWT. The methods are told in token_data.TokenFormat."""

    def check_keys(self) -> None:
        signer()

    def jwks(self) -> dict[str, Any] | None:
        return signer().jwks()

    def write(self, claims: Claims, coder: Coder) -> str:
        try:
            return self._signed(claims, self._as_claim(claims.data, coder))
        except ValueError:
            # Python's JSON has infinite numbers, which no other has.
            return self._signed(claims, {"packed": packed(claims.data, coder)})
        except TypeError as error:
            reason = str(error)
        # Out here: that error has seen the key.
        raise TypeError(reason)

    def _signed(self, claims: Claims, data: dict[str, Any]) -> str:
        written = {
            "iat": int(time.time()),
            "exp": claims.believed_until(conf.lease),
            "sid": str(claims.public_id),
            **claims.told(),
            **data,
        }
        if claims.has_user:
            written["sub"] = str(claims.data[AUTH_USER_ID])
        if claims.authenticated_at is not None:
            written["auth_time"] = claims.authenticated_at
        return signer().sign(written)

    def read(self, token: str, coder: Coder) -> Claims:
        written = signer().verify(token, may_be_expired=True)
        return claims_from(written, self._from_claim(written, coder))

    def _as_claim(self, data: dict[str, Any], coder: Coder) -> dict[str, Any]:
        """Return the claim that holds the data: readable, unless the settings have it otherwise."""
        if conf.jwt_compress:
            raw = to_bytes(data, coder)
            compressed = zlib.compress(raw, 9)
            if len(compressed) * 4 / 3 < len(raw):
                return {"deflated": urlsafe_b64encode(compressed).decode()}
        if (written := to_json(data, coder)) is not None:
            return {"data": written}
        return {"packed": packed(data, coder)}

    def _from_claim(self, claims: dict[str, Any], coder: Coder) -> dict[str, Any]:
        try:
            if isinstance(text := claims.get("packed"), str):
                return unpacked(text, coder)
            if isinstance(deflated := claims.get("deflated"), str):
                inflated = zlib.decompressobj().decompress(urlsafe_b64decode(deflated), INFLATED)
                return from_bytes(inflated, coder)
            if isinstance(written := claims.get("data"), dict):
                return from_json(written, coder)
        except (BadEntry, ValueError, zlib.error) as error:
            raise BadToken("Its data cannot be read.") from error
        raise BadToken("It holds no session.")


def signer() -> Signer:
    """Return what signs and verifies, as the settings have it.

    Raises ValueError if they make no sense.
    """
    algorithm: object = conf.jwt_algorithm
    given: object = conf.jwt_keys
    audience: object = conf.jwt_audience
    issuer: object = conf.jwt_issuer
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ValueError("SESSIONKIT_JWT_KEYS must be a list of keys.")
    keys = tuple(given)
    if not all(isinstance(key, str | bytes) for key in keys):
        raise ValueError("SESSIONKIT_JWT_KEYS must be a list of texts.")
    if not isinstance(algorithm, str):
        raise ValueError("SESSIONKIT_JWT_ALGORITHM must be the name of an algorithm.")
    if not (isinstance(audience, str) and audience):
        raise ValueError("SESSIONKIT_JWT_AUDIENCE must be a text.")
    if not (issuer is None or (isinstance(issuer, str) and issuer)):
        raise ValueError("SESSIONKIT_JWT_ISSUER must be a text or None.")
    secrets: tuple[str | bytes, ...] = ()
    if not keys and algorithm == "HS256":
        secrets = site_secrets()
    return _signer(algorithm, keys, secrets, audience, issuer)


@lru_cache(maxsize=16)
def _signer(
    algorithm: str,
    keys: tuple[str, ...],
    secrets: tuple[str | bytes, ...],
    audience: str,
    issuer: str | None,
) -> Signer:
    derived = [derive_key(secret, PURPOSE) for secret in secrets]
    return Signer(algorithm, [*keys, *derived], audience=audience, issuer=issuer)
