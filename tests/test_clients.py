"""Tests of clients.py: nothing that a client sends raises, lies or fits no column."""

from __future__ import annotations

import importlib.util
import ipaddress
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from django.db.models import GenericIPAddressField
from django.http import HttpRequest
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit import clients
from django_sessionkit.clients import MAX_LABEL, MAX_USER_AGENT, Client, device_label
from tests.cases import looped

pytestmark = pytest.mark.varies

needs_ua_parser = pytest.mark.skipif(
    not clients.HAS_UA_PARSER, reason="the extra 'devices' is not installed"
)

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {APPLE}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {APPLE}"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"

LABELS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0": (
        "Firefox on Windows"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox on Linux",
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0": "Firefox on Android",
    f"{IPHONE} FxiOS/145.0 Mobile/15E148 Safari/605.1.15": "Firefox on iPhone",
    f"{WINDOWS} {BLINK} Safari/537.36": "Chrome on Windows",
    f"{MAC} {BLINK} Safari/537.36": "Chrome on macOS",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36": "Chrome on ChromeOS",
    f"{ANDROID} {BLINK} Mobile Safari/537.36": "Chrome on Android",
    f"{IPHONE} CriOS/142.0.7444.46 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
    f"{IPAD} CriOS/142.0.7444.46 Mobile/15E148 Safari/604.1": "Chrome on iPad",
    f"{MAC} {APPLE} Version/18.6 Safari/605.1.15": "Safari on macOS",
    f"{IPHONE} Version/18.6 Mobile/15E148 Safari/604.1": "Safari on iPhone",
    f"{IPAD} Version/18.6 Mobile/15E148 Safari/604.1": "Safari on iPad",
    f"{IPHONE} Mobile/15E148": "Safari on iPhone",
    f"{WINDOWS} {BLINK} Safari/537.36 Edg/142.0.0.0": "Edge on Windows",
    f"{ANDROID} {BLINK} Mobile Safari/537.36 EdgA/142.0.0.0": "Edge on Android",
    f"{IPHONE} Version/18.0 EdgiOS/142.0.0.0 Mobile/15E148 Safari/605.1.15": "Edge on iPhone",
    f"{WINDOWS} {BLINK} Safari/537.36 OPR/123.0.0.0": "Opera on Windows",
    f"{ANDROID} {BLINK} Mobile Safari/537.36 OPR/92.0.0.0": "Opera on Android",
    f"Mozilla/5.0 (Linux; Android 15; SAMSUNG SM-S918B) {BLINK.replace('Chrome', 'SamsungBrowser')}"
    " Chrome/136.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
    f"Mozilla/5.0 (Linux; Android 15; Pixel 8; wv) {BLINK.replace('Chrome', 'Version/4.0 Chrome')}"
    " Mobile Safari/537.36": "Chrome on Android",
    f"{WINDOWS[:-1]}; Trident/7.0; rv:11.0) like Gecko": "IE on Windows",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "Googlebot",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": "bingbot",
    "curl/8.16.0": "curl",
    "python-requests/2.32.5": "Python Requests",
    "okhttp/5.1.0": "okhttp",
    "Example/3.2.1 (iPhone; iOS 18.6; Scale/3.00)": "Example on iPhone",
    "Example/12 CFNetwork/3826.600.41 Darwin/24.6.0": "Example on iOS",
    "Example App/1.0 (Linux; U; Android 15; Pixel 8)": "Example App on Android",
    "Dart/3.9 (dart:io)": "Dart",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)": "Windows",
    "Mozilla/5.0": "Mozilla/5.0",
    "?": "?",
}

ADDRESSES = {
    "192.0.2.1": "192.0.2.1",
    " 192.0.2.1\t": "192.0.2.1",
    "192.0.2.1:5678": "192.0.2.1",
    "2001:DB8:0:0::0001": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:443": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%25eth0]:443": "fe80::1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "[::ffff:c000:201]:443": "192.0.2.1",
    "::1": "::1",
}

NOT_ADDRESSES = [
    "", " ", "unix:", "unknown", "_hidden", "localhost", "example.com:80", "192.0.2", "192.0.2.256",
    "192.0.02.1", "3221225985", "0x7f.0.0.1", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1%eth0",
    "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]", "[2001:db8::1]:", "[]", "fe80::1%", "1::2::3",
    "192.0.2.1/24", "192.0.2.1 192.0.2.2", "192.0.2.1, 192.0.2.2", "192.0.2.1\n", "192.0.2.1\x00",
    "192.0.2.1\u0660", "\u0661\u0669\u0662.0.2.1", "\ud800", "1" * 100_000, "[" * 100_000,
    ":" * 100_000, None, 3221225985, b"192.0.2.1", ["192.0.2.1"],
]  # fmt: skip

