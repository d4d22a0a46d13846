"""What happens to users happens to their sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason, session_ended
from tests.app import views
from tests.app.models import Member
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_keys_that_stay
from tests.interleaving import elsewhere

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.varies]

OLD, NEW = "anchors-aweigh-1", "anchors-aweigh-2"


@pytest.fixture(autouse=True)
def alice() -> User:
    return User.objects.create_user("alice", password=OLD)


@pytest.fixture(autouse=True)
def bob(engine: Engine) -> User:
    """Somebody whose session has to stay whatever happens to alice."""
    bob = User.objects.create_user("bob", password=OLD)
    browser = Browser()
    browser.get("/login/bob/")
    return bob


@pytest.fixture
def reasons(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Iterator[Callable[[Callable[[], object]], set[str]]]:
    told: list[str] = []

    def listen(reason: SessionEndReason, **kwargs: object) -> None:
        told.append(reason.value)

    def run(act: Callable[[], object]) -> set[str]:
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        return set(told)

    session_ended.connect(listen)
    yield run
    session_ended.disconnect(listen)


def sign_in(*, is_async: bool = False) -> Browser:
    """Return a browser in which alice has signed in, and whose session has been read since."""
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.data()
    return browser


def owners() -> list[str]:
    names = dict(User.objects.values_list("pk", "username"))
    return sorted(names.get(pk, "gone") for pk in Session.objects.values_list("user", flat=True))


def with_password() -> Client:
    """Return a browser in which alice signed in with her password, as in the real world."""
    client = Client()
    assert client.login(username="alice", password=OLD)
    client.get("/read/")
    return client


DELETIONS: dict[str, Callable[[User], object]] = {
    "instance": lambda user: user.delete(),
    "adelete": lambda user: async_to_sync(user.adelete)(),
    "queryset": lambda user: User.objects.filter(pk=user.pk).delete(),
    "proxy": lambda user: Member.objects.get(pk=user.pk).delete(),
    "queryset of the proxy": lambda user: Member.objects.filter(pk=user.pk).delete(),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_the_sessions_of_a_deleted_user_end(
    alice: User,
    delete: Callable[[User], object],
    reasons: Callable[[Callable[[], object]], set[str]],
) -> None:
    browsers = [sign_in(), sign_in()]
    assert reasons(lambda: delete(alice)) == {"user_deleted"}
    assert owners() == ["bob"]
    for browser in browsers:
        assert browser.get("/whoami/").text == ""
        assert not browser.cookie_was_touched


def test_deleting_many_users_ends_all_their_sessions() -> None:
    browser = sign_in()
    User.objects.all().delete()
    assert not Session.objects.exists()
    assert browser.data() == {}


@pytest.mark.parametrize("fields", [None, ["is_active"], ["is_active", "email"]])
@pytest.mark.parametrize("model", [User, Member])
def test_the_sessions_of_a_deactivated_user_end(
    alice: User,
    fields: list[str] | None,
    model: type[User],
    reasons: Callable[[Callable[[], object]], set[str]],
) -> None:
    browser = sign_in()
    user = model.objects.get(pk=alice.pk)
    user.is_active = False
    assert reasons(lambda: user.save(update_fields=fields)) == {"user_deactivated"}
    assert owners() == ["bob"]
    assert browser.get("/whoami/").text == ""


def test_a_user_deactivated_by_a_bulk_update_is_signed_in_nowhere(alice: User) -> None:
    browser = sign_in()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert browser.get("/whoami/").text == ""


def test_saving_other_things_of_a_user_ends_nothing(alice: User) -> None:
    sign_in()
    alice.email = "alice@example.com"
    with CaptureQueriesContext(connection) as queries:
        alice.save()
    assert len(queries) == 1
    alice.is_active = False
    alice.save(update_fields=["email"])
    assert owners() == ["alice", "bob"]


def test_a_password_that_was_not_stored_ends_nothing(alice: User) -> None:
    sign_in()
    alice.set_password("new")
    alice.save(update_fields=["last_login"])
    assert owners() == ["alice", "bob"]


def test_fixtures_end_nothing(alice: User, tmp_path: Path) -> None:
    sign_in()
    alice.is_active = False
    path = tmp_path / "users.json"
    path.write_text(serializers.serialize("json", [alice]))
    call_command("loaddata", str(path), verbosity=0, stdout=StringIO())
    assert not User.objects.get(pk=alice.pk).is_active
    assert owners() == ["alice", "bob"]


@both_ways
def test_a_password_set_by_a_program_ends_all_sessions(
    alice: User, is_async: bool, reasons: Callable[[Callable[[], object]], set[str]]
) -> None:
    browsers = [sign_in(is_async=is_async), sign_in(is_async=is_async)]

    def change() -> None:
        alice.set_password(NEW)
        if is_async:
            async_to_sync(alice.asave)()
        else:
            alice.save(update_fields=["password"])

    assert reasons(change) == {"password_changed"}
    assert owners() == ["bob"]
    for browser in browsers:
        assert browser.get("/whoami/").text == ""


def test_who_changes_their_password_goes_on_in_this_browser_and_ends_the_others(
    reasons: Callable[[Callable[[], object]], set[str]],
) -> None:
    mine, other = with_password(), with_password()
    mine.get("/set/cart/x/")
    old_key = mine.cookies["sessionid"].value
    form = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    assert reasons(lambda: mine.post("/password/", form)) == {"password_changed"}
    assert mine.get("/whoami/").text == "alice"
    assert mine.get("/read/").json()["cart"] == "x"
    assert mine.cookies["sessionid"].value != old_key
    assert other.get("/whoami/").text == ""
    assert owners() == ["alice", "bob"]
    stale = Browser(session_key=old_key)
    assert stale.get("/whoami/").text == ""
    assert not stale.cookie_was_touched


def test_a_password_form_that_is_wrong_ends_nothing() -> None:
    mine, other = with_password(), with_password()
    mine.post("/password/", {"old_password": "x", "new_password1": NEW, "new_password2": NEW})
    assert other.get("/whoami/").text == mine.get("/whoami/").text == "alice"


def test_an_administrator_who_sets_a_password_ends_that_users_sessions_and_not_their_own(
    alice: User,
) -> None:
    browser = sign_in()
    User.objects.create_superuser("root", password=OLD)
    root = Client()
    root.login(username="root", password=OLD)
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    response = root.post(f"/admin/auth/user/{alice.pk}/password/", form)
    assert response.status_code == 302
    assert browser.get("/whoami/").text == ""
    assert root.get("/whoami/").text == "root"
    assert owners() == ["bob", "root"]


def test_an_administrator_who_sets_their_own_password_in_the_admin_goes_on() -> None:
    root = User.objects.create_superuser("root", password=OLD)
    mine, other = Client(), Client()
    mine.login(username="root", password=OLD)
    other.login(username="root", password=OLD)
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    mine.post(f"/admin/auth/user/{root.pk}/password/", form)
    assert mine.get("/whoami/").text == "root"
    assert other.get("/whoami/").text == ""


@both_ways
def test_a_view_that_sets_somebody_elses_password_ends_all_their_sessions(
    alice: User, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(request: object) -> None:
        alice.set_password(NEW)
        alice.save()

    monkeypatch.setitem(views.acts, "password", act)
    hers, his = sign_in(is_async=is_async), Browser(is_async=is_async)
    his.get("/login/bob/")
    his.get("/do/password/")
    assert owners() == ["bob", "bob"]
    assert hers.get("/whoami/").text == ""


@pytest.mark.slow
def test_a_hash_upgraded_at_login_ends_no_other_session() -> None:
    other = with_password()
    upgraded = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    with override_settings(PASSWORD_HASHERS=upgraded):
        client = Client()
        assert client.login(username="alice", password=OLD)
        assert User.objects.get(username="alice").password.startswith("scrypt")
        assert Session.objects.count() == 3
        assert client.get("/whoami/").text == "alice"
    # Django's own check of the hash is what ends it, as without this package.
    assert other.session[HASH_SESSION_KEY]


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_is_rolled_back_ends_nothing(alice: User) -> None:
    browser = sign_in()
    with transaction.atomic():
        alice.delete()
        transaction.set_rollback(True)
    assert browser.get("/whoami/").text == "alice"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction writes"
)
@with_keys_that_stay  # without a lease, reading writes, and would wait for the deletion
def test_a_session_of_a_user_whose_deletion_is_not_yet_committed_goes_on(
    alice: User, engine: Engine
) -> None:
    browser = sign_in()
    key = browser.session_key
    with transaction.atomic():
        User.objects.filter(pk=alice.pk).delete()
        assert elsewhere(lambda: Browser(session_key=key).get("/whoami/").text) == "alice"
    assert browser.get("/whoami/").text == ""
    assert owners() == ["bob"]


def test_a_row_whose_user_vanished_behind_djangos_back_is_anonymous(alice: User) -> None:
    browser = sign_in()
    User.objects.filter(pk=alice.pk)._raw_delete("default")
    assert browser.get("/whoami/").text == ""
