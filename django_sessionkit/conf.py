"""Every setting of the package, with its default, read when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from django.conf import settings
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

IP_ADDRESS_CHOICES = ("full", "truncated", "none")


class Conf:
    """Typed access to the ``SESSIONKIT_…`` settings of the project.

    Values are returned as they stand; ``checks`` tells at start-up which of them are wrong.
    """

    @property
    def lease(self) -> int:
        """``SESSIONKIT_LEASE``: how long a copy is believed without asking the row, in seconds.

        Reading a session moves ``last_seen_at`` at most once in this time; 0: each time.
        """
        return cast(int, self._get("SESSIONKIT_LEASE", 60))

    @property
    def trusted_proxy_count(self) -> int:
        """``SESSIONKIT_TRUSTED_PROXY_COUNT``: how many proxies stand before the site.

        With 0, ``REMOTE_ADDR`` is the client; with n, the n-th address of ``X-Forwarded-For``,
        counted from the right, since only what the site's own proxies appended can be trusted.
        """
        return cast(int, self._get("SESSIONKIT_TRUSTED_PROXY_COUNT", 0))

    @property
    def ip_address(self) -> Literal["full", "truncated", "none"]:
        """``SESSIONKIT_IP_ADDRESS``: what is stored of a client's address.

        ``"full"``, ``"truncated"`` (the /24 network of IPv4, the /48 network of IPv6) or
        ``"none"``.
        """
        return cast(
            Literal["full", "truncated", "none"], self._get("SESSIONKIT_IP_ADDRESS", "full")
        )

    @property
    def jwt_algorithm(self) -> str:
        """``SESSIONKIT_JWT_ALGORITHM``: how ``signed_cookies`` signs.

        ``"HS256"``, ``"Ed25519"`` (in older libraries ``"EdDSA"``), ``"ES256"`` or ``"RS256"``.
        No other algorithm is accepted, whatever a token says.
        """
        return cast(str, self._get("SESSIONKIT_JWT_ALGORITHM", "HS256"))

    @property
    def jwt_keys(self) -> Sequence[str]:
        """``SESSIONKIT_JWT_KEYS``: private keys as PEM text; the first signs, all verify.

        With HS256 these are secrets of at least 32 bytes; without any, keys are derived from
        ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.
        """
        return cast(Sequence[str], self._get("SESSIONKIT_JWT_KEYS", ()))

    @property
    def jwt_audience(self) -> str:
        """``SESSIONKIT_JWT_AUDIENCE``: the claim ``aud``, which readers have to expect."""
        return cast(str, self._get("SESSIONKIT_JWT_AUDIENCE", "django_sessionkit"))

    @property
    def jwt_issuer(self) -> str | None:
        """``SESSIONKIT_JWT_ISSUER``: the claim ``iss``, such as the site's URL; None: no claim."""
        return cast("str | None", self._get("SESSIONKIT_JWT_ISSUER", None))

    @property
    def jwt_compress(self) -> bool:
        """``SESSIONKIT_JWT_COMPRESS``: whether ``signed_cookies`` compresses session data."""
        return cast(bool, self._get("SESSIONKIT_JWT_COMPRESS", False))

    @property
    def seal_passwords(self) -> str | Mapping[int | str, str] | None:
        """``SESSIONKIT_SEAL_PASSWORDS``: what ``encrypted_cookies`` seals with.

        One password of at least 32 characters, or several by their numbers: the highest number
        seals, all open. None: derived from ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.
        """
        return cast(
            "str | Mapping[int | str, str] | None", self._get("SESSIONKIT_SEAL_PASSWORDS", None)
        )

    @property
    def session_store(self) -> type[SessionBase]:
        """The ``SessionStore`` of Django's ``SESSION_ENGINE``.

        Raises ImportError or AttributeError if that names no session engine.
        """
        store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
        return store

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def forget(self, **kwargs: Any) -> None:
        """Read the settings anew: one of them has changed, as they do in tests."""
        self._known.clear()

    def _get(self, name: str, default: object) -> Any:
        # Django remembers a setting that the project has, and looks for a missing one each time,
        # which ends in an AttributeError: 3 µs, and a request reads several.
        try:
            return self._known[name]
        except KeyError:
            return self._known.setdefault(name, getattr(settings, name, default))


conf = Conf()
setting_changed.connect(conf.forget, dispatch_uid="sessionkit.conf")