# Not st.text(): its table of Unicode takes a second to build, which Hypothesis calls unhealthy.
any_text = st.text(st.characters(exclude_categories=()))
header_text = any_text | st.text("0123456789abcf.:[]%, \t/")
anything = st.none() | st.integers() | st.binary() | st.lists(header_text) | header_text
addresses = st.ip_addresses().map(str)


def address_of(proxies: int = 0, keep: str = "full", **meta: object) -> str | None:
    with override_settings(SESSIONKIT_TRUSTED_PROXY_COUNT=proxies, SESSIONKIT_IP_ADDRESS=keep):
        return Client.from_meta(meta).ip_address


def user_agent_of(value: object) -> str:
    return Client.from_meta({"HTTP_USER_AGENT": value}).user_agent


# The address


@looped(("written", "canonical"), ADDRESSES.items())
def test_an_address_is_canonical_however_it_is_written(written: str, canonical: str) -> None:
    assert address_of(REMOTE_ADDR=written) == canonical
    assert address_of(proxies=1, HTTP_X_FORWARDED_FOR=f"spoofed,{written}") == canonical


@looped("written", NOT_ADDRESSES)
def test_what_is_no_address_is_unknown(written: object) -> None:
    assert address_of(REMOTE_ADDR=written) is None
    assert address_of(proxies=1, REMOTE_ADDR="", HTTP_X_FORWARDED_FOR=written) == (
        "192.0.2.2" if written == "192.0.2.1, 192.0.2.2" else None
    )


def test_without_proxies_the_header_is_ignored() -> None:
    assert address_of(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="203.0.113.9") == "192.0.2.1"


@looped("peer", ["10.0.0.1", "", "unix:"])
@looped(("proxies", "client"), [(1, "203.0.113.3"), (2, "203.0.113.2"), (3, "203.0.113.1")])
def test_the_nth_entry_from_the_right_is_the_client(peer: str, proxies: int, client: str) -> None:
    header = "203.0.113.1, 203.0.113.2,203.0.113.3"
    assert address_of(proxies, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=header) == client


def test_a_request_that_went_around_the_proxies_is_not_believed() -> None:
    header = "203.0.113.1, 203.0.113.2"
    assert address_of(3, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=header) == "192.0.2.1"
    assert address_of(3, REMOTE_ADDR="unix:", HTTP_X_FORWARDED_FOR=header) is None
    assert address_of(1, REMOTE_ADDR="192.0.2.1") == "192.0.2.1"


def test_an_entry_that_the_proxy_could_not_name_is_unknown_and_nothing_else_is_taken() -> None:
    for header in ("203.0.113.1, unknown", "203.0.113.1, ", "203.0.113.1, unix:"):
        assert address_of(1, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=header) is None


