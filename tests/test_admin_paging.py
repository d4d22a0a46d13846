"""The pages of the admin's list: each session once, by an index, and nothing is counted."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit.admin import paging
from django_sessionkit.admin.options import SessionAdmin
from django_sessionkit.admin.paging import Place
from django_sessionkit.models import Session
from tests import admin_pages as pages
from tests.admin_pages import LIST
from tests.cases import looped

pytestmark = [pytest.mark.django_db, pytest.mark.database]

#: Of what is made below: the filters and the searches, and the order that they come in.
QUERIES = {
    "": "-id",
    "state=active": "-expire_date",
    "state=expired": "-expire_date",
    "owner=me": "-id",
    "owner=users": "-id",
    "owner=visitors": "-id",
    "state=active&owner=users": "-expire_date",
    "state=expired&owner=visitors": "-id",
    "created_at__gte=2000-01-01+00%3A00%3A00%2B00%3A00&owner=visitors": "-id",
    "q=alice": "-id",
    "q=203.0.113.7": "-id",
    "q=203.0.113.7&state=expired&owner=users": "-id",
    "q=guard&owner=me": "-id",
}
#: One of each order, and one with two filters, for a quick run.
FEW = ["", "state=active", "state=active&owner=users"]
#: Of which a page may look at more sessions than it shows.
FAR = [query for query in QUERIES if "owner=users" in query or "owner=visitors" in query]


each_query = pytest.mark.parametrize(
    "query",
    [pytest.param(query, marks=[] if query in FEW else [pytest.mark.slow]) for query in QUERIES],
)


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The browser of somebody who sees three sessions on a page."""
    monkeypatch.setattr(SessionAdmin, "list_per_page", 3)
    return pages.browser(pages.guard())


