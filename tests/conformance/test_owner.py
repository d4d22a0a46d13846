"""Whose session it is and who is asking, right from the first request on."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import SESSION_KEY, alogin, get_user_model, login
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.models import Session
from tests.cases import for_each
from tests.conformance.engines import in_sync_code, with_keys_that_stay
from tests.conformance.faces import Faces
from tests.engines import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine")]

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
ADDRESS = "192.0.2.7"
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("alice", password="secret")


def client() -> Client:
    return Client(headers={"user-agent": AGENT}, REMOTE_ADDR=ADDRESS)


def client_of(session: AbstractSession) -> tuple[str | None, str]:
    return session.ip_address, session.user_agent


def test_a_login_in_a_view_is_known_at_once(user: User) -> None:
    before = timezone.now()
    client().get("/login/alice/")
    session = Session.objects.get()
    assert session.user == user
    assert client_of(session) == (ADDRESS, AGENT)
    for moment in (session.created_at, session.authenticated_at, session.last_seen_at):
        assert moment is not None
        assert before <= moment <= timezone.now()


def test_a_login_in_an_async_view_is_known_at_once(user: User) -> None:
    async_to_sync(AsyncClient().get)("/async/login/alice/", headers={"user-agent": AGENT})
    session = Session.objects.get()
    assert session.user == user
    assert client_of(session) == ("127.0.0.1", AGENT)
    assert session.authenticated_at is not None


def test_a_login_in_the_admin_is_known_at_once(user: User) -> None:
    response = client().post("/admin/login/", {"username": "alice", "password": "secret"})
    assert response.status_code == 302
    session = Session.objects.get(user=user)
    assert client_of(session) == (ADDRESS, AGENT)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_forced_login_has_its_owner_and_the_client_of_the_first_request(
    user: User, engine: Engine, is_async: bool
) -> None:
    browser = client()
    if is_async:
        async_to_sync(browser.aforce_login)(user)
    else:
        browser.force_login(user)
    session = Session.objects.get(user=user)
    assert client_of(session) == (None, "")
    with override_settings(SESSIONKIT_LEASE=engine.lease_of_saves):
        browser.get("/set/cat/Tom/")
    assert client_of(Session.objects.get(user=user)) == (ADDRESS, AGENT)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_login_without_a_middleware_takes_the_client_of_its_request(
    user: User, engine: Engine, is_async: bool
) -> None:
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": ADDRESS, "HTTP_USER_AGENT": AGENT}
    request.session = engine.store()
    (async_to_sync(alogin) if is_async else login)(request, user, backend=BACKEND)
    request.session.save()
    session = Session.objects.get(user=user)
    assert client_of(session) == (ADDRESS, AGENT)
    assert session.authenticated_at is not None


def test_the_owner_is_in_the_row_after_any_save(faces: Faces, user: User) -> None:
    faces.saved({SESSION_KEY: str(user.pk)})
    session = Session.objects.get()
    assert session.user == user
    assert session.authenticated_at is not None


def test_the_owner_leaves_with_the_data(faces: Faces, user: User) -> None:
    session_key = faces.saved({SESSION_KEY: str(user.pk), "cat": "Tom"}).session_key
    session = faces.open(session_key)
    session.pop(SESSION_KEY)
    session.save()
    for row in Session.objects.all():
        assert (row.user_id, row.authenticated_at) == (None, None)


def test_a_bare_save_keeps_owner_client_and_times(user: User, faces: Faces) -> None:
    browser = client()
    browser.get("/login/alice/")
    before = Session.objects.get()
    session_key = browser.cookies["sessionid"].value
    faces.open(session_key).save()
    session = faces.open(session_key)
    session.set("cat", "Tom")
    session.save()
    after = Session.objects.get()
    for field in ("user_id", "ip_address", "user_agent", "created_at", "authenticated_at"):
        assert getattr(after, field) == getattr(before, field)
    assert after.last_seen_at == before.last_seen_at


def test_a_bare_save_moves_the_end(user: User, faces: Faces, engine: Engine) -> None:
    browser = client()
    browser.get("/login/alice/")
    before = Session.objects.get()
    with override_settings(SESSIONKIT_LEASE=engine.lease_of_saves):
        faces.open(browser.cookies["sessionid"].value).save()
    assert Session.objects.get().expire_date > before.expire_date


MISFITS = ["not a number", "", "1.5", 1e400, [], {}, 2**200, -(2**200), "9" * 900, None, "٣x"]


@in_sync_code
def test_an_owner_that_does_not_fit_the_user_model_is_nobody(faces: Faces) -> None:
    for_each(MISFITS, partial(is_nobody, faces))


def is_nobody(faces: Faces, value: Any) -> None:
    """Save a session of this user's, as the site writes down whose it is."""
    Session.objects.all().delete()
    session_key = faces.saved({SESSION_KEY: value, "cat": "Tom"}).session_key
    assert faces.read(session_key)["cat"] == "Tom"
    assert [row.user_id for row in Session.objects.all()] in ([], [None])


@with_keys_that_stay
@in_sync_code
def test_an_owner_longer_than_any_cookie_is_nobody(faces: Faces) -> None:
    # Python does not convert it: it has more digits than sys.get_int_max_str_digits() allows.
    is_nobody(faces, "9" * 5000)


@in_sync_code
def test_an_owner_who_is_not_there_is_no_error(faces: Faces) -> None:
    faces.saved({SESSION_KEY: "987654"})
    assert Session.objects.get().user_id == 987654
    with pytest.raises(get_user_model().DoesNotExist):
        _ = Session.objects.get().user


def test_the_session_key_is_in_no_column_and_in_no_text(faces: Faces, user: User) -> None:
    session = faces.saved({SESSION_KEY: str(user.pk)})
    session.cycle_key()
    session.save()
    session_key = session.session_key
    secret = faces.engine.split_key(session_key).secret  # type: ignore[union-attr]
    row = Session.objects.values().get()
    texts = [*row.values(), bytes(row["secret_hash"])]
    for text in (*map(repr, texts), repr(session.store), str(session.store)):
        assert session_key not in text
        assert secret not in text
    shown = Session.objects.get()
    assert str(shown) == str(session.public_id)
    assert secret not in repr(shown) + str(vars(shown))
