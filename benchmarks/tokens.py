"""Compare what it takes to make and to open a session cookie, ours and Django's.

    python benchmarks/tokens.py

Prints, for each format, microseconds (median of rounds that take turns, with p10 and p90), the
bytes of a minimal login's cookie, and how much a session may hold of text that does not compress.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import django  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.conf import settings  # noqa: E402
from django.core import signing  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402

settings.configure(
    SECRET_KEY="for the benchmark alone, which is a long one",  # noqa: S106
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_sessionkit"],
    SESSION_ENGINE="django_sessionkit.backends.signed_cookies",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
)
django.setup()

from django_sessionkit.backends.db import SessionStore  # noqa: E402
from django_sessionkit.keys import SplitKey  # noqa: E402
from django_sessionkit.storage.claims import Claims  # noqa: E402
from django_sessionkit.storage.jwt_format import JwtFormat  # noqa: E402
from django_sessionkit.storage.seal_format import SealFormat  # noqa: E402

ROUNDS, TIMES, COOKIE_SIZE = 60, 50, 4096
LOGIN = {
    "_auth_user_id": "123456",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "0123456789abcdef" * 4,
}
SALT = "django.contrib.sessions.backends.signed_cookies"


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def claims() -> Claims:
    end, key = timezone.now() + timedelta(days=14), SplitKey.generate()
    return Claims(
        key.public_id,
        end,
        {},
        secret=key.secret,
        checked_at=time.time_ns() // 1000,
        row_expire_date=end,
        authenticated_at=int(time.time()),
    )


class Format:
    """One way to write a session down: what makes it, what opens it, with which settings."""

    def __init__(
        self,
        name: str,
        make: Callable[[dict[str, Any]], str],
        read: Callable[[str], object],
        **more: Any,
    ) -> None:
        self.name, self.make, self.read, self.settings = name, make, read, more
        self.taken: dict[str, list[float]] = {"make": [], "open": []}

    def measure(self) -> None:
        with override_settings(**self.settings):
            token = self.make(LOGIN)
            self.taken["make"].append(per_call(lambda: self.make(LOGIN)))
            self.taken["open"].append(per_call(lambda: self.read(token)))

    def size(self, data: dict[str, Any]) -> int:
        with override_settings(**self.settings):
            return len(settings.SESSION_COOKIE_NAME) + len(self.make(data))

    def capacity(self) -> int:
        """Return how many characters of one more value fit beside a minimal login."""
        text = get_random_string(COOKIE_SIZE)
        fits, too_long = 0, COOKIE_SIZE
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self.size({**LOGIN, "x": text[:middle]}) <= COOKIE_SIZE:
                fits = middle
            else:
                too_long = middle
        return fits


def per_call(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(TIMES):
        act()
    return (time.perf_counter() - start) / TIMES * 1e6


def formats() -> list[Format]:
    coder, signed, sealed = SessionStore(), JwtFormat(), SealFormat()
    empty = claims()
    keys = {
        "HS256": (),
        "Ed25519": [pem(ed25519.Ed25519PrivateKey.generate())],
        "ES256": [pem(ec.generate_private_key(ec.SECP256R1()))],
        "RS256": [pem(rsa.generate_private_key(65537, 2048))],
    }

    def jwt(name: str, **more: Any) -> Format:
        return Format(
            f"signed_cookies, {name}",
            lambda data: signed.write(replace(empty, data=data), coder),
            lambda token: signed.read(token, coder),
            SESSIONKIT_JWT_ALGORITHM=name.split()[0],
            SESSIONKIT_JWT_KEYS=keys[name.split()[0]],
            **more,
        )

    return [
        Format(
            "Django's signed_cookies",
            lambda data: signing.dumps(data, salt=SALT, compress=True),
            lambda token: signing.loads(token, salt=SALT),
        ),
        *(jwt(name) for name in keys),
        jwt("HS256 compressed", SESSIONKIT_JWT_COMPRESS=True),
        Format(
            "encrypted_cookies",
            lambda data: sealed.write(replace(empty, data=data), coder),
            lambda token: sealed.read(token, coder),
        ),
    ]


def spread(taken: list[float]) -> str:
    tenths = statistics.quantiles(taken, n=10)
    return f"{statistics.median(taken):.0f} ({tenths[0]:.0f}-{tenths[-1]:.0f})"


def main() -> None:
    compared = formats()
    for _ in range(ROUNDS):
        for one in compared:
            one.measure()
    line = "{:<36}{:>18}{:>18}{:>12}{:>12}".format
    print(line("format", "make µs", "open µs", "login bytes", "room"))  # noqa: T201
    for one in compared:
        taken = [spread(one.taken[act]) for act in ("make", "open")]
        print(line(one.name, *taken, one.size(LOGIN), one.capacity()))  # noqa: T201


if __name__ == "__main__":
    main()
