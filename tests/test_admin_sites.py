"""The admin in other surroundings: a site of a project's own, another engine, another model."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.urls import include, path

from django_sessionkit.admin import SessionAdmin
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.models import Session
from tests import admin_pages as pages


class TaggedSession(AbstractSession):
    """A project's own sessions, with a column more."""

    tag = models.CharField(max_length=20, default="", blank=True)

    class Meta(AbstractSession.Meta):
        app_label = "app"


class TaggedSessionAdmin(SessionAdmin):
    list_display = (*SessionAdmin.list_display, "tag")
    fields = (*SessionAdmin.fields, "tag")
    readonly_fields = fields


backoffice = admin.AdminSite(name="backoffice")
backoffice.register(Session, SessionAdmin)
backoffice.register(TaggedSession, TaggedSessionAdmin)

urlpatterns = [
    path("back/", backoffice.urls),
    path("", include("tests.urls")),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.varies]
BACK = "/back/sessionkit/session/"
TAGGED = "/back/app/taggedsession/"


@pytest.fixture
def boss() -> Client:
    return pages.browser(pages.boss())


@pytest.fixture
def tagged(transactional_db: None) -> Iterator[None]:
    """The table of the project's own model."""
    with connection.schema_editor() as editor:
        editor.create_model(TaggedSession)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(TaggedSession)


def own_links(text: str) -> set[str]:
    content = text.partition('<div id="container">')[2]
    return set(re.findall(r'(?:href|action)="(/[^"]*)"', content)) - {"/"}


def test_every_link_of_a_site_of_another_name_stays_on_it(boss: Client) -> None:
    session = pages.row(pages.browser(pages.person("alice")))
    shown = [boss.get(BACK)]
    shown += [boss.get(f"{BACK}{session.public_id}/{n}/") for n in ("change", "delete", "history")]
    for action in ("delete_selected", "revoke_users"):
        shown.append(boss.post(BACK, {"action": action, "_selected_action": session.pk}))
    for response in shown:
        links = own_links(pages.html(response))
        assert links
        assert all(link.startswith("/back/") for link in links), links

    response = boss.post(f"{BACK}{session.public_id}/delete/", {"post": "yes"})
    assert response["Location"] == BACK
    assert not pages.is_alive(session)


def test_sessions_are_revoked_while_requests_are_of_another_engine(settings: Any) -> None:
    alice = pages.browser(pages.person("alice"))
    row = pages.row(alice)
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = pages.browser(pages.boss())
    change = pages.page(row)

    assert pages.listed(client.get(pages.LIST)) == [row.pk]
    for name in ("change", "delete", "history"):
        text = pages.html(client.get(pages.page(row, name)))
        assert "(this session)" not in text
        assert 'role="alert"' not in text
    assert 'role="alert"' not in pages.html(pages.act(client, "delete_selected", row))
    assert client.post(change.replace("change", "delete"), {"post": "yes"}).status_code == 302
    assert not Session.objects.exists()
    assert client.get(pages.LIST).status_code == 200


def tagged_rows(user: User | None, count: int) -> list[TaggedSession]:
    rows = [TaggedSession(**pages.new_row(user=user, tag="red")) for _ in range(count)]
    for row in rows:
        row.save()
    return rows


def test_a_model_of_a_projects_own_is_listed_searched_and_revoked(tagged: None) -> None:
    boss = pages.browser(pages.boss())
    alice = pages.person("alice")
    rows = [*tagged_rows(alice, 4), *tagged_rows(None, 1)]
    session = pages.make_rows(1, user=alice)[0]

    assert pages.listed(boss.get(TAGGED)) == sorted((row.pk for row in rows), reverse=True)
    assert len(pages.listed(boss.get(f"{TAGGED}?q=alice&owner=users&state=active"))) == 4
    assert boss.get(f"{TAGGED}?tag__startswith=r").status_code == 400
    detail = pages.html(boss.get(f"{TAGGED}{rows[0].public_id}/change/"))
    assert ">red<" in detail

    response = boss.post(f"{TAGGED}{rows[0].public_id}/delete/", {"post": "yes"})
    assert response["Location"] == TAGGED
    assert TaggedSession.objects.count() == 4
    action = {"action": "delete_selected", "_selected_action": rows[4].pk, "post": "yes"}
    boss.post(TAGGED, action)
    assert TaggedSession.objects.count() == 3
    boss.post(TAGGED, {**action, "action": "revoke_users", "_selected_action": rows[1].pk})
    assert not TaggedSession.objects.exists()
    # The package's own model is another table.
    assert pages.is_alive(session)
    assert [entry.object_id for entry in LogEntry.objects.order_by("id")] == [
        str(row.public_id) for row in (rows[0], rows[4], rows[3], rows[2], rows[1])
    ]
