"""The settings on the page about cookies are a site that works."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.test import override_settings

from django_sessionkit.models import Session
from tests.browsers import Browser
from tests.cookies.page import BLOCKS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize("name", ["signed", "encrypted"])
def test_an_engine_needs_no_more_than_its_name(name: str) -> None:
    settings: dict[str, object] = {}
    exec(BLOCKS[name], settings)  # noqa: S102 - our own page
    engine = str(settings["SESSION_ENGINE"])
    assert engine == f"django_sessionkit.backends.{name}_cookies"
    User.objects.create_user("alice")
    with override_settings(SESSION_ENGINE=engine):
        assert checks.run_checks(tags=["sessionkit"]) == []
        browser = Browser()
        browser.get("/login/alice/")
        assert browser.get("/whoami/").text == "alice"
        assert Session.objects.get().public_id == browser.public_id
