"""A handler in Node and Django behind one address: people sign in once, and both know them."""

from __future__ import annotations

import time

import pytest

from django_sessionkit.tokens.iron import SKEW
from tests.cookies.two_sites import (
    BELIEVED,
    LATE,
    LEASE,
    NEW,
    OLD,
    Sites,
    aged,
    cart,
    expires_in,
)
from tests.cookies.web import COOKIE, WebBrowser
from tests.node import Node

pytestmark = pytest.mark.slow


def test_node_knows_who_has_signed_in_and_what_django_stored(browser: WebBrowser) -> None:
    browser.post("/session/notes/", note="Grüße vom Kai ⚓")
    answer = cart(browser)
    user = answer.pop("user")
    assert user.isdecimal()
    assert list(answer.values()) == ["Grüße vom Kai ⚓"]
    colleague = WebBrowser(browser.address)
    colleague.sign_in("chloe")
    assert cart(colleague)["user"] != user


def test_django_knows_what_node_stored_and_who_that_is(browser: WebBrowser) -> None:
    public_id = browser.public_id
    cart(browser, add=True)
    assert "[&#x27;pears&#x27;]" in browser.get("/session/").text
    assert browser.public_id == public_id
    browser.post("/session/notes/", note="Two, please")
    answer = cart(browser, add=True)
    assert answer["cart"] == ["pears", "pears"]
    assert "Two, please" in answer.values()
    admin = WebBrowser(browser.address)
    admin.sign_in("admin")
    assert public_id in admin.get("/admin/sessionkit/session/?q=emil").text


def test_node_sets_the_cookie_as_django_does(browser: WebBrowser) -> None:
    from_django = browser.cookie
    cart(browser, add=True)
    from_node = browser.cookie
    assert from_node.value != from_django.value
    for cookie in (from_django, from_node):
        assert (cookie.name, cookie.path) == (COOKIE, "/")
        assert not cookie.domain_specified
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"
        assert not cookie.secure  # over plain HTTP
    assert abs((from_node.expires or 0) - (from_django.expires or 0)) < 30


def test_a_seal_of_django_is_empty_in_node_a_minute_after_its_lease(
    browser: WebBrowser, iron: Node
) -> None:
    seal = browser.seal
    assert -20 < expires_in(seal) <= LEASE
    user = cart(browser)["user"]
    for version in (8, 9):
        unseal = {"version": version, "password": OLD}
        assert iron.call("unseal", seal=aged(seal, SKEW / 2), **unseal)["_auth_user_id"] == user
        assert iron.call("unseal", seal=aged(seal, SKEW + LEASE), **unseal) == {}


def test_node_sends_whoever_was_not_at_django_lately_there_and_gets_them_back(
    browser: WebBrowser,
) -> None:
    answer = cart(browser, add=True)
    for by_whom in ("Node", "Django"):
        if by_whom == "Django":
            browser.post("/session/notes/", note="Sealed by Django")
            answer = cart(browser)
        time.sleep(LEASE)
        # Node's own seal is as good as before, but Django has not asked the row.
        browser.seal = aged(browser.seal, BELIEVED + LATE)
        assert cart(browser, add=True) == answer  # nothing was saved in between
        assert -20 < expires_in(browser.seal) <= LEASE
        assert browser.is_known


@pytest.mark.parametrize("version", [8, 9])
def test_the_password_can_be_changed_and_nobody_is_signed_out(sites: Sites, version: int) -> None:
    old, both = {"1": OLD}, {"1": OLD, "2": NEW}
    browser = WebBrowser(sites.start(version, old))
    browser.sign_in("emil")
    cart(browser, add=True)

    browser.address = sites.start(version, old, both)
    assert browser.seal.split("*")[1] == "1"
    assert browser.is_known
    browser.post("/session/notes/", note="By the new password")
    seal = browser.seal
    assert seal.split("*")[1] == "2"
    assert browser.get("/cart").status == 303  # to Django and back: Node cannot open it

    browser.address = sites.start(version, both)
    answer = cart(browser, add=True)
    assert answer["cart"] == ["pears", "pears"]
    assert "By the new password" in answer.values()
    assert browser.seal.split("*")[1] == "2"
    assert browser.is_known
