"""What the tests of the admin share: people, their browsers, and the pages."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session

LIST = "/admin/sessionkit/session/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"


def person(name: str, *permissions: str, **fields: Any) -> User:
    """Return a new user who is staff if there are permissions ("view_session", …)."""
    fields.setdefault("is_staff", bool(permissions))
    user = User.objects.create_user(name, f"{name}@example.org", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def guard(name: str = "guard") -> User:
    """Return a new user who may look and revoke, and is no superuser."""
    return person(name, "view_session", "delete_session")


def boss(name: str = "boss") -> User:
    return User.objects.create_superuser(name, f"{name}@example.org")


def browser(user: User | None = None, address: str = "192.0.2.1") -> Client:
    """Return a browser in which ``user`` has signed in; a visitor with a session for None."""
    client = Client(REMOTE_ADDR=address, headers={"user-agent": FIREFOX})
    client.get(f"/login/{user.username}/" if user else "/set/basket/pears/")
    return client


def row(client: Client) -> AbstractSession:
    """Return the row of the browser's session."""
    key = SplitKey.parse(client.cookies["sessionid"].value)
    assert key is not None
    session = registry.find_session(key.public_id)
    assert session is not None
    return session


def is_alive(session: AbstractSession) -> bool:
    return registry.find_session(session.public_id) is not None


def new_row(**fields: Any) -> dict[str, Any]:
    """Return the fields of a row that no browser holds the key of."""
    return {"expire_date": timezone.now() + timedelta(days=1), "secret_hash": b"?" * 32} | fields


def make_rows(count: int, **fields: Any) -> list[AbstractSession]:
    """Write ``count`` rows that no browser holds the key of; return them, oldest first."""
    rows = [Session(**new_row(**fields)) for _ in range(count)]
    Session.objects.bulk_create(rows, batch_size=500)
    public_ids = [session.public_id for session in rows]
    return list(Session.objects.filter(public_id__in=public_ids).order_by("id"))


def page(session: AbstractSession, name: str = "change") -> str:
    """Return the path of a page of the session: change, delete, history."""
    return reverse(f"admin:sessionkit_session_{name}", args=[session.public_id])


def act(client: Client, action: str, *sessions: AbstractSession, **fields: Any) -> Any:
    """Post an action of the list for the sessions; ``post="yes"`` confirms it."""
    chosen = [session.pk for session in sessions]
    query = fields.pop("query", "")
    return client.post(LIST + query, {"action": action, "_selected_action": chosen, **fields})


def html(response: Any) -> str:
    """Return the page's content, its entities replaced."""
    return unescape(response.content.decode())


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def listed(response: Any) -> list[int]:
    """Return the primary keys of the sessions on a page of the list, from above to below."""
    assert response.status_code == 200
    return [int(pk) for pk in re.findall(r'name="_selected_action" value="(\d+)"', html(response))]


def hidden_fields(response: Any) -> dict[str, list[str]]:
    """Return what the form of a confirmation page would post."""
    fields: dict[str, list[str]] = {}
    form = html(response).partition('id="content"')[2]
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(value)
    return fields
