"""Everything that ends sessions, and who is signed in afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client

from django_sessionkit import registry
from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason
from tests import admin_pages
from tests.browsers import Browser
from tests.engines import Engine


class People:
    """Alice with three browsers, bob with one; each session has been read since its login."""

    def __init__(self, engine: Engine, *, is_async: bool = False) -> None:
        self.engine = engine
        self.alice, self.bob = map(User.objects.create_user, ("alice", "bob"))
        self.browsers = [Browser(is_async=is_async) for _ in range(4)]
        for browser in self.hers:
            browser.get("/login/alice/")
        self.his.get("/login/bob/")
        assert self.names() == ["alice", "alice", "alice", "bob"]

    @property
    def hers(self) -> list[Browser]:
        return self.browsers[:3]

    @property
    def his(self) -> Browser:
        return self.browsers[3]

    @property
    def first(self) -> Browser:
        return self.browsers[0]

    def names(self) -> list[str]:
        """Return as whom each browser's next request is answered."""
        return [browser.get("/whoami/").text for browser in self.browsers]

    def other_tab(self) -> Browser:
        """Return a browser with the cookie of the first."""
        return Browser(is_async=self.first.is_async, session_key=self.first.session_key)


def _deactivate(people: People) -> None:
    people.alice.is_active = False
    people.alice.save()


def _set_password(people: People) -> None:
    people.alice.set_password("anchors-aweigh-2")
    people.alice.save()


def _expire(people: People) -> None:
    session = people.engine.store(people.first.session_key)
    session.set_expiry(timedelta(seconds=-1))
    session.save()


def _flush(people: People) -> None:
    people.engine.store(people.first.session_key).flush()


def _aflush(people: People) -> None:
    async_to_sync(people.engine.store(people.first.session_key).aflush)()


def _in_the_admin(act: Callable[[Client, People], object]) -> Callable[[People], None]:
    def run(people: People) -> None:
        guard = admin_pages.browser(admin_pages.guard())
        act(guard, people)

    return run


_revoke_page = _in_the_admin(
    lambda guard, people: guard.post(admin_pages.page(people.first.row, "delete"), {"post": "yes"})
)
_revoke_selected = _in_the_admin(
    lambda guard, people: admin_pages.act(guard, "delete_selected", people.first.row, post="yes")
)
_revoke_users = _in_the_admin(
    lambda guard, people: admin_pages.act(guard, "revoke_users", people.first.row, post="yes")
)

Act = Callable[[People], object]

#: By whom each browser is used after the act.
ONE = ["", "alice", "alice", "bob"]
OTHERS = ["alice", "", "", "bob"]
HERS = ["", "", "", "bob"]
ALL = ["", "", "", ""]

#: What a program does, which may be within a transaction.
BY_PROGRAM: dict[str, tuple[Act, list[str]]] = {
    "revoke": (lambda people: registry.revoke(people.first.row, owner=registry.ANY_OWNER), ONE),
    "arevoke": (
        lambda people: async_to_sync(registry.arevoke)(
            people.first.public_id, owner=registry.ANY_OWNER
        ),
        ONE,
    ),
    "revoke as expired": (
        lambda people: registry.revoke(
            people.first.row, reason=SessionEndReason.EXPIRED, owner=registry.ANY_OWNER
        ),
        ONE,
    ),
    "revoke_sessions": (
        lambda people: registry.revoke_sessions([people.first.public_id], owner=registry.ANY_OWNER),
        ONE,
    ),
    "revoke_sessions of a queryset": (
        lambda people: registry.revoke_sessions(
            Session.objects.filter(user=people.alice), owner=registry.ANY_OWNER
        ),
        HERS,
    ),
    "revoke_others": (
        lambda people: registry.revoke_others(people.alice, keep=people.first.public_id),
        OTHERS,
    ),
    "revoke_user": (lambda people: registry.revoke_user(people.alice), HERS),
    "arevoke_user": (lambda people: async_to_sync(registry.arevoke_user)(people.alice.pk), HERS),
    "revoke_everyone": (lambda people: registry.revoke_everyone(), ALL),
    "instance": (lambda people: people.first.row.delete(), ONE),
    "queryset": (lambda people: Session.objects.filter(user=people.alice).delete(), HERS),
    "async queryset": (lambda people: async_to_sync(Session.objects.all().adelete)(), ALL),
    "user deleted": (lambda people: User.objects.get(username="alice").delete(), HERS),
    "users deleted": (lambda people: User.objects.all().delete(), ALL),
    "deactivation": (_deactivate, HERS),
    "password": (_set_password, HERS),
}

#: What a request does, or the store of one.
BY_REQUEST: dict[str, tuple[Act, list[str]]] = {
    "admin page": (_revoke_page, ONE),
    "admin action": (_revoke_selected, ONE),
    "admin action on users": (_revoke_users, HERS),
    "logout in another tab": (lambda people: people.other_tab().get("/logout/"), ONE),
    "login as another in another tab": (lambda people: people.other_tab().get("/login/bob/"), ONE),
    "flush": (_flush, ONE),
    "aflush": (_aflush, ONE),
    "delete": (lambda people: people.engine.store(people.first.session_key).delete(), ONE),
    "an end in the past": (_expire, ONE),
}

EACH = BY_PROGRAM | BY_REQUEST

#: Those around which requests in async code do something else than in sync code.
IN_ASYNC_CODE = (
    "revoke",
    "queryset",
    "logout in another tab",
    "login as another in another tab",
)

each_way_to_end = pytest.mark.parametrize(
    ("act", "names", "is_async"),
    [
        *(pytest.param(*way, False, id=name) for name, way in EACH.items()),
        *(
            pytest.param(*EACH[name], True, id=f"async {name}", marks=pytest.mark.slow)
            for name in IN_ASYNC_CODE
        ),
    ],
)
