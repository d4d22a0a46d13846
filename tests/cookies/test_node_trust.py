"""What Django believes of the seals that Node makes, and Node of those that Django made."""

from __future__ import annotations

import json
import time

import pytest

from django_sessionkit.tokens.iron import Sealer
from tests.cookies.two_sites import (
    BELIEVED,
    LEASE,
    NEW,
    OLD,
    aged,
    cart,
    is_asked_to_sign_in,
)
from tests.cookies.web import WebBrowser
from tests.node import Node

pytestmark = pytest.mark.slow


def test_who_was_revoked_is_nobody_when_the_lease_is_over(browser: WebBrowser) -> None:
    public_id = browser.public_id
    admin = WebBrowser(browser.address)
    admin.sign_in("admin")
    assert admin.post(f"/admin/sessionkit/session/{public_id}/delete/", post="yes").status == 200
    assert public_id not in admin.get("/admin/sessionkit/session/?q=emil").text
    user = cart(browser, add=True)["user"]  # Node has not heard of it, and seals once more
    time.sleep(LEASE)
    assert not browser.is_known
    assert cart(browser)["user"] == user
    browser.seal = aged(browser.seal, BELIEVED)
    assert is_asked_to_sign_in(browser)
    browser.sign_in("emil")
    assert cart(browser) == {"user": user}
    assert browser.public_id != public_id


def test_a_page_that_asks_the_row_asks_who_was_revoked_to_sign_in_at_once(
    browser: WebBrowser,
) -> None:
    admin = WebBrowser(browser.address)
    admin.sign_in("admin")
    admin.post(f"/admin/sessionkit/session/{browser.public_id}/delete/", post="yes")
    assert browser.get("/session/").path == "/sign-in/?next=/session/"
    assert not browser.is_known


def test_signing_out_at_django_signs_out_in_node(browser: WebBrowser) -> None:
    cart(browser, add=True)
    browser.post("/sign-out/")
    assert is_asked_to_sign_in(browser)
    browser.sign_in("emil")
    assert "cart" not in cart(browser)


def test_a_seal_without_our_key_is_a_visitors_whatever_it_says(
    browser: WebBrowser, iron: Node
) -> None:
    user = cart(browser)["user"]
    told = json.loads(Sealer(OLD).unseal(browser.seal, may_be_expired=True).payload)
    assert told.pop("_sessionkit")
    told["cart"] = ["plums"]
    for version in (8, 9):
        visitor = WebBrowser(browser.address)
        visitor.seal = iron.call("seal", version=version, data=told, password=OLD)
        assert not visitor.is_known
        assert is_asked_to_sign_in(visitor)
        visitor.sign_in("chloe")
        answer = cart(visitor)
        assert answer["cart"] == ["plums"]
        assert answer["user"] != user


def test_a_session_of_nobody_is_nobodys_in_node_as_well(browser: WebBrowser, iron: Node) -> None:
    told = json.loads(Sealer(OLD).unseal(browser.seal, may_be_expired=True).payload)
    del told["_auth_user_id"]
    browser.seal = iron.call("seal", version=9, data=told, password=OLD)
    assert not browser.is_known
    assert is_asked_to_sign_in(browser)


def test_a_seal_of_another_password_says_nothing(browser: WebBrowser, iron: Node) -> None:
    told = json.loads(Sealer(OLD).unseal(browser.seal, may_be_expired=True).payload)
    browser.seal = iron.call("seal", version=9, data=told, password=NEW)
    assert not browser.is_known
    assert is_asked_to_sign_in(browser)
