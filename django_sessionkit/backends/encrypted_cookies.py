"""Sessions in an encrypted cookie: a seal that Node's iron-session opens and makes, too.

Inside is the session as a JSON object, as iron-session has it; what Content tells lies there
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

from django_sessionkit.backends.contents import Content, content_from, visitors_content
from django_sessionkit.backends.cookie import CookieStore
from django_sessionkit.backends.secrets import site_secrets
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import BadEntry
from django_sessionkit.keys import new_public_id
from django_sessionkit.tokens.derivation import derive_key
from django_sessionkit.tokens.errors import BadToken
from django_sessionkit.tokens.iron import Sealer, Unsealed

PURPOSE = "django_sessionkit.encrypted_cookies"
#: Where a seal says what is ours.
OURS = "_sessionkit"


class SessionStore(CookieStore):
    """A session in a Fe26.2 seal."""

    @classmethod
    def check_keys(cls) -> None:
        sealer()

    def _make_token(self, content: Content) -> str:
        if OURS in content.data:
            raise ValueError(f"The session must not have a key {OURS!r}: it is used by the engine.")
        try:
            return self._sealed(content, self._to_json(content.data))
        except ValueError:
            # Python's JSON has infinite numbers, which no other has.
            return self._sealed(content, None)
        except TypeError as error:
            reason = str(error)
        # Out here: that error has seen the key.
        raise TypeError(reason)

    def _sealed(self, content: Content, written: dict[str, Any] | None) -> str:
        told = {"sid": content.public_id.hex, **content.told()}
        if content.authenticated_at is not None:
            told["auth_time"] = content.authenticated_at
        if written is None:
            told["packed"] = self._packed(content.data)
        payload = {OURS: told, **(written or {})}
        text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
        return sealer().seal(text.encode(), expires_at=content.believed_until(conf.lease))

    def _open_token(self, token: str) -> Content:
        unsealed = sealer().unseal(token, may_be_expired=True)
        try:
            data = json.loads(unsealed.payload)
        except (ValueError, RecursionError) as error:
            raise BadToken("It holds no session.") from error
        if not isinstance(data, dict):
            raise BadToken("It holds no session.")
        told = data.pop(OURS, None)
        if not isinstance(told, dict):
            return self._foreign(unsealed, data)
        try:
            if isinstance(packed := told.get("packed"), str):
                # What lies beside it was put there by another program.
                data = {**self._unpacked(packed), **data}
            else:
                data = self._from_json(data)
        except (BadEntry, ValueError) as error:
            raise BadToken("Its data cannot be read.") from error
        return content_from(told, data)

    def _foreign(self, unsealed: Unsealed, data: dict[str, Any]) -> Content:
        """Return the content of what another program has sealed, which we take over."""
        if unsealed.expires_at is None:
            end = timezone.now() + timedelta(seconds=self.get_session_cookie_age())
        else:
            try:
                end = datetime.fromtimestamp(unsealed.expires_at, UTC if settings.USE_TZ else None)
            except (OverflowError, ValueError, OSError) as error:
                raise BadToken("Its end is no moment.") from error
        return visitors_content(new_public_id(), end, data)


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
