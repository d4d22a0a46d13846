"""Sessions in a signed cookie: a JWT that other services can verify.

Its claims are those of RFC 7519 and of OpenID Connect (``sid``, ``auth_time``), then ours: the
session's data, and what Content tells. ``exp`` is for those who cannot ask the row. Whoever has
the cookie can read all of it.
"""

from __future__ import annotations

import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.contrib.auth import SESSION_KEY as AUTH_USER_ID

from django_sessionkit.backends.contents import Content, content_from
from django_sessionkit.backends.cookie import CookieStore
from django_sessionkit.backends.secrets import site_secrets
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import BadEntry
from django_sessionkit.tokens.derivation import derive_key
from django_sessionkit.tokens.errors import BadToken
from django_sessionkit.tokens.jwt import Signer

PURPOSE = "django_sessionkit.signed_cookies"
#: More than any cookie holds that was compressed honestly, in bytes.
INFLATED = 1_000_000


class SessionStore(CookieStore):
    """A session in a JWT."""

    @classmethod
    def check_keys(cls) -> None:
        signer()

    @classmethod
    def jwks(cls) -> dict[str, Any]:
        """Return the public keys as a JWK Set (RFC 7517); no keys with HS256."""
        return signer().jwks()

    def _make_token(self, content: Content) -> str:
        try:
            return self._signed(content, self._as_claim(content.data))
        except ValueError:
            # Python's JSON has infinite numbers, which no other has.
            return self._signed(content, {"packed": self._packed(content.data)})
        except TypeError as error:
            reason = str(error)
        # Out here: that error has seen the key.
        raise TypeError(reason)

    def _signed(self, content: Content, data: dict[str, Any]) -> str:
        claims = {
            "iat": int(time.time()),
            "exp": content.believed_until(conf.lease),
            "sid": str(content.public_id),
            **content.told(),
            **data,
        }
        if content.has_user:
            claims["sub"] = str(content.data[AUTH_USER_ID])
        if content.authenticated_at is not None:
            claims["auth_time"] = content.authenticated_at
        return signer().sign(claims)

    def _open_token(self, token: str) -> Content:
        claims = signer().verify(token, may_be_expired=True)
        return content_from(claims, self._from_claim(claims))

    def _as_claim(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the claim that holds the data: readable, unless the settings have it otherwise."""
        if conf.jwt_compress:
            raw = self._to_bytes(data)
            compressed = zlib.compress(raw, 9)
            if len(compressed) * 4 / 3 < len(raw):
                return {"deflated": urlsafe_b64encode(compressed).decode()}
        if (written := self._to_json(data)) is not None:
            return {"data": written}
        return {"packed": self._packed(data)}

    def _from_claim(self, claims: dict[str, Any]) -> dict[str, Any]:
        try:
            if isinstance(packed := claims.get("packed"), str):
                return self._unpacked(packed)
            if isinstance(deflated := claims.get("deflated"), str):
                inflated = zlib.decompressobj().decompress(urlsafe_b64decode(deflated), INFLATED)
                return self._from_bytes(inflated)
            if isinstance(written := claims.get("data"), dict):
                return self._from_json(written)
        except (BadEntry, ValueError, zlib.error) as error:
            raise BadToken("Its data cannot be read.") from error
        raise BadToken("It holds no session.")


def signer() -> Signer:
    """Return what signs and verifies, as the settings have it.

    Raises ValueError if they make no sense.
    """
    if isinstance(conf.jwt_keys, str | bytes):
        raise ValueError("SESSIONKIT_JWT_KEYS must be a list of keys.")
    if not isinstance(conf.jwt_keys, Sequence):
        raise ValueError("SESSIONKIT_JWT_KEYS must be a list of keys.")
    keys = tuple(conf.jwt_keys)
    if not all(isinstance(key, str | bytes) for key in keys):
        raise ValueError("SESSIONKIT_JWT_KEYS must be a list of texts.")
    if not isinstance(conf.jwt_algorithm, str):
        raise ValueError("SESSIONKIT_JWT_ALGORITHM must be the name of an algorithm.")
    audience: object = conf.jwt_audience
    if not (isinstance(audience, str) and audience):
        raise ValueError("SESSIONKIT_JWT_AUDIENCE must be a text.")
    issuer: object = conf.jwt_issuer
    if not (issuer is None or (isinstance(issuer, str) and issuer)):
        raise ValueError("SESSIONKIT_JWT_ISSUER must be a text or None.")
    secrets: tuple[str | bytes, ...] = ()
    if not keys and conf.jwt_algorithm == "HS256":
        secrets = site_secrets()
    return _signer(conf.jwt_algorithm, keys, secrets, audience, issuer)


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