@looped(
    ("full", "truncated"),
    [
        ("192.0.2.255", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:192.0.2.255", "192.0.2.0"),
        ("::1", "::"),
    ],
)
def test_an_address_is_stored_truncated_or_not_at_all_by_setting(full: str, truncated: str) -> None:
    assert address_of(keep="truncated", REMOTE_ADDR=full) == truncated
    assert address_of(keep="none", REMOTE_ADDR=full) is None


def test_a_misspelt_privacy_setting_stores_no_address() -> None:
    assert address_of(keep="trunkated", REMOTE_ADDR="192.0.2.1") is None


@given(sent=header_text, client=addresses, inner=st.lists(addresses, max_size=3), peer=header_text)
def test_nothing_that_a_client_sends_changes_its_address(
    sent: str, client: str, inner: list[str], peer: str
) -> None:
    appended = ", ".join([client, *inner])
    count = 1 + len(inner)
    honest = address_of(count, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=appended)
    for header in (f"{sent}, {appended}", f"{sent},{appended}", f",,{sent},,{appended}"):
        assert address_of(count, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=header) == honest
    expected = ipaddress.ip_address(client)
    mapped = expected.ipv4_mapped if isinstance(expected, ipaddress.IPv6Address) else None
    assert honest == str(mapped or expected)


@given(sent=header_text, peer=addresses, missing=st.integers(1, 3))
def test_a_header_too_short_gives_the_peer_whatever_it_holds(
    sent: str, peer: str, missing: int
) -> None:
    count = sent.count(",") + 1 + missing
    assert address_of(count, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=sent) == address_of(
        REMOTE_ADDR=peer
    )


@given(
    meta=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "HTTP_USER_AGENT"),
            anything | addresses,
        ),
    ),
    proxies=st.integers(-1, 4),
    keep=st.sampled_from(["full", "truncated", "none"]),
)
def test_any_meta_gives_a_client_that_fits_the_columns(
    meta: dict[str, Any], proxies: int, keep: str
) -> None:
    with override_settings(SESSIONKIT_TRUSTED_PROXY_COUNT=proxies, SESSIONKIT_IP_ADDRESS=keep):
        client = Client.from_meta(meta)
    if client.ip_address is not None:
        assert keep != "none"
        assert client.ip_address == str(ipaddress.ip_address(client.ip_address))
        assert GenericIPAddressField().clean(client.ip_address, None) == client.ip_address
    assert len(client.user_agent) <= MAX_USER_AGENT
    assert client.user_agent == client.user_agent.strip()
    assert client.user_agent == "" or (
        client.user_agent.isascii() and client.user_agent.isprintable()
    )


def test_requests_of_every_kind_have_a_client() -> None:
    assert Client.from_meta(HttpRequest().META) == Client(None, "")
    local = Client("127.0.0.1", "curl/8")
    headers = {"user-agent": "curl/8"}
    assert Client.from_meta(RequestFactory().get("/", headers=headers).META) == local
    assert Client.from_meta(AsyncRequestFactory().get("/", headers=headers).META) == local


# The user agent


@looped(
    ("sent", "kept"),
    [
        ("  curl/8 \r\n", "curl/8"),
        ("cu\x00rl\x1b[31m/8\x7f", "curl[31m/8"),
        ("naïve/1 \U0001f98a \ud800", "na?ve/1 ? ?"),
        ("\x85\xa0x", "x"),
        ("x" * 100_000, "x" * MAX_USER_AGENT),
        ("x" * (MAX_USER_AGENT - 1) + " y", "x" * (MAX_USER_AGENT - 1)),
        ("\x00" * 100_000, ""),
        (None, ""),
        (b"curl/8", ""),
    ],
)
def test_a_user_agent_is_kept_as_printable_ascii(sent: object, kept: str) -> None:
    assert user_agent_of(sent) == kept


# The label


@needs_ua_parser
@looped(("user_agent", "label"), LABELS.items())
def test_people_recognise_their_device(user_agent: str, label: str) -> None:
    assert device_label(user_agent) == label


def test_no_user_agent_is_an_unknown_device() -> None:
    assert device_label("") == device_label(" \x00") == "Unknown device"


@given(any_text | st.text("AZaz19./ ();_-", max_size=600) | st.sampled_from([*LABELS]))
def test_any_text_has_a_label_of_one_short_line(text: str) -> None:
    with override("en"):
        label = device_label(text)
    assert 0 < len(label) <= MAX_LABEL
    assert label.replace("…", "").isascii()
    assert label.isprintable()


@pytest.fixture
def bare_clients(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A second copy of the module, imported as if ua-parser were not installed."""
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    spec = importlib.util.spec_from_file_location("clients_without_ua_parser", clients.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@looped(
    ("user_agent", "label"),
    [
        ("", "Unknown device"),
        ("curl/8.16.0", "curl/8.16.0"),
        ("Mozilla/5.0", "Mozilla/5.0"),
        (
            f"{WINDOWS} {BLINK} Safari/537.36",
            "(Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36",
        ),
        ("x" * MAX_USER_AGENT, "x" * (MAX_LABEL - 1) + "…"),
    ],
)
def test_without_ua_parser_the_label_is_the_user_agent_shortened(
    bare_clients: ModuleType, user_agent: str, label: str
) -> None:
    assert bare_clients.device_label(user_agent) == label


@pytest.mark.slow
@needs_ua_parser
def test_the_rules_are_not_loaded_before_a_label_is_asked_for() -> None:
    code = (
        "import sys, django_sessionkit.clients as c\n"
        "assert c.HAS_UA_PARSER\n"
        "assert not [name for name in sys.modules if name.startswith('ua_parser_builtins')]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
