"""Claims in an encrypted token: a seal that Node's iron-session opens and makes, too.

Inside is the session as a JSON object, as iron-session has it; what Claims tell lies there
under a key of its own. Without that key, or without a session key in it, it is a visitor's.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone

from django_sessionkit.conf import conf
from django_sessionkit.exceptions import BadEntry
from django_sessionkit.keys import new_public_id
from django_sessionkit.storage.claims import Claims, claims_from, visitors_claims
from django_sessionkit.storage.records import Coder
from django_sessionkit.storage.secrets import site_secrets
from django_sessionkit.storage.serialization import from_json, packed, to_json, unpacked
from django_sessionkit.tokens.derivation import derive_key
from django_sessionkit.tokens.errors import BadToken
from django_sessionkit.tokens.iron import Sealer, Unsealed

PURPOSE = "django_sessionkit.encrypted_cookies"
#: Where a seal says what is ours.
OURS = "_sessionkit"


class SealFormat:
    """Claims in a Fe26.2 seal. The methods are told in token_data.TokenFormat."""

    def check_keys(self) -> None:
        sealer()

    def jwks(self) -> dict[str, Any] | None:
        return None

    def write(self, claims: Claims, coder: Coder) -> str:
        if OURS in claims.data:
            raise ValueError(f"The session must not have a key {OURS!r}: it is used by the engine.")
        try:
            return self._sealed(claims, to_json(claims.data, coder), coder)
        except ValueError:
            # Python's JSON has infinite numbers, which no other has.
            return self._sealed(claims, None, coder)
        except TypeError as error:
            reason = str(error)
        # Out here: that error has seen the key.
        raise TypeError(reason)

    def _sealed(self, claims: Claims, written: dict[str, Any] | None, coder: Coder) -> str:
        told = {"sid": claims.public_id.hex, **claims.told()}
        if claims.authenticated_at is not None:
            told["auth_time"] = claims.authenticated_at
        if written is None:
            told["packed"] = packed(claims.data, coder)
        payload = {OURS: told, **(written or {})}
        text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
        return sealer().seal(text.encode(), expires_at=claims.believed_until(conf.lease))

    def read(self, token: str, coder: Coder) -> Claims:
        unsealed = sealer().unseal(token, may_be_expired=True)
        try:
            data = json.loads(unsealed.payload)
        except (ValueError, RecursionError) as error:
            raise BadToken("It holds no session.") from error
        if not isinstance(data, dict):
            raise BadToken("It holds no session.")
        told = data.pop(OURS, None)
        if not isinstance(told, dict):
            return self._foreign(unsealed, data, coder)
        try:
            if isinstance(text := told.get("packed"), str):
                # What lies beside it was put there by another program.
                data = {**unpacked(text, coder), **data}
            else:
                data = from_json(data, coder)
        except (BadEntry, ValueError) as error:
            raise BadToken("Its data cannot be read.") from error
        return claims_from(told, data)

    def _foreign(self, unsealed: Unsealed, data: dict[str, Any], coder: Coder) -> Claims:
        """Return the claims of what another program has sealed, which we take over."""
        if unsealed.expires_at is None:
            end = timezone.now() + timedelta(seconds=coder.get_session_cookie_age())
        else:
            try:
                end = datetime.fromtimestamp(unsealed.expires_at, UTC if settings.USE_TZ else None)
            except (OverflowError, ValueError, OSError) as error:
                raise BadToken("Its end is no moment.") from error
        return visitors_claims(new_public_id(), end, data)


def sealer() -> Sealer:
    """Return what seals and opens, as the settings have it.

    Raises ValueError if they make no sense.
    """
    passwords = conf.seal_passwords
    if passwords is None:
        return _derived(site_secrets())
    if isinstance(passwords, str):
        return _sealer(passwords)
    if not isinstance(passwords, Mapping):
        raise ValueError("SESSIONKIT_SEAL_PASSWORDS must be a password, or passwords by number.")
    if not all(isinstance(password, str) for password in passwords.values()):
        raise ValueError("The passwords of SESSIONKIT_SEAL_PASSWORDS must be texts.")
    return _sealer(tuple(passwords.items()))


@lru_cache(maxsize=16)
def _sealer(passwords: str | tuple[tuple[int | str, str], ...]) -> Sealer:
    return Sealer(passwords if isinstance(passwords, str) else dict(passwords))


@lru_cache(maxsize=16)
def _derived(secrets: tuple[str | bytes, ...]) -> Sealer:
    passwords: dict[int | str, str] = {}
    numbers: list[int] = []
    for secret in secrets:
        key = derive_key(secret, PURPOSE)
        # A number that stays when the list of fallbacks does not.
        number = int.from_bytes(derive_key(secret, f"{PURPOSE}.id")[:4]) >> 1
        passwords[number] = urlsafe_b64encode(key).decode()
        numbers.append(number)
    return Sealer(passwords, current=numbers[0])
