"""Every setting of the package, with its default, read when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from django.conf import settings

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

IP_ADDRESS_CHOICES = ("full", "truncated", "none")


class Conf:
    """Typed access to the ``SESSIONKIT_…`` settings of the project.

    Values are returned as they stand; ``checks.py`` tells at start-up which of them are wrong.
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
    def session_store(self) -> type[SessionBase]:
        """The ``SessionStore`` of Django's ``SESSION_ENGINE``.

        Raises ImportError or AttributeError if that names no session engine.
        """
        store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
        return store

    def _get(self, name: str, default: object) -> Any:
        return getattr(settings, name, default)


conf = Conf()
