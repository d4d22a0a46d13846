"""Another service verifies the cookie of a login with the keys that Django serves.

It runs what docs/cookies.md shows, but for the address and the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import User
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from django_sessionkit.models import Session
from tests.browsers import Browser
from tests.cookies.page import BLOCKS
from tests.engines import ENGINES
from tests.node import Node

pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
]

urlpatterns = [path("", include("django_sessionkit.urls")), path("", include("tests.urls"))]

SITE = "https://www.example.org/.well-known"  # where the page has the keys
SIGNED = next(engine for engine in ENGINES if engine.name == "signed_cookies")
NEW_KEY: dict[str, Callable[[], Any]] = {
    "Ed25519": Ed25519PrivateKey.generate,
    "ES256": lambda: new_ec_key(SECP256R1()),
    "RS256": lambda: new_rsa_key(65537, 2048),
}
KEY_TYPE: dict[str, Any] = {"Ed25519": "OKP", "ES256": "EC", "RS256": "RSA"}
#: What makes a user of a cookie, or something else of one that is not to be believed.
Verify = Callable[[list[str]], list[Any]]


def pem(algorithm: str) -> str:
    """Return a new private key."""
    encoded: bytes = NEW_KEY[algorithm]().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return encoded.decode()


@pytest.fixture(params=NEW_KEY)
def algorithm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each algorithm in turn, with the settings of the page."""
    monkeypatch.setenv("SESSION_PRIVATE_KEY", pem(request.param))
    settings: dict[str, Any] = {}
    exec(BLOCKS["verified elsewhere"].replace("Ed25519", request.param), settings)  # noqa: S102
    with override_settings(**{name: settings[name] for name in settings if name.isupper()}):
        yield request.param


@pytest.fixture(params=["python", "node"])
def verify(request: pytest.FixtureRequest, algorithm: str, live_server: Any) -> Iterator[Verify]:
    """The page's code in either language; it fetches the keys over HTTP."""
    address = f"{live_server.url}/.well-known"
    code = BLOCKS[f"verify in {request.param}"].replace(SITE, address)
    code = code.replace("Ed25519", algorithm)
    assert address in code
    if request.param == "node":
        with Node("verify.mjs") as node:
            yield lambda cookies: list(node.call("users", code=code, cookies=cookies))
        return
    service: dict[str, Any] = {}
    exec(code, service)  # noqa: S102

    def in_python(cookies: list[str]) -> list[Any]:
        users: list[Any] = []
        for cookie in cookies:
            try:
                users.append(service["user_of"](cookie))
            except (JoseError, ValueError) as error:
                users.append(error)
        return users

    yield in_python


def sign_in(username: str) -> Browser:
    browser = Browser()
    browser.get(f"/login/{username}/")
    return browser


def test_who_has_signed_in_is_known_until_the_lease_is_over(verify: Verify) -> None:
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    hers, his = (sign_in(name).session_key or "" for name in ("alice", "bob"))
    late, nearly_late = SIGNED.aged(hers, 61), SIGNED.aged(hers, 40)
    assert verify([hers, his, nearly_late]) == [str(alice.pk), str(bob.pk), str(alice.pk)]
    assert refused(verify([late]))


def test_what_django_issues_anew_is_good_again(verify: Verify) -> None:
    alice = User.objects.create_user("alice")
    browser = sign_in("alice")
    browser.session_key = SIGNED.aged(browser.session_key or "", 61)
    Session.objects.update(last_seen_at=timezone.now() - timedelta(seconds=61))
    browser.get("/whoami/")
    assert verify([browser.session_key or ""]) == [str(alice.pk)]


def test_others_are_not_believed(verify: Verify, algorithm: str, settings: Any) -> None:
    User.objects.create_user("alice")
    cookie = sign_in("alice").session_key or ""
    visitor = Browser()
    visitor.get("/set/cat/Tom/")
    head, payload, signature = cookie.split(".")
    changed = f"{head}.{payload}.{signature[::-1]}"
    token = jws.extract_compact(cookie.encode())
    another_type = jws.serialize_compact(
        {**token.headers(), "typ": "JWT"},
        token.payload,
        import_key(settings.SESSIONKIT_JWT_KEYS[0], KEY_TYPE[algorithm]),
        algorithms=[algorithm],
    )
    forged: dict[str, dict[str, Any]] = {
        "another key": {"SESSIONKIT_JWT_KEYS": [pem(algorithm)]},
        "another audience": {"SESSIONKIT_JWT_AUDIENCE": "api.example.org"},
        "another issuer": {"SESSIONKIT_JWT_ISSUER": "https://api.example.org"},
        "another algorithm": {"SESSIONKIT_JWT_ALGORITHM": "HS256", "SESSIONKIT_JWT_KEYS": []},
    }
    cookies = []
    for change in forged.values():
        content = SIGNED.content(cookie)
        with override_settings(**change):
            cookies.append(SIGNED.token(content))
    cookies += [visitor.session_key or "", changed, another_type, "", "a.b.c"]
    assert refused(verify(cookies))


def test_both_keys_are_served_while_one_is_changed_for_another(
    verify: Verify, algorithm: str, settings: Any
) -> None:
    alice = User.objects.create_user("alice")
    before = sign_in("alice").session_key or ""
    settings.SESSIONKIT_JWT_KEYS = [pem(algorithm), *settings.SESSIONKIT_JWT_KEYS]
    after = sign_in("alice").session_key or ""
    assert verify([before, after]) == [str(alice.pk)] * 2


def refused(answers: list[Any]) -> bool:
    """Whether each of them is an error that says so, and no user."""
    return all(
        isinstance(answer, Exception)
        or (isinstance(answer, dict) and str(answer["error"]).startswith("ERR_J"))
        for answer in answers
    )
