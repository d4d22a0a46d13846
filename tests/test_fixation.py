"""Fixation: a planted key, and every key that a login has retired, is worth nothing.

The attacker knows the session key that the victim's browser holds before the login, and goes on
using it in a browser of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from django_sessionkit.models import Session
from django_sessionkit.storage.retired import KEPT_FOR
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine
from tests.interleaving import replaced_earlier, saved

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.database]


@pytest.fixture(autouse=True)
def users() -> None:
    for name in ("victim", "mallory"):
        User.objects.create_user(name)


@pytest.fixture
def attacker(is_async: bool) -> Browser:
    browser = Browser(is_async=is_async)
    browser.get("/set/planted/x/")
    browser.data()  # so that there is a copy, where the engine makes one
    return browser


@pytest.fixture
def victim(attacker: Browser) -> Browser:
    return Browser(is_async=attacker.is_async, session_key=attacker.session_key)


def is_nobodys(attacker: Browser, engine: Engine) -> None:
    """The planted key opens nothing; a token, which nobody can take back, a visitor's session."""
    assert attacker.get("/whoami/").text == ""
    data = attacker.data()
    if engine.key_is_token:
        assert data in [{"planted": "x"}, {"planted": "x", "evil": "x"}, {}]
    else:
        assert data == {}


def secret_of(browser: Browser) -> dict[str, object]:
    """Let the victim store a secret; return what the session then holds."""
    browser.get("/set/secret/s3cret/")
    return browser.data()


READS = ["/read/", "/whoami/", "/untouched/"]
WRITES = ["/set/evil/x/", "/pop/planted/", "/logout/"]
each_path = pytest.mark.parametrize(
    ("path", "is_async"),
    [
        *((path, False) for path in READS + WRITES),
        *(
            pytest.param(path, True, marks=pytest.mark.slow)
            for path in ("/read/", "/set/evil/x/", "/logout/")
        ),
    ],
)


@each_path
@pytest.mark.parametrize("save_always", [False, True], ids=["", "every request saved"])
def test_a_planted_key_is_worth_nothing_after_the_login(
    engine: Engine, attacker: Browser, victim: Browser, path: str, save_always: bool
) -> None:
    planted = attacker.session_key
    victim.get("/login/victim/")
    assert victim.session_key != planted
    before = secret_of(victim)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=save_always):
        response = attacker.get(path)
    assert response.status_code == 200
    assert "victim" not in response.text
    assert "s3cret" not in response.text
    goes_on = engine.key_is_token and (path in WRITES or save_always)
    assert attacker.cookie_was_touched is goes_on
    assert victim.data() == before
    assert victim.get("/whoami/").text == "victim"
    assert Session.objects.count() == 1
    is_nobodys(attacker, engine)


@each_path
@pytest.mark.parametrize("wait", ["login", "login-and-wait"])
def test_a_planted_key_used_during_the_login_sees_and_stores_nothing_of_the_victims(
    engine: Engine, attacker: Browser, victim: Browser, path: str, wait: str
) -> None:
    victim.get(f"/{wait}/victim/", meanwhile=lambda: attacker.get(path))
    data = victim.data()
    # What came before the login's save is the visitor's, as ever; nothing after it. What another
    # browser stores with a token is in another token.
    is_seen = "evil" in path and not engine.key_is_token
    assert data.get("evil") == ("x" if is_seen else None)
    assert victim.get("/whoami/").text == "victim"
    assert "_auth_user_id" not in attacker.response.text
    assert "victim" not in attacker.response.text
    before = secret_of(victim)
    for later in [*READS, *WRITES]:
        assert "s3cret" not in attacker.get(later).text
    assert victim.data() == before
    is_nobodys(attacker, engine)


@both_ways
@pytest.mark.parametrize("path", [*READS[:2], "/set/evil/x/", "/pop/planted/"])
def test_a_request_in_flight_when_the_victim_signs_in_stores_nothing_and_touches_no_cookie(
    engine: Engine, attacker: Browser, victim: Browser, path: str
) -> None:
    _overlap_with_the_login(engine, attacker, victim, path)


@both_ways
def test_a_logout_in_flight_when_the_victim_signs_in_ends_nothing_and_touches_no_cookie(
    engine: Engine, attacker: Browser, victim: Browser
) -> None:
    _overlap_with_the_login(engine, attacker, victim, "/logout/")


