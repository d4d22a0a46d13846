"""What a browser meets around a login: lost answers, double clicks, other tabs, planted keys.

Each scene is played with each engine of ours and with an engine of Django's, which must not do
better. A ``Jar`` is a browser's cookie: every request leaves with what it holds at that moment, and
an answer changes it when it arrives, if it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user, update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import HttpRequest
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from django_sessionkit.models import Session
from django_sessionkit.storage import cache_data, entries
from django_sessionkit.storage.retired import IN_FLIGHT, KEPT_FOR, MAY_END, RETIRED_FOR
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine
from tests.interleaving import replaced_earlier, saved

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db,
    pytest.mark.usefixtures("engine", "alice"),
]

DJANGOS = "django.contrib.sessions.backends.cache"

Acts = Sequence[Callable[[str | None], object]]

urlpatterns = [
    path("", include("tests.urls")),
    path("reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(success_url="/")),
]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", "alice@example.com", "secret", is_staff=True)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass since the keys were replaced, in rows and in what caches hold of visitors."""

    passed = timedelta(0)

    def pass_by(by: timedelta) -> None:
        nonlocal passed
        passed += by
        replaced_earlier(by)
        for module in (cache_data, entries):
            monkeypatch.setattr(module, "RETIRED_FOR", RETIRED_FOR + passed)

    return pass_by


@contextmanager
def djangos_engine() -> Iterator[None]:
    with override_settings(SESSION_ENGINE=DJANGOS, SESSION_CACHE_ALIAS="default"):
        yield


class Jar:
    """The session cookie of one browser, and every one that it has had."""

    def __init__(self, *, is_async: bool, session_key: str | None = None) -> None:
        self.is_async = is_async
        self.session_key = session_key
        self.handed_out: list[str] = []

    def send(self, address: str, meanwhile: Callable[[], object] | None = None) -> Browser:
        """Send a request with the cookie of now; return what came back, not yet arrived."""
        browser = Browser(is_async=self.is_async, session_key=self.session_key)
        browser.get(address, meanwhile=meanwhile)
        if browser.cookie_was_touched and browser.session_key:
            self.handed_out.append(browser.session_key)
        return browser

    def receive(self, *answers: Browser) -> None:
        for answer in answers:
            if answer.cookie_was_touched:
                self.session_key = answer.session_key

    def get(self, address: str) -> Any:
        answer = self.send(address)
        self.receive(answer)
        return answer.response

    def user(self) -> str:
        name: str = self.get("/whoami/").text
        return name

    def sessions(self) -> int:
        """Return how many of the cookies that were handed out sign somebody in by now."""
        jars = [Jar(is_async=self.is_async, session_key=key) for key in set(self.handed_out)]
        return sum(jar.user() != "" for jar in jars)


def visitor(is_async: bool) -> Jar:
    """Return the jar of somebody who has put something into a cart."""
    jar = Jar(is_async=is_async)
    jar.get("/set/cart/tea/")
    return jar


# 1. The answer to a login is lost, and the browser goes on with the key of before.


def lose_the_login(is_async: bool) -> Jar:
    jar = visitor(is_async)
    jar.send("/login/alice/")
    return jar


@both_ways
def test_after_a_lost_login_a_second_one_signs_in_at_once(is_async: bool) -> None:
    jar = lose_the_login(is_async)
    assert jar.user() == ""
    jar.get("/login/alice/")
    assert jar.user() == "alice"
    with djangos_engine():
        jar = lose_the_login(is_async)
        jar.get("/login/alice/")
        assert jar.user() == "alice"


@both_ways
def test_after_a_lost_login_the_browser_can_store_something_five_seconds_later(
    is_async: bool, later: Callable[[timedelta], None]
) -> None:
    jar = lose_the_login(is_async)
    later(IN_FLIGHT + timedelta(seconds=1))
    jar.get("/set/form/token/")
    assert jar.get("/read/").json()["form"] == "token"


@both_ways
def test_in_those_five_seconds_it_stores_nothing_and_keeps_its_cookie(
    engine: Engine, is_async: bool
) -> None:
    jar = lose_the_login(is_async)
    answer = jar.send("/set/form/token/")
    # A visitor's token has no row that could have moved on.
    assert answer.cookie_was_touched is engine.key_is_token


# 2. A double click on "sign in".


