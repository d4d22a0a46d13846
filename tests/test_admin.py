"""The admin as a place to look: the list and its filters, a session's page, what none shows."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import localize
from django.utils.http import urlencode

from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests import admin_pages as pages
from tests.admin_pages import LIST
from tests.cases import looped

pytestmark = [pytest.mark.django_db, pytest.mark.varies]


@pytest.fixture
def guard() -> Client:
    """The browser of somebody who may look and revoke, and is no superuser."""
    return pages.browser(pages.guard(), address="192.0.2.250")


def test_the_list_tells_who_is_signed_in_where(guard: Client) -> None:
    alice = pages.row(pages.browser(pages.person("alice"), address="203.0.113.7"))
    start = timezone.now() - timedelta(hours=2, minutes=5)
    Session.objects.filter(pk=alice.pk).update(
        created_at=start,
        last_seen_at=start + timedelta(hours=1, minutes=54),
        expire_date=start + timedelta(days=7),
    )

    text = pages.html(guard.get(LIST))

    columns = re.findall(r'<th scope="col" class="(?:column-)?([a-z_]+)', text)
    assert [name for name in columns if "action" not in name] == [
        "owner",
        "device",
        "address",
        "started",
        "last_seen",
        "ends",
        "state",
    ]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[dh] class=.*?</t[dh]>", text)]
    assert cells[cells.index("alice") :][:7] == [
        "alice",
        "Firefox on Windows",
        "203.0.113.7",
        "2 hours ago",
        "11 minutes ago",
        "in 6 days",
        "Active",
    ]
    assert f'title="{localize(timezone.localtime(start))}">2 hours ago' in text
    assert f'href="{pages.page(alice)}' in text


@looped("query", ["", "?o=3", "?o=-4", "?o=1.2.3", "?o=x", "?all="])
def test_the_newest_sessions_come_first_whatever_the_url_asks_for(
    guard: Client, query: str
) -> None:
    pages.make_rows(3)
    with CaptureQueriesContext(connection) as queries:
        ids = pages.listed(guard.get(LIST + query))

    assert ids == list(Session.objects.order_by("-id").values_list("id", flat=True))
    orders = [q["sql"].partition("ORDER BY")[2] for q in queries if "ORDER BY" in q["sql"]]
    order = [order for order in orders if "sessionkit" in order][-1]
    assert re.sub(r"[`\"]", "", order).split()[:3] == ["sessionkit_session.id", "DESC", "LIMIT"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"own", "visitor", "old", "other"}),
        ("state=active", {"own", "visitor", "other"}),
        ("state=expired", {"old"}),
        ("owner=me", {"own", "old"}),
        ("owner=users", {"own", "old", "other"}),
        ("owner=visitors", {"visitor"}),
        ("state=expired&owner=me", {"old"}),
        ("state=expired&owner=visitors", set()),
        ("state=nonsense", {"own", "visitor", "old", "other"}),
        ("owner=nonsense", {"own", "visitor", "old", "other"}),
    ],
)
def test_filters_choose_by_state_and_owner(guard: Client, query: str, expected: set[str]) -> None:
    own = pages.row(guard)
    names = {
        own.pk: "own",
        pages.make_rows(1)[0].pk: "visitor",
        pages.make_rows(1, user_id=own.user_id, expire_date=timezone.now())[0].pk: "old",
        pages.make_rows(1, user=pages.person("other"))[0].pk: "other",
    }
    assert {names[pk] for pk in pages.listed(guard.get(f"{LIST}?{query}"))} == expected


@pytest.mark.parametrize("field", ["created_at", "last_seen_at"])
def test_filters_choose_by_the_links_of_a_date(guard: Client, field: str) -> None:
    moments = [timezone.now() - timedelta(days=days) for days in (0, 3, 400)]
    rows = [pages.make_rows(1, **{field: moment})[0].pk for moment in moments]
    links = re.findall(rf'href="(\?{field}__gte=[^"]+)"', pages.html(guard.get(LIST)))
    found = [set(pages.listed(guard.get(LIST + link))) & set(rows) for link in links]

    assert len(links) == 4  # today, past 7 days, this month, this year
    assert found[:2] == [{rows[0]}, set(rows[:2])]
    assert all(rows[2] not in ids for ids in found)


@looped("lookup", ["gte", "lt"])
@looped(
    "value",
    [
        "garbage",
        "",
        "\0",
        "2026-13-45 00:00:00+00:00",
        "0001-01-01 00:00:00+14:00",
        "9999-12-31 23:59:59-12:00",
        "2026-01-01 00:00:00+00:00' OR 1=1 --",
    ],
)
def test_a_date_that_is_none_is_no_error(guard: Client, lookup: str, value: str) -> None:
    query = urlencode({f"created_at__{lookup}": value})
    assert guard.get(f"{LIST}?{query}", follow=True).status_code == 200


def fields_of_both_models() -> list[str]:
    own = [field.name for field in Session._meta.get_fields()]
    users = [f"user__{field.name}" for field in User._meta.get_fields()]
    return sorted({*own, "pk", "user_id", "user__pk", *users, "user__groups__name"})


LOOKUPS = ("", "__exact", "__startswith", "__gt", "__in", "__isnull", "__regex", "__year", "__gte")


@pytest.mark.slow
@looped("field", fields_of_both_models())
def test_no_url_probes_a_field(guard: Client, field: str) -> None:
    shown = {"created_at__gte", "last_seen_at__gte"}
    queries = {f"{field}{lookup}=1" for lookup in LOOKUPS if field + lookup not in shown}
    for extra in ("_popup=1", "_to_field=id", "_facets=True", "e=1", "q=a", "p=1&o=1&all="):
        queries.add(f"{field}__startswith=1&{extra}")
    for query in sorted(queries):
        with CaptureQueriesContext(connection) as asked:
            response = guard.get(f"{LIST}?{query}")
        assert response.status_code == 400, query
        # Refused before anything was asked: nor can the time that it takes tell.
        assert not [q for q in asked if re.search(r"LIMIT 101|WHERE .*username", q["sql"])]


@looped("lookup", ["created_at__gte__gte", "created_at__date", "state__exact"])
def test_no_url_adds_to_the_lookups_of_the_filters(guard: Client, lookup: str) -> None:
    assert guard.get(f"{LIST}?{lookup}=1").status_code == 400


@looped("field", [f.name for f in Session._meta.fields if f.name != "id"])
def test_no_url_takes_another_field_for_the_key(guard: Client, field: str) -> None:
    query = f"?_to_field={field}&_popup=1"
    own = pages.row(guard)
    for path in (LIST, pages.page(own), pages.page(own, "delete")):
        assert guard.get(path + query).status_code == 400


def test_the_sum_over_facets_is_never_made(guard: Client) -> None:
    with CaptureQueriesContext(connection) as plain:
        guard.get(LIST)
    with CaptureQueriesContext(connection) as facets:
        guard.get(f"{LIST}?_facets=True")
    assert len(facets) == len(plain)


def test_the_current_session_is_marked_in_words(guard: Client) -> None:
    own, other = pages.row(guard), pages.row(pages.browser(pages.person("alice")))

    assert pages.html(guard.get(LIST)).count("Firefox on Windows (this session)") == 1
    assert "Firefox on Windows (this session)" in pages.html(guard.get(pages.page(own)))
    assert "(this session)" not in pages.html(guard.get(pages.page(other)))


def test_a_row_whose_user_is_missing_is_shown_as_ended(guard: Client) -> None:
    session = pages.make_rows(1, user_id=987654)[0]
    for path in (LIST, pages.page(session), pages.page(session, "delete")):
        assert "Deleted user 987654" in pages.html(guard.get(path))
    assert "Ended: the user is gone" in pages.html(guard.get(LIST))


def test_a_visitor_is_called_so(guard: Client) -> None:
    session = pages.row(pages.browser())
    assert pages.html(guard.get(LIST)).count(">Visitor<") == 1
    assert "Visitor" in pages.html(guard.get(pages.page(session)))


def test_a_session_is_reached_by_its_public_id_alone(guard: Client) -> None:
    own = pages.row(guard)
    for key in (own.pk, "nonsense", "9f1c0a5e-5d1f-4c53-8d1e-0a6f0f3b7c11", "%00"):
        for name in ("change", "delete", "history"):
            assert guard.get(f"{LIST}{key}/{name}/").status_code == 302


def test_nothing_is_added_or_changed(guard: Client) -> None:
    session = pages.row(pages.browser(pages.person("alice")))
    before = Session.objects.filter(pk=session.pk).values().get()
    fields = {"user": "", "data": "x", "expire_date": "2099-01-01", "secret_hash": "x"}

    for client in (guard, pages.browser(pages.boss())):
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}add/", fields).status_code == 403
        for button in ("_save", "_continue", "_addanother", "_saveasnew", "_popup", "nothing"):
            assert client.post(pages.page(session), {**fields, button: "1"}).status_code == 403
        client.post(LIST, {"_save": "1", "form-0-data": "x", "form-0-id": session.pk})

    assert Session.objects.filter(pk=session.pk).values().get() == before


def test_the_number_of_queries_does_not_grow_with_the_list() -> None:
    client = pages.browser(pages.boss())
    counts = []
    for number in range(2):
        for user in [pages.person(f"user{number}{one}") for one in range(1 + 9 * number)]:
            pages.make_rows(2, user=user)
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
    # Session, user; the rows, their users.
    assert counts == [4, 4]


def test_no_query_joins_sessions_and_users_which_may_live_in_two_databases(
    guard: Client,
) -> None:
    boss, alice = pages.boss(), pages.person("alice")
    rows = [pages.row(pages.browser(user)) for user in (boss, alice, None)]
    paths = [LIST, *(pages.page(rows[1], name) for name in ("change", "delete", "history"))]
    paths += [f"{LIST}?q={term}" for term in ("alice", "a@example.org", "203.0.113.7")]
    paths += [f"{LIST}?{query}" for query in ("owner=me", "owner=users", "state=active")]
    with CaptureQueriesContext(connection) as queries:
        for path in paths:
            assert guard.get(path).status_code == 200
        for action in ("delete_selected", "revoke_users"):
            pages.act(guard, action, *rows)
            pages.act(guard, action, *rows, post="yes")
    both = [q for q in queries if {"sessionkit_session", "auth_user"} <= tables(q["sql"])]
    assert both == []


def tables(sql: str) -> set[str]:
    return set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+[`\"]?(\w+)", sql))


def test_no_page_url_or_log_entry_shows_a_key_a_hash_or_data() -> None:
    client = pages.browser(pages.boss())
    alice, visitor = pages.browser(pages.person("alice")), pages.browser()
    alice.get("/set/colour/ultramarine/")
    browsers = (client, alice, visitor)
    rows = [pages.row(one) for one in browsers]
    forbidden = ["ultramarine", "pears", "basket", "pbkdf2", "md5$"]
    for one in browsers:
        key = SplitKey.parse(one.cookies["sessionid"].value)
        assert key is not None
        forbidden += [key.session_key, key.session_key[32:], key.secret_hash.hex()]
    forbidden += [session.data for session in rows if session.data]

    shown = [client.get(path) for path in ("/admin/", "/admin/sessionkit/", LIST)]
    shown += [client.get(LIST, {"q": term}) for term in ("alice", "192.0.2.1")]
    for session in rows:
        shown += [client.get(pages.page(session, name)) for name in ("change", "delete", "history")]
    user = f"/admin/auth/user/{rows[1].user_id}/"
    shown += [client.get(user + name) for name in ("change/", "delete/", "history/")]
    for action in ("delete_selected", "revoke_users"):
        shown.append(pages.act(client, action, *rows))
    shown.append(pages.act(client, "delete_selected", rows[2], post="yes"))
    shown.append(client.post(pages.page(rows[1], "delete"), {"post": "yes"}))
    shown += [client.get(path) for path in (LIST, "/admin/")]
    texts = [pages.html(response) + response.get("Location", "") for response in shown]
    texts += [str(entry.__dict__) + str(entry) for entry in LogEntry.objects.all()]

    assert LogEntry.objects.count() == 2
    assert not any(secret in text for secret in forbidden for text in texts)
    # Nor does a page of the admin ask for them.
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST)
        client.get(pages.page(rows[0]))
    asked = [q["sql"] for q in queries if re.search(r"secret_hash|\bdata\b", q["sql"])]
    assert len(asked) == 2  # the session of each request itself