def _overlap_with_the_login(engine: Engine, attacker: Browser, victim: Browser, path: str) -> None:
    attacker.get(path, meanwhile=lambda: victim.get("/login/victim/"))
    assert attacker.response.status_code == 200
    assert "victim" not in attacker.response.text
    # A visitor's token goes on as one, beside the victim's; of two responses the later wins.
    assert attacker.cookie_was_touched is (engine.key_is_token and path in WRITES)
    assert "evil" not in victim.data()
    assert "planted" in victim.data()
    assert victim.get("/whoami/").text == "victim"
    is_nobodys(attacker, engine)


@both_ways
def test_an_attacker_signed_in_under_the_planted_key_does_not_share_the_victims_session(
    attacker: Browser, victim: Browser
) -> None:
    attacker.get("/login/mallory/")
    victim.session_key = attacker.session_key or ""
    victim.get("/login/victim/", meanwhile=lambda: attacker.get("/set/evil/x/"))
    before = secret_of(victim)
    assert "evil" not in before
    assert "planted" not in before
    assert attacker.get("/whoami/").text == ""
    attacker.get("/set/evil/x/")
    assert victim.data() == before


@both_ways
@pytest.mark.parametrize("wait", ["login", "login-and-wait"])
def test_two_logins_at_once_from_one_visitors_session_get_a_session_each(
    engine: Engine, attacker: Browser, victim: Browser, wait: str
) -> None:
    victim.get(f"/{wait}/victim/", meanwhile=lambda: attacker.get("/login/mallory/"))
    assert victim.session_key != attacker.session_key
    assert victim.row.public_id != attacker.row.public_id
    assert victim.get("/whoami/").text == "victim"
    assert attacker.get("/whoami/").text == "mallory"
    assert victim.data()["planted"] == "x"
    assert attacker.data()["planted"] == "x"
    secret_of(victim)
    assert "secret" not in attacker.data()


@both_ways
def test_a_login_with_a_retired_key_gets_a_session_of_its_own(
    engine: Engine, attacker: Browser, victim: Browser
) -> None:
    victim.get("/login/victim/")
    before = secret_of(victim)
    attacker.get("/login/mallory/")
    assert attacker.cookie_was_touched
    assert attacker.get("/whoami/").text == "mallory"
    # A visitor's token is not retired: what is in it is the visitor's, and goes along.
    assert ("planted" in attacker.data()) is engine.key_is_token
    assert "secret" not in attacker.data()
    assert victim.data() == before
    assert attacker.row.public_id != victim.row.public_id


@both_ways
def test_signing_in_again_as_the_same_user_changes_the_key_and_keeps_the_session(
    is_async: bool,
) -> None:
    browser = Browser(is_async=is_async)
    browser.get("/login/victim/")
    browser.get("/set/cart/x/")
    replaced_earlier(KEPT_FOR)
    before, old_key = browser.row, browser.session_key
    browser.get("/login/victim/")
    assert browser.session_key != old_key
    assert browser.row.public_id == before.public_id
    assert browser.row.created_at == before.created_at
    assert (browser.row.authenticated_at or before.created_at) > before.created_at
    assert browser.data()["cart"] == "x"
    stale = Browser(is_async=is_async, session_key=old_key)
    assert stale.get("/whoami/").text == ""
    assert not stale.cookie_was_touched
    assert browser.get("/whoami/").text == "victim"


@both_ways
@pytest.mark.parametrize("path", ["/set/late/x/", "/read/"])
def test_another_tab_in_flight_does_not_touch_the_cookie_of_a_new_login(
    is_async: bool, path: str
) -> None:
    tab = Browser(is_async=is_async)
    tab.get("/login/victim/")
    replaced_earlier(KEPT_FOR)
    other = Browser(is_async=is_async, session_key=tab.session_key)
    tab.get(path, meanwhile=lambda: other.get("/login/victim/"))
    assert not tab.cookie_was_touched
    assert other.session_key != tab.session_key
    assert other.get("/whoami/").text == "victim"
    assert "late" not in other.data()


@both_ways
def test_a_logout_in_one_tab_is_not_undone_by_signing_in_again_in_another(
    is_async: bool,
) -> None:
    tab = Browser(is_async=is_async)
    tab.get("/login/victim/")
    replaced_earlier(KEPT_FOR)
    other = Browser(is_async=is_async, session_key=tab.session_key)
    tab.get("/logout/", meanwhile=lambda: other.get("/login/victim/"))
    assert tab.cookie_was_deleted
    assert other.get("/whoami/").text == ""
    assert not Session.objects.exists()