def click_twice(is_async: bool, *, first_is_lost: bool) -> Jar:
    jar = visitor(is_async)
    first: list[Browser] = []
    second = jar.send("/login/alice/", meanwhile=lambda: first.append(jar.send("/login/alice/")))
    jar.receive(*([] if first_is_lost else first), second)
    return jar


@both_ways
def test_a_double_click_signs_in_whichever_answer_arrives(is_async: bool) -> None:
    for first_is_lost in (True, False):
        jar = click_twice(is_async, first_is_lost=first_is_lost)
        assert jar.user() == "alice", first_is_lost
        ours = jar.sessions()
        with djangos_engine():
            jar = click_twice(is_async, first_is_lost=first_is_lost)
            assert jar.user() == "alice"
            assert ours <= jar.sessions() == 2, first_is_lost


@both_ways
def test_a_second_click_after_the_first_was_answered_signs_in_too(is_async: bool) -> None:
    jar = visitor(is_async)
    first = jar.send("/login/alice/")  # its answer is under way when the second click leaves
    second = jar.send("/login/alice/")
    for answers in ([first, second], [second, first], [second]):
        tried = Jar(is_async=is_async, session_key=jar.session_key)
        tried.receive(*answers)
        assert tried.user() == "alice"


# 3. Another tab has a request in flight while somebody signs in.


@both_ways
@pytest.mark.parametrize("address", ["/set/late/x/", "/read/", "/logout/", "/whoami/"])
def test_another_tab_in_flight_does_not_sign_a_login_out_again(
    engine: Engine, is_async: bool, address: str
) -> None:
    jar = visitor(is_async)
    logins: list[Browser] = []
    late = jar.send(address, meanwhile=lambda: logins.append(jar.send("/login/alice/")))
    if engine.key_is_token and address in ("/set/late/x/", "/logout/"):
        assert late.cookie_was_touched  # as with Django's: of two cookies the later wins
        return
    jar.receive(*logins, late)
    assert jar.user() == "alice"
    assert "late" not in jar.get("/read/").json()


@both_ways
def test_a_tab_that_arrives_after_the_login_with_the_key_of_before_leaves_the_cookie_alone(
    engine: Engine, is_async: bool
) -> None:
    jar = visitor(is_async)
    login = jar.send("/login/alice/")
    late = jar.send("/set/late/x/")
    if engine.key_is_token:
        return  # a visitor's token is good as long as it says
    jar.receive(login, late)
    assert jar.user() == "alice"


# 4. A planted key.


@both_ways
def test_a_planted_key_never_leads_into_the_session_of_the_victim(
    is_async: bool, later: Callable[[timedelta], None]
) -> None:
    planted = visitor(is_async).session_key
    victim = Jar(is_async=is_async, session_key=planted)
    victim.get("/login/alice/")
    for seconds in (0, 4, 5, 60):
        later(timedelta(seconds=seconds))
        attacker = Jar(is_async=is_async, session_key=planted)
        assert attacker.user() == "", seconds
        attacker.get("/logout/")
        attacker.get("/set/evil/x/")
        assert victim.user() == "alice", seconds
        assert "evil" not in victim.get("/read/").json(), seconds


@both_ways
def test_a_made_up_secret_under_an_id_in_use_keeps_nobody_from_starting_over(
    engine: Engine, is_async: bool
) -> None:
    victim = Jar(is_async=is_async, session_key=engine.wrong_key(saved(_auth_user_id="1")))
    victim.get("/set/form/token/")
    assert victim.get("/read/").json() == {"form": "token"}
    victim.get("/login/alice/")
    assert victim.user() == "alice"


# 5. Reset links, forms and OAuth, whose tokens lie in the session.


