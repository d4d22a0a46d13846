"""The search of the admin's list: by address, user name, e-mail or public id."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_sessionkit.admin.changelist import find_users
from django_sessionkit.models import Session
from tests import admin_pages as pages
from tests.admin_pages import LIST

pytestmark = [pytest.mark.django_db, pytest.mark.varies]


@pytest.fixture
def guard() -> Client:
    """The browser of somebody who may look and revoke, and is no superuser."""
    return pages.browser(pages.guard(), address="192.0.2.250")


def search(client: Client, term: str) -> list[int]:
    return pages.listed(client.get(LIST, {"q": term}))


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("alice", ["alice"]),
        ("ali", ["alice"]),
        (" alice ", ["alice"]),
        ("lice", []),
        ("alice@example.org", ["alice"]),
        ("alice@example", []),
        ("203.0.113.7", ["alice"]),
        ("203.0.113.7:4711", ["alice"]),
        ("203.0.113", []),
        ("2001:db8::5", ["bob"]),
        ("2001:0DB8:0:0::0005", ["bob"]),
        ("[2001:db8::5]", ["bob"]),
        ("::ffff:203.0.113.7", ["alice"]),
        ("dead", ["deadbeef"]),
    ],
)
def test_a_search_finds_by_address_name_or_email(
    guard: Client, term: str, expected: list[str]
) -> None:
    for name, address in [
        ("alice", "203.0.113.7"),
        ("bob", "2001:db8::5"),
        ("deadbeef", "192.0.2.9"),
    ]:
        pages.browser(pages.person(name), address=address)
    pages.make_rows(2)

    found = Session.objects.filter(pk__in=search(guard, term))

    assert [str(session.user) for session in found] == expected


def test_a_search_finds_a_public_id_in_any_form(guard: Client) -> None:
    session = pages.make_rows(2)[0]
    for term in (str(session.public_id), session.public_id.hex, session.public_id.hex.upper()):
        assert search(guard, term) == [session.pk]
    assert search(guard, str(session.public_id)[:-1]) == []


def test_a_search_finds_a_user_whose_name_is_a_uuid(guard: Client) -> None:
    name = "9f1c0a5e-5d1f-4c53-8d1e-0a6f0f3b7c11"
    session = pages.row(pages.browser(pages.person(name)))
    assert search(guard, name) == [session.pk]


def test_a_search_finds_what_a_truncated_address_was_stored_as(
    guard: Client, settings: Any
) -> None:
    settings.SESSIONKIT_IP_ADDRESS = "truncated"
    session = pages.row(pages.browser(pages.person("alice"), address="203.0.113.7"))
    assert session.ip_address == "203.0.113.0"
    assert session.pk in search(guard, "203.0.113.7")
    assert session.pk in search(guard, "203.0.113.200")


@pytest.mark.parametrize(
    "term",
    [
        "'",
        "%",
        "_",
        "\\",
        '"alice smith',
        "999.999.999.999",
        "203.0.113.0/24",
        "::::",
        "2001:db8::/32",
        "a" * 5000,
        "1" * 40,
        "@",
        "alice@",
        "zoë@example.org",
        "\N{COLLISION SYMBOL}",
        "1; DROP TABLE sessionkit_session",
        "None",
    ],
)
def test_a_search_for_garbage_finds_nothing(guard: Client, term: str) -> None:
    pages.browser(pages.person("alice"))
    assert search(guard, term) == []


@pytest.mark.parametrize("raw", ["%00", "alice%00", "%ED%A0%80", "%FF", "%20"])
def test_a_search_for_no_text_at_all_is_no_error(guard: Client, raw: str) -> None:
    assert guard.get(f"{LIST}?q={raw}").status_code == 200


def test_a_search_that_finds_too_many_users_says_so_and_keeps_the_exact_one(
    guard: Client,
) -> None:
    User.objects.bulk_create(User(username=f"many{number:03}") for number in range(110))
    exact = pages.make_rows(1, user=pages.person("many"))[0]
    pages.make_rows(1, user=User.objects.get(username="many109"))

    response = guard.get(LIST, {"q": "many"})

    assert pages.listed(response) == [exact.pk]
    assert pages.messages(response) == [
        "More than 100 users match; only the sessions of the first are shown."
    ]


def test_a_search_finds_users_whose_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = pages.person("alice")
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    assert find_users(str(alice.pk))[0] == alice.pk
    assert find_users("alice") == []
    assert find_users("9" * 40) == []
