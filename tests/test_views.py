"""The page with the public keys: who can verify a session finds them there."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse

from django_sessionkit.models import Session

pytestmark = [pytest.mark.urls(__name__), pytest.mark.varies]

urlpatterns = [path("", include("django_sessionkit.urls")), path("", include("tests.urls"))]

URL = "/.well-known/jwks.json"


def pem(key: Any) -> str:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded.decode()


@pytest.fixture(autouse=True)
def signed(settings: Any) -> None:
    """A site whose sessions others can verify."""
    settings.SESSION_ENGINE = "django_sessionkit.backends.signed_cookies"
    settings.SESSIONKIT_JWT_ALGORITHM = "Ed25519"
    settings.SESSIONKIT_JWT_KEYS = [pem(Ed25519PrivateKey.generate())]


def keys(client: Client) -> list[dict[str, Any]]:
    """Return the keys, and make sure that there is nothing else."""
    answer = client.get(URL).json()
    assert answer.keys() == {"keys"}
    found: list[dict[str, Any]] = answer["keys"]
    return found


def test_it_is_where_others_look_for_it() -> None:
    assert reverse("sessionkit:jwks") == URL


def test_anybody_may_keep_it_for_five_minutes(client: Client) -> None:
    response = client.get(URL)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/jwk-set+json"
    directives = set(response["Cache-Control"].split(", "))
    assert directives == {"public", "max-age=300"}


@pytest.mark.parametrize(
    ("algorithm", "private_key", "members"),
    [
        ("Ed25519", Ed25519PrivateKey.generate(), {"crv", "x"}),
        ("EdDSA", Ed25519PrivateKey.generate(), {"crv", "x"}),
        ("ES256", new_ec_key(SECP256R1()), {"crv", "x", "y"}),
        ("RS256", new_rsa_key(65537, 2048), {"n", "e"}),
    ],
    ids=["Ed25519", "EdDSA", "ES256", "RS256"],
)
def test_it_shows_the_public_part_and_nothing_else(
    client: Client, settings: Any, algorithm: str, private_key: Any, members: set[str]
) -> None:
    settings.SESSIONKIT_JWT_ALGORITHM = algorithm
    settings.SESSIONKIT_JWT_KEYS = [pem(private_key)]
    (key,) = keys(client)
    assert key.keys() == {"kty", "kid", "use", "alg"} | members
    assert (key["use"], key["alg"]) == ("sig", algorithm)


def test_it_shows_all_keys_while_one_is_changed_for_another(client: Client, settings: Any) -> None:
    (old,) = keys(client)
    settings.SESSIONKIT_JWT_KEYS = [
        *settings.SESSIONKIT_JWT_KEYS,
        pem(Ed25519PrivateKey.generate()),
    ]
    first, second = keys(client)
    assert first == old
    assert second["kid"] != old["kid"]
    settings.SESSIONKIT_JWT_KEYS = settings.SESSIONKIT_JWT_KEYS[::-1]
    assert keys(client) == [second, first]


@pytest.mark.parametrize(
    "changes",
    [
        {"SESSIONKIT_JWT_ALGORITHM": "HS256", "SESSIONKIT_JWT_KEYS": []},
        {"SESSIONKIT_JWT_ALGORITHM": "HS256", "SESSIONKIT_JWT_KEYS": ["a secret " * 4]},
        {"SESSIONKIT_LEASE": 0},
        {"SESSION_ENGINE": "django_sessionkit.backends.encrypted_cookies"},
        {"SESSION_ENGINE": "django_sessionkit.backends.db"},
        {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"},
    ],
    ids=["derived secret", "own secret", "no lease", "encrypted", "rows", "Django's"],
)
def test_there_is_none_where_nobody_else_can_verify(
    client: Client, settings: Any, changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    response = client.get(URL)
    assert response.status_code == 404
    assert "public" not in response.get("Cache-Control", "")


def test_it_can_be_asked_for_its_headers_alone(client: Client) -> None:
    response = client.head(URL)
    assert (response.status_code, response.content) == (200, b"")
    assert response["Cache-Control"] == client.get(URL)["Cache-Control"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_is_there_to_be_read(client: Client, method: str) -> None:
    response = client.generic(method, URL)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.django_db
def test_it_has_nothing_to_do_with_who_asks(client: Client) -> None:
    User.objects.create_user("alice")
    client.get("/login/alice/")
    Session.objects.all().delete()
    with CaptureQueriesContext(connection) as queries:
        response = client.get(URL)
    assert list(queries) == []
    assert "Vary" not in response
    assert not response.cookies