@pytest.fixture
def sessions(guard: Client) -> None:
    """Sessions of everybody, of all states, some with the same end."""
    alice, own = pages.person("alice"), pages.row(guard).user
    now = timezone.now()
    for number in range(24):
        pages.make_rows(
            1,
            user=[None, alice, own][number % 3],
            ip_address=["203.0.113.7", "192.0.2.9"][number // 2 % 2],
            expire_date=now + timedelta(hours=[-1, -1, 1, 2, -2, 1, 1, 3][number % 8]),
        )


def link(response: Any, words: str) -> str | None:
    found = re.search(rf'<a href="([^"]+)" rel="(?:prev|next)">{words}</a>', pages.html(response))
    return found[1] if found else None


def walk(client: Client, url: str, words: str = "Older") -> list[list[int]]:
    """Return the sessions of a page and of those behind it, page by page."""
    found = []
    target: str | None = url
    while target is not None:
        response = client.get(LIST + target)
        found.append(pages.listed(response))
        target = link(response, words)
        assert len(found) < 200
    return found


def expected(client: Client, query: str) -> list[int]:
    """Return what the list would show if it had one page."""
    order = [QUERIES[query]] + (["-id"] if QUERIES[query] != "-id" else [])
    size, SessionAdmin.list_per_page = SessionAdmin.list_per_page, 1000
    try:
        ids = pages.listed(client.get(f"{LIST}?{query}"))
    finally:
        SessionAdmin.list_per_page = size
    assert ids == list(
        Session.objects.filter(pk__in=ids).order_by(*order).values_list("pk", flat=True)
    )
    return ids


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("query", "reach"),
    [
        *(
            pytest.param(query, paging.REACH, marks=[] if query in FEW else [pytest.mark.slow])
            for query in QUERIES
        ),
        *(pytest.param(query, reach, marks=pytest.mark.slow) for query in FAR for reach in (5, 1)),
    ],
)
def test_older_and_newer_pages_show_each_session_once(
    guard: Client, query: str, reach: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = expected(guard, query)
    monkeypatch.setattr(paging, "REACH", reach)
    assert len(ids) > 1

    there = walk(guard, f"?{query}")
    assert [pk for page in there for pk in page] == ids
    assert all(len(page) <= 3 for page in there)

    # And back from the last page on.
    response = guard.get(f"{LIST}?{query}")
    while (older := link(response, "Older")) is not None:
        response = guard.get(LIST + older)
    last = pages.listed(response)
    if (newer := link(response, "Newer")) is None:
        assert last == ids
        return
    back = walk(guard, newer, "Newer")
    seen = [pk for page in reversed(back) for pk in page]
    # The newest page is shown in full, so some of the page behind it may be on both.
    assert list(dict.fromkeys([*seen, *last])) == ids
    assert back[-1] == ids[: len(back[-1])]


@pytest.mark.usefixtures("sessions")
@each_query
def test_no_page_counts_or_skips(guard: Client, query: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        walk(guard, f"?{query}")
    about = [q["sql"] for q in queries if "sessionkit" in q["sql"] and "SELECT" in q["sql"]]
    assert about
    offset = f"OFFSET {paging.REACH - 1}"
    assert not [sql for sql in about if "COUNT(" in sql or "OFFSET" in sql.replace(offset, "")]


@pytest.mark.varies
def test_a_page_goes_on_where_a_session_has_ended_meanwhile(guard: Client) -> None:
    for query in ("", "state=active"):
        Session.objects.exclude(pk=pages.row(guard).pk).delete()
        pages.make_rows(9)
        ids = expected(guard, query)
        first = guard.get(f"{LIST}?{query}")
        Session.objects.filter(pk__in=ids[2:4]).delete()
        older = link(first, "Older")
        assert older is not None
        assert pages.listed(guard.get(LIST + older)) == ids[4:7]


@pytest.mark.varies
def test_the_newest_page_is_full_where_one_comes_back_to_it(guard: Client) -> None:
    pages.make_rows(9)
    second = guard.get(LIST + (link(guard.get(LIST), "Older") or ""))
    pages.make_rows(1)
    newer = link(second, "Newer")
    assert newer is not None
    # One has come: so it is not the first page that is before the second.
    assert pages.listed(guard.get(LIST + newer)) == expected(guard, "")[1:4]
    first = guard.get(LIST + (link(guard.get(LIST + newer), "Newer") or ""))
    assert pages.listed(first) == expected(guard, "")[:3]
    assert link(first, "Newer") is None


@pytest.mark.varies
@pytest.mark.usefixtures("sessions")
@looped("name", ["older", "newer"])
@looped("place", ["", "x", "-1", "1-", "²", "1-2-3", "9" * 19 + "9", "9" * 4000, "\0", "1 OR 1=1"])
def test_a_place_that_is_none_goes_back_to_the_list(guard: Client, name: str, place: str) -> None:
    for query in ({}, {"state": "active"}):
        response = guard.get(LIST, {**query, name: place})
        assert response.status_code == 302
        assert response["Location"] == f"{LIST}?e=1"


@pytest.mark.parametrize("place", ["0", "1", str(2**63 - 2), "00001"])
def test_a_place_far_away_is_no_error(guard: Client, place: str) -> None:
    pages.make_rows(5)
    for name in ("older", "newer"):
        assert guard.get(LIST, {name: place}).status_code == 200
        by_end = {name: f"{place}-{place}", "state": "active"}
        assert guard.get(LIST, by_end).status_code in (200, 302)


@pytest.mark.varies
def test_a_place_is_read_as_it_is_written() -> None:
    now = timezone.now()
    for place, is_by_end in ((Place(5), False), (Place(5, now), True)):
        assert Place.parse(str(place), is_by_end=is_by_end) == place
        with pytest.raises(ValueError, match="place"):
            Place.parse(str(place), is_by_end=not is_by_end)


@pytest.mark.varies
def test_another_filter_begins_anew(guard: Client) -> None:
    pages.make_rows(9)
    second = guard.get(LIST + (link(guard.get(LIST), "Older") or ""))
    filters = re.findall(r'<li[^>]*>\s*<a href="(\?[^"]*)"', pages.html(second))
    assert len(filters) > 10
    assert not [url for url in filters if "older" in url or "newer" in url]


def test_a_page_may_hold_none_of_those_it_looked_at(
    guard: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "REACH", 4)
    alices = pages.make_rows(1, user=User.objects.create_user("alice"))
    pages.make_rows(9)
    Session.objects.filter(pk=pages.row(guard).pk).update(user=None)
    response = pages.browser(pages.boss()).get(f"{LIST}?owner=users")
    assert len(pages.listed(response)) == 1
    second = guard.get(f"{LIST}?owner=users&older={alices[0].pk + 9}")
    assert "None of the sessions that this page looked at." in pages.html(second)
    assert [pk for page in walk(guard, "?owner=users") for pk in page][-1] == alices[0].pk


@pytest.mark.varies
def test_one_action_takes_every_session_that_matches_where_there_are_more_pages(
    guard: Client,
) -> None:
    words = "Let the action take the sessions of all pages"
    pages.make_rows(7, ip_address="203.0.113.7")
    response = guard.get(f"{LIST}?q=203.0.113.7")
    assert words in pages.html(response)
    # As a browser sends it: nothing else need be selected, and Django's own field says no.
    fields = {"action": "delete_selected", "index": "0", "select_across": "0"}
    fields["all_pages"] = "1"
    response = guard.post(f"{LIST}?q=203.0.113.7", fields)
    assert "These 7 sessions will end." in pages.html(response)
    guard.post(f"{LIST}?q=203.0.113.7", pages.hidden_fields(response))
    assert Session.objects.get() == pages.row(guard)
    assert words not in pages.html(guard.get(LIST))


@pytest.mark.usefixtures("sessions")
@each_query
def test_the_order_of_users_is_none_of_sessions(
    guard: Client, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User._meta, "ordering", ["username"])
    with CaptureQueriesContext(connection) as queries:
        guard.get(f"{LIST}?{query}")
    of_sessions = [q["sql"] for q in queries if "LIMIT 4" in q["sql"]]
    assert of_sessions
    assert not [sql for sql in of_sessions if "auth_user" in sql]


@pytest.mark.varies
def test_a_search_of_the_projects_own_may_find_a_session_twice(
    guard: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(self: Any, request: Any, queryset: Any, term: str) -> tuple[Any, bool]:
        return queryset.filter(user__groups__name__startswith=term) if term else queryset, True

    alice = pages.person("alice")
    alice.groups.set(Group.objects.create(name=f"crew {number}") for number in range(3))
    rows = pages.make_rows(5, user=alice)
    monkeypatch.setattr(SessionAdmin, "get_search_results", search)
    found = [pk for page in walk(guard, "?q=crew") for pk in page]
    assert found == [session.pk for session in reversed(rows)]


@pytest.mark.parametrize("size", [0, -1])
def test_a_page_has_a_session_at_least(
    guard: Client, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionAdmin, "list_per_page", size)
    assert len(walk(guard, "?")[0]) == 1
