"""What a signed cookie says to who can read it."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessionkit.backends.signed_cookies import SessionStore
from django_sessionkit.models import Session
from tests.browsers import Browser
from tests.conformance.test_encoding import ReversingSerializer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.varies]

with_engine = override_settings(SESSION_ENGINE=SessionStore.__module__)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return json.loads(urlsafe_b64decode(header + "==")), json.loads(
        urlsafe_b64decode(payload + "==")
    )


def saved(**data: Any) -> str:
    session = SessionStore()
    session.update(data)
    session.save()
    token: str = session.session_key or ""
    return token


@with_engine
@override_settings(SESSIONKIT_JWT_ISSUER="https://site.test", SESSIONKIT_JWT_AUDIENCE="site")
def test_the_claims_of_who_is_signed_in_are_the_standards() -> None:
    user = User.objects.create_user("alice")
    browser = Browser()
    start = int(time.time())
    browser.get("/login/alice/")
    browser.get("/set/cat/Tom/")
    header, claims = parts(browser.session_key or "")
    row = Session.objects.get()
    assert header.keys() == {"alg", "typ", "kid"}
    assert (header["alg"], header["typ"]) == ("HS256", "session+jwt")
    assert (claims["sub"], claims["sid"]) == (str(user.pk), str(row.public_id))
    assert (claims["iss"], claims["aud"]) == ("https://site.test", "site")
    for claim in ("iat", "auth_time"):
        assert start <= claims[claim] <= time.time()
    assert start + 60 <= claims["exp"] <= time.time() + 60
    assert claims["data"]["cat"] == "Tom"
    assert claims["data"]["_auth_user_id"] == str(user.pk)
    # The row's primary key would tell how many sessions there are.
    assert claims.keys() == {
        *("iss", "aud", "iat", "exp", "sub", "sid", "auth_time"),
        *("v", "key", "checked", "end", "row_end", "data"),
    }


@with_engine
def test_a_visitors_claims_name_nobody_and_end_with_the_session() -> None:
    token = saved(cat="Tom", _session_expiry=300)
    _, claims = parts(token)
    assert claims.keys() == {"iat", "exp", "aud", "sid", "v", "end", "data"}
    assert 295 <= claims["exp"] - time.time() <= 300


@with_engine
def test_exp_is_the_end_of_the_session_where_that_comes_first() -> None:
    _, claims = parts(saved(_auth_user_id="1", _session_expiry=10))
    assert 5 <= claims["exp"] - time.time() <= 10


@with_engine
@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Tokyo"])
def test_exp_is_true_time_whatever_the_time_zone_of_the_site(zone: str) -> None:
    with override_settings(USE_TZ=False, TIME_ZONE=zone):
        for data, seconds in (({"_auth_user_id": "1"}, 60), ({"_session_expiry": 300}, 300)):
            token = saved(**data)
            _, claims = parts(token)
            assert seconds - 5 <= claims["exp"] - time.time() <= seconds
            assert dict(SessionStore(token).items()) == data
        assert abs(parts(saved(_auth_user_id="1"))[1]["auth_time"] - time.time()) < 5


@with_engine
def test_data_are_compressed_where_that_is_wanted_and_worth_it() -> None:
    long = {"cart": "tea, " * 1000, "_auth_user_id": "1"}
    with override_settings(SESSIONKIT_JWT_COMPRESS=True):
        token = saved(**long)
        assert len(token) < 1000
        assert "deflated" in parts(token)[1]
        short = saved(cat="Tom")
        assert parts(short)[1]["data"] == {"cat": "Tom"}
    # Whoever switches it off again still reads what was written.
    assert dict(SessionStore(token).items()) == long


@with_engine
@pytest.mark.parametrize("compressed", [False, True])
def test_data_of_another_serializer_are_packed(compressed: bool) -> None:
    path = f"{ReversingSerializer.__module__}.ReversingSerializer"
    with override_settings(SESSION_SERIALIZER=path, SESSIONKIT_JWT_COMPRESS=compressed):
        token = saved(pair=(1, 2), text="x" * 200)
        assert ("deflated" if compressed else "packed") in parts(token)[1]
        assert dict(SessionStore(token).items()) == {"pair": (1, 2), "text": "x" * 200}
    assert SessionStore(token).load() == {}


@with_engine
def test_numbers_that_json_does_not_have_are_kept() -> None:
    token = saved(infinite=float("inf"))
    assert "packed" in parts(token)[1]
    assert dict(SessionStore(token).items()) == {"infinite": float("inf")}
