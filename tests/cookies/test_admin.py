"""The admin lists and ends sessions in cookies, and says what that is worth."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_sessionkit.models import Session
from tests import admin_pages
from tests.engines import Engine, with_tokens
from tests.ways_to_end import People

pytestmark = [
    pytest.mark.django_db,
    with_tokens,
    pytest.mark.usefixtures("engine"),
    pytest.mark.varies,
]


def test_who_revokes_is_told_when_it_holds(engine: Engine) -> None:
    people = People(engine)
    guard = admin_pages.browser(admin_pages.guard())
    path = admin_pages.page(people.first.row, "delete")
    page = guard.post(path, {"post": "yes"}, follow=True).text
    assert "Revoked 1 session." in page
    assert "Sessions lie in cookies: what was revoked is refused within 60 seconds." in page
    with override_settings(SESSIONKIT_LEASE=0):
        path = admin_pages.page(people.hers[1].row, "delete")
        page = guard.post(path, {"post": "yes"}, follow=True).text
    assert "Revoked 1 session." in page
    assert "Sessions lie in cookies" not in page


def test_the_list_shows_who_is_signed_in_and_which_is_ones_own(engine: Engine) -> None:
    People(engine)
    guard = admin_pages.browser(admin_pages.guard())
    page = guard.get("/admin/sessionkit/session/").text
    assert page.count("alice") >= 3
    assert "bob" in page
    own = engine.split_key(guard.cookies["sessionid"].value)
    assert own is not None
    assert str(own.public_id) in page
    for secret in (guard.cookies["sessionid"].value, own.secret):
        assert secret not in page
    assert Session.objects.filter(data=None).count() == Session.objects.count()