def client_with(session_key: str, is_async: bool) -> Any:
    kind: Any = AsyncClient if is_async else Client
    client = kind(enforce_csrf_checks=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = session_key
    return client


def fetch(client: Any, method: str, address: str, **more: Any) -> Any:
    call = getattr(client, method)
    if isinstance(client, AsyncClient):
        call = async_to_sync(call)
    return call(address, **more)


@both_ways
@override_settings(ROOT_URLCONF="tests.test_key_replacement")
def test_a_reset_link_opens_its_form_under_a_made_up_key(
    engine: Engine, is_async: bool, alice: User
) -> None:
    client = client_with(engine.wrong_key(saved(_auth_user_id="1")), is_async)
    name = urlsafe_base64_encode(force_bytes(alice.pk))
    link = f"/reset/{name}/{default_token_generator.make_token(alice)}/"
    page = fetch(client, "get", link, follow=True)
    assert page.context["validlink"]


@both_ways
@override_settings(CSRF_USE_SESSIONS=True)
def test_a_form_whose_token_lies_in_the_session_can_be_sent_under_a_made_up_key(
    engine: Engine, is_async: bool
) -> None:
    client = client_with(engine.wrong_key(saved(_auth_user_id="1")), is_async)
    page = fetch(client, "get", "/admin/login/")
    form = {"username": "alice", "password": "secret", "next": "/whoami/"}
    form["csrfmiddlewaretoken"] = str(page.context["csrf_token"])
    answer = fetch(client, "post", "/admin/login/", data=form)
    assert answer.status_code == 302, answer.status_code
    assert fetch(client, "get", "/whoami/").text == "alice"


@both_ways
def test_the_state_of_an_oauth_form_post_is_found_again(engine: Engine, is_async: bool) -> None:
    """The answer of the other site is a cross-site POST: without our cookie, if that is Lax."""
    jar = Jar(is_async=is_async, session_key=engine.wrong_key(saved(_auth_user_id="1")))
    jar.get("/set/state/xyz/")
    without_cookie = Jar(is_async=is_async)
    without_cookie.get("/read/")
    assert without_cookie.session_key is None  # so the browser's own cookie stays
    assert jar.get("/read/").json()["state"] == "xyz"


# 6. Parallel logins.


def four_logins(jar: Jar, order: list[int]) -> None:
    answers: list[Browser] = []

    def nested(count: int) -> None:
        more = (lambda: nested(count - 1)) if count > 1 else None
        answers.append(jar.send("/login/alice/", meanwhile=more))

    nested(4)
    jar.receive(*(answers[place] for place in order))


@both_ways
def test_four_parallel_logins_make_no_more_sessions_than_djangos_engine(is_async: bool) -> None:
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2]):
        jar = visitor(is_async)
        four_logins(jar, order)
        assert jar.user() == "alice", order
        ours = jar.sessions()
        with djangos_engine():
            jar = visitor(is_async)
            four_logins(jar, order)
            assert ours <= jar.sessions(), order


@both_ways
@pytest.mark.parametrize("is_old", [False, True], ids=["a new key", "a key of a minute ago"])
def test_whoever_signs_in_at_each_request_has_one_session(
    engine: Engine, is_async: bool, is_old: bool, later: Callable[[timedelta], None]
) -> None:
    jar = Jar(is_async=is_async)
    jar.get("/login/alice/")
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2]):
        if is_old:
            later(KEPT_FOR)
        four_logins(jar, order)
        if is_old and len(order) == 1:
            # The only answer that carries the new key was lost. See the next scene.
            continue
        assert jar.user() == "alice", order
    assert Session.objects.count() == 1


@both_ways
def test_a_login_with_a_key_of_the_same_user_that_was_just_replaced_counts_for_this_request(
    engine: Engine, is_async: bool, later: Callable[[timedelta], None]
) -> None:
    jar = Jar(is_async=is_async)
    jar.get("/login/alice/")
    later(KEPT_FOR)
    with_new_key = jar.send("/login/alice/")
    if engine.key_is_token:
        jar.session_key = engine.aged(jar.session_key or "")
    beside = jar.send("/login-and-wait/alice/")
    assert beside.response.status_code == 200
    assert not beside.cookie_was_touched
    assert Session.objects.count() == 1
    old = jar.session_key
    jar.receive(beside, with_new_key)
    assert jar.user() == "alice"
    # Five seconds later it is an unknown key, whose login gets a session of its own.
    later(IN_FLIGHT + timedelta(seconds=1))
    jar.session_key = old
    jar.get("/login/alice/")
    assert jar.user() == "alice"
    assert Session.objects.count() == 2


# 7. Signing out.


@both_ways
def test_a_key_that_was_the_users_a_minute_ago_signs_out(
    engine: Engine, is_async: bool, later: Callable[[timedelta], None]
) -> None:
    for seconds, ends in ((0, True), (59, True), (61, False)):
        Session.objects.all().delete()
        jar = Jar(is_async=is_async)
        jar.get("/login/alice/")
        old = jar.session_key or ""
        later(KEPT_FOR)
        jar.get("/login/alice/")
        assert jar.session_key != old
        later(timedelta(seconds=seconds))
        late = Jar(is_async=is_async, session_key=engine.aged(old) if engine.key_is_token else old)
        answer = late.send("/logout/")
        assert answer.cookie_was_deleted is ends, seconds
        assert (jar.user() == "") is ends, seconds
    assert timedelta(seconds=60) == MAY_END