@both_ways
def test_a_logout_that_ended_nothing_leaves_the_cookie_of_a_later_login_alone(
    is_async: bool,
) -> None:
    tab = Browser(is_async=is_async)
    tab.get("/login/victim/")
    other = Browser(is_async=is_async, session_key=tab.session_key)

    def out_and_in() -> None:
        other.get("/logout/")
        other.get("/login/victim/")

    tab.get("/logout/", meanwhile=out_and_in)
    assert other.get("/whoami/").text == "victim"
    assert not tab.cookie_was_touched


@both_ways
def test_a_login_as_somebody_else_ends_the_session_whatever_its_key_is_by_then(
    is_async: bool,
) -> None:
    tab = Browser(is_async=is_async)
    tab.get("/login/victim/")
    replaced_earlier(KEPT_FOR)
    other = Browser(is_async=is_async, session_key=tab.session_key)
    tab.get("/login/mallory/", meanwhile=lambda: other.get("/login/victim/"))
    assert tab.get("/whoami/").text == "mallory"
    assert other.get("/whoami/").text == ""
    assert [row.user_id for row in Session.objects.all()] == [tab.row.user_id]


def _create(request: HttpRequest) -> None:
    if not request.session.session_key:
        request.session.create()


def _cycle(request: HttpRequest) -> None:
    request.session["mine"] = "x"
    request.session.cycle_key()


def _flush_and_fill(request: HttpRequest) -> None:
    request.session.flush()
    request.session["mine"] = "x"


@both_ways
@pytest.mark.parametrize(
    ("act", "is_signed_in"),
    [
        (_create, False),
        (_cycle, False),
        (_flush_and_fill, False),
        (_create, True),
        (_cycle, True),  # and who flushes signs out, see test_key_replacement.py
    ],
)
def test_nothing_but_a_login_starts_a_session_over_a_retired_key(
    engine: Engine,
    attacker: Browser,
    victim: Browser,
    act: Callable[[HttpRequest], None],
    is_signed_in: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def view(request: HttpRequest) -> None:
        request.session.get("read")
        act(request)

    monkeypatch.setitem(views.acts, "act", view)
    victim.get("/login/victim/")
    if is_signed_in:
        attacker.session_key = victim.session_key or ""
        replaced_earlier(KEPT_FOR)
        victim.get("/login/victim/")
        assert victim.session_key != attacker.session_key
    # The same browser's other tab, on its way with the key of before.
    response = attacker.get("/do/act/")
    assert response.status_code == 200
    if is_signed_in or not engine.key_is_token:
        assert not attacker.cookie_was_touched
    assert Session.objects.count() == 1
    assert attacker.get("/whoami/").text == ""
    assert victim.get("/whoami/").text == "victim"


@pytest.mark.django_db(transaction=True)
def test_logins_that_start_at_once_under_one_planted_key_share_nothing(engine: Engine) -> None:
    count = 4
    planted = saved(planted="x")
    users = [User.objects.create_user(f"user{number}") for number in range(count)]
    barrier = threading.Barrier(count)
    keys: dict[int, str | None] = {}

    def sign_in(number: int) -> None:
        try:
            request = RequestFactory().get("/")
            request.session = engine.store(planted)
            request.session.get("planted")
            barrier.wait(30)
            login(request, users[number], backend=views.BACKEND)
            request.session.save()
            keys[number] = request.session.session_key
        finally:
            connections.close_all()

    threads = [threading.Thread(target=sign_in, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(keys.values())) == count
    for number, key in keys.items():
        assert Browser(session_key=key).get("/whoami/").text == f"user{number}"
    is_nobodys(Browser(session_key=planted), engine)


@both_ways
def test_a_login_after_the_session_was_cleared_leaves_no_session_of_before(
    is_async: bool, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("alice")
    User.objects.create_user("bob")
    browser = Browser(is_async=is_async)
    browser.get("/login/bob/")
    old = browser.session_key

    def clear_and_sign_in(request: HttpRequest) -> HttpResponse:
        request.session.clear()
        return views.sign_in(request, "alice")

    monkeypatch.setitem(views.acts, "act", clear_and_sign_in)
    browser.get("/do/act/")
    assert browser.get("/whoami/").text == "alice"
    assert Browser(is_async=is_async, session_key=old).get("/whoami/").text == ""
    assert Session.objects.count() == 1
