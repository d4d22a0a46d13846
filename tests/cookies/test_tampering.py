"""Cookies that somebody made up or changed: an empty session, no exception, and no query."""

from __future__ import annotations

import dataclasses
import logging
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape
from django.views.debug import ExceptionReporter
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_sessionkit import registry
from django_sessionkit.exceptions import CookieTooLarge
from django_sessionkit.keys import secret_to_text
from django_sessionkit.models import Session
from django_sessionkit.moments import microseconds
from django_sessionkit.storage.claims import Claims, claims_from
from django_sessionkit.tokens.errors import BadToken
from tests.browsers import Browser, secret_part
from tests.cases import looped
from tests.engines import Engine, with_each_token

pytestmark = [pytest.mark.django_db, with_each_token, pytest.mark.usefixtures("engine")]

many = hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def signed_in(engine: Engine) -> str:
    session = engine.store()
    session["_auth_user_id"] = "1"
    session.save()
    token: str = session.session_key
    return token


def visitors(engine: Engine) -> str:
    session = engine.store()
    session["cat"] = "Felix"
    session.save()
    token: str = session.session_key
    return token


def assert_worthless(engine: Engine, token: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        session = engine.store(token)
        assert session.load() == {}
        assert session.session_key is None
        assert session.public_id is None
        assert dict(session.items()) == {}
        assert not session.is_retired
        assert not engine.store().exists(token)
        engine.store().delete(token)
        engine.store(token).flush()
    assert list(queries) == []


@many
@given(data=st.data())
def test_a_token_that_was_changed_anywhere_is_an_empty_session(
    engine: Engine, data: st.DataObject
) -> None:
    token = signed_in(engine)
    signed = token.removesuffix("~2")  # which is no part of what is authenticated
    start = data.draw(st.integers(0, len(signed)))
    end = data.draw(st.integers(start, min(start + 5, len(signed))))
    put = data.draw(st.text(st.sampled_from("ab.*_-=~%0Z é\0"), max_size=5))
    changed = signed[:start] + put + signed[end:]
    if changed not in (token, signed):
        assert_worthless(engine, changed)
    Session.objects.all().delete()


@many
@given(token=st.text(max_size=300) | st.from_regex(r"[\w.*~-]{8,200}", fullmatch=True))
def test_what_somebody_made_up_is_an_empty_session(engine: Engine, token: str) -> None:
    assert_worthless(engine, token)


def test_parts_of_different_tokens_make_none(engine: Engine) -> None:
    one, other = signed_in(engine), signed_in(engine)
    separator = "." if "." in one and "*" not in one else "*"
    ours, theirs = one.split(separator), other.split(separator)
    for place, part in enumerate(ours):
        if part != theirs[place]:
            mixed = [*ours[:place], theirs[place], *ours[place + 1 :]]
            assert_worthless(engine, separator.join(mixed))


@override_settings(SECRET_KEY="another site's")
def test_a_token_of_another_site_is_an_empty_session(engine: Engine) -> None:
    with override_settings(SECRET_KEY="this site's"):
        token = signed_in(engine)
    assert_worthless(engine, token)


def test_a_token_longer_than_any_cookie_is_not_looked_at(engine: Engine) -> None:
    assert_worthless(engine, signed_in(engine) + "x" * 5000)


def test_a_refused_token_is_logged_without_anything_of_it(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    token = signed_in(engine)
    with caplog.at_level(logging.INFO, "django.security.SuspiciousSession"):
        engine.store(token[:-8] + "AAAAAAAA").load()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "refused" in record.getMessage()
    assert token[10:30] not in caplog.text


def test_a_request_with_such_a_cookie_is_anonymous_and_leaves_it_alone(engine: Engine) -> None:
    browser = Browser(session_key=signed_in(engine)[:-5] + "AAAAA")
    assert browser.get("/whoami/").text == ""
    assert not browser.cookie_was_touched


def test_a_token_whose_end_is_over_is_an_empty_session(engine: Engine) -> None:
    content = engine.content(signed_in(engine))
    for ago in (timedelta(0), timedelta(seconds=1), timedelta(days=9999)):
        over = dataclasses.replace(content, expire_date=timezone.now() - ago)
        assert_worthless(engine, engine.token(over))


@looped(
    "change",
    [
        {"v": 2},
        {"v": "1"},
        {"v": None},
        {"sid": None},
        {"sid": 5},
        {"sid": "no id"},
        {"end": None},
        {"end": "soon"},
        {"end": 1.5},
        {"end": True},
        {"end": 10**30},
        {"end": -(10**30)},
        {"key": 5},
        {"key": "short"},
        {"key": "X" * 21 + "+"},
        {"checked": None},
        {"checked": "now"},
        {"checked": False},
        {"row_end": None},
        {"row_end": 10**30},
        {"auth_time": "yesterday"},
    ],
)
def test_what_is_authentic_but_not_as_we_write_it_is_refused(change: dict[str, Any]) -> None:
    now = microseconds(timezone.now())
    told = {
        "v": 1,
        "sid": "5e55104b-0000-8000-8100-00000000c0de",
        "end": now + 1_000_000,
        "key": "A" * 22,
        "checked": now,
        "row_end": now,
        "auth_time": 5,
    }
    content = claims_from(told, {})
    assert isinstance(content, Claims)
    assert content.checked_at == now
    with pytest.raises(BadToken):
        claims_from({**told, **change}, {})


@looped("expiry", ["soon", "", [], {}, None, 1e300, -1e300, "2030-01-01T00:00:00", {"at": 5}])
def test_an_expiry_that_another_program_has_written_does_no_harm(
    engine: Engine, expiry: object
) -> None:
    for token in (signed_in(engine), visitors(engine)):
        content = engine.content(token)
        content.data["_session_expiry"] = expiry
        session = engine.store(engine.token(content))
        assert "_session_expiry" not in session
        session["cat"] = "Tom"
        session.save()
        assert engine.store(session.session_key)["cat"] == "Tom"


def test_an_error_page_shows_no_secret(engine: Engine) -> None:
    token = signed_in(engine)
    key = engine.split_key(token)
    assert key is not None
    for value, error in (("x" * 5000, CookieTooLarge), (object(), TypeError)):
        session = engine.store(token)
        session["cart"] = value
        try:
            session.save()
        except error:
            request = RequestFactory().get("/")
            page = ExceptionReporter(request, *sys.exc_info()).get_traceback_html()
        else:
            pytest.fail("It was saved.")
        assert "_token_of" in page or "_make_token" in page
        assert secret_part(key) not in page
        assert secret_to_text(key.secret) not in page
        assert escape(repr(key.secret)) not in page


def test_a_token_with_somebody_elses_row_is_refused_when_the_row_is_asked(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    content = engine.content(signed_in(engine))
    forged = dataclasses.replace(content, data={"_auth_user_id": "2"}, checked_at=0)
    assert engine.store(engine.token(forged)).load() == {}
    assert "are not those of its user" in caplog.text


def test_a_forged_token_without_the_secret_is_refused_when_the_row_is_asked(
    engine: Engine,
) -> None:
    # With a stolen SECRET_KEY and a stolen table: the secret itself is in neither.
    content = engine.content(signed_in(engine))
    row = registry.find_session(content.public_id)
    assert row is not None
    guess = bytes(row.secret_hash)[:16]
    forged = dataclasses.replace(content, secret=guess, checked_at=0)
    assert engine.store(engine.token(forged)).load() == {}