@both_ways
def test_a_slow_request_is_judged_by_when_it_arrived(
    engine: Engine,
    is_async: bool,
    later: Callable[[timedelta], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits in the view for longer than its key would count as in flight."""
    jar = visitor(is_async)
    if engine.key_is_token:
        return  # a visitor's token is never retired
    logins: list[Browser] = []

    def sign_in_and_wait(request: HttpRequest) -> None:
        logins.append(Browser(is_async=is_async, session_key=jar.session_key))
        logins[0].get("/login/alice/")
        later(timedelta(seconds=30))
        session: Any = request.session
        session.facts = session.facts._replace(arrived_at=session.facts.arrived_at - 31)
        request.session["late"] = "x"

    monkeypatch.setitem(views.acts, "slow", sign_in_and_wait)
    late = jar.send("/do/slow/")
    assert not late.cookie_was_touched
    jar.receive(logins[0], late)
    assert jar.user() == "alice"


# 8. What a save sends.


@both_ways
@override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
def test_a_save_does_not_repeat_a_cookie_that_ends_with_the_browser(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = visitor(is_async)
    assert jar.send("/set/milk/x/").cookie_was_touched is engine.key_is_token
    monkeypatch.setitem(views.acts, "longer", lambda request: request.session.set_expiry(3600))
    longer = jar.send("/do/longer/")
    assert longer.cookie_was_touched
    jar.receive(longer)
    assert jar.send("/set/sugar/x/").cookie_was_touched
    monkeypatch.setitem(views.acts, "shorter", lambda request: request.session.set_expiry(0))
    shorter = jar.send("/do/shorter/")
    assert shorter.response.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == ""


# 9. A change of the password, during which the row has another password's hash.


def change_password(
    jar: Jar, monkeypatch: pytest.MonkeyPatch, *, before: Acts = (), after: Acts = ()
) -> None:
    """Let alice change her password, and do the acts before and after the key is cycled."""

    def change(request: HttpRequest) -> None:
        user: Any = request.user
        old_key = request.session.session_key
        user.set_password("another")
        user.save()
        for act in before:
            act(old_key)
        update_session_auth_hash(request, user)
        for act in after:
            act(old_key)

    jar.get("/login/alice/")
    monkeypatch.setitem(views.acts, "change", change)
    jar.receive(jar.send("/do/change/"))


@both_ways
def test_a_request_beside_a_change_of_the_password_does_not_sign_the_browser_out(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = Jar(is_async=is_async)
    poll = [lambda _: jar.send("/whoami/")]
    change_password(jar, monkeypatch, before=poll)
    assert jar.user() == "alice"
    change_password(jar, monkeypatch, after=poll)
    assert jar.user() == "alice"
    with djangos_engine():
        jar.session_key = None
        change_password(jar, monkeypatch, before=poll, after=poll)
        assert jar.user() == "alice"


def test_a_store_of_the_key_of_before_does_not_end_the_session_whose_password_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """allauth's tokens open one, to see whether they are good still."""

    def look(old_key: str | None) -> None:
        other = HttpRequest()
        other.session = import_module(settings.SESSION_ENGINE).SessionStore(old_key)
        assert not get_user(other).is_authenticated

    jar = Jar(is_async=False)
    change_password(jar, monkeypatch, after=[look])
    assert jar.user() == "alice"
    with djangos_engine():
        jar.session_key = None
        change_password(jar, monkeypatch, after=[look])
        assert jar.user() == "alice"


@both_ways
def test_a_change_of_the_password_that_is_rolled_back_leaves_the_browser_signed_in(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(request: HttpRequest) -> None:
        user: Any = request.user
        with suppress(ZeroDivisionError), transaction.atomic():
            user.set_password("another")
            user.save()
            raise ZeroDivisionError

    jar = Jar(is_async=is_async)
    jar.get("/login/alice/")
    monkeypatch.setitem(views.acts, "change", change)
    jar.receive(jar.send("/do/change/"))
    assert jar.user() == "alice"
    assert jar.sessions() == 1
