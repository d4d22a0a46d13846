"""Corners of the engines with a cache: rollbacks, what cannot be read, ends that move."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_sessionkit import registry
from django_sessionkit.events import InForce
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_a_cache, with_engines
from tests.interleaving import save, saved, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("engine"),
    pytest.mark.database,
]

USER = {"_auth_user_id": "1"}


class TakenBack(Exception):  # noqa: N818
    """Rolls a transaction back."""


@contextmanager
def taken_back() -> Iterator[None]:
    """A transaction, or a savepoint, that is rolled back."""
    with suppress(TakenBack), transaction.atomic():
        yield
        raise TakenBack


def public_id(session_key: str) -> uuid.UUID:
    key = SplitKey.parse(session_key)
    assert key is not None
    return key.public_id


@with_a_cache
@pytest.mark.parametrize("within", [False, True], ids=["transaction", "savepoint"])
def test_a_deletion_that_was_taken_back_takes_nothing_of_the_session_later(
    engine: Engine, within: bool
) -> None:
    stays, goes = saved(**USER, cat="Tom"), saved(**USER)
    if within:
        with transaction.atomic():
            with taken_back():
                Session.objects.get(public_id=public_id(stays)).delete()
            Session.objects.filter(public_id=public_id(goes)).delete()
    else:
        with taken_back():
            Session.objects.filter(public_id=public_id(stays)).delete()
        Session.objects.filter(public_id=public_id(goes)).delete()
    assert stored(stays) == {**USER, "cat": "Tom"}
    assert stored(goes) == {}


@with_a_cache
def test_a_thousand_rows_deleted_by_the_orm_are_looked_for_once(engine: Engine) -> None:
    keys = [saved(**USER) for _ in range(20)]
    with CaptureQueriesContext(connection) as queries:
        Session.objects.all().delete()
    assert len(queries) <= 5
    assert [stored(key) for key in keys] == [{}] * 20


@with_engines(lambda engine: engine.cache_alias is not None and engine.data_in_row)
def test_a_process_that_cannot_read_the_row_hides_nothing_from_those_who_can(
    engine: Engine,
) -> None:
    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=["for the tests alone"]):
        session_key = saved(**USER, cat="Tom")
    # Not yet brought up to date: it knows the old secret key alone.
    assert stored(session_key) == {}
    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=["for the tests alone"]):
        assert stored(session_key) == {**USER, "cat": "Tom"}


@with_engines(lambda engine: engine.cache_alias is not None and not engine.data_in_row)
def test_data_of_another_user_than_the_rows_are_not_believed(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    session_key = saved(**USER, cat="Tom")
    # As when a save is killed between its row and its data.
    Session.objects.update(user_id=2)
    for _ in range(2):
        assert stored(session_key) == {}
    assert caplog.text.count("are not those of its user") == 2


@with_engines(lambda engine: engine.cache_alias is not None and engine.data_in_row)
def test_a_copy_that_a_save_has_found_to_be_wrong_is_not_believed_again(engine: Engine) -> None:
    session_key = saved(**USER, cat="Tom")
    assert stored(session_key) == {**USER, "cat": "Tom"}
    # As when a process is killed between replacing the key in the row and in the copy.
    Session.objects.update(secret_hash=SplitKey.generate().secret_hash)
    with pytest.raises(SessionGone):
        save(session_key, cat="Felix")
    assert stored(session_key) == {}


@pytest.mark.slow
@with_a_cache
@both_ways
def test_an_end_that_another_request_has_moved_stays_moved(engine: Engine, is_async: bool) -> None:
    def remember(request: HttpRequest) -> None:
        request.session.set_expiry(14 * 24 * 3600)

    views.acts["remember"] = remember
    User.objects.create_user("alice")
    with override_settings(SESSION_COOKIE_AGE=2, SESSIONKIT_LEASE=0):
        browser = Browser(is_async=is_async)
        browser.get("/login/alice/")
        other = Browser(session_key=browser.session_key)
        browser.get("/set/cat/Tom/", meanwhile=lambda: other.get("/do/remember/"))
        time.sleep(2.2)
        assert browser.get("/whoami/").text == "alice"
        # A reader that began before does not move it back either.
        browser.get("/read/", meanwhile=lambda: other.get("/set/dog/Rex/"))
        assert browser.row.expire_date - browser.row.last_seen_at > timedelta(days=13)


@with_a_cache
@both_ways
def test_a_login_whose_transaction_was_taken_back_is_saved_by_the_response(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User.objects.create_user("alice")

    def view(request: HttpRequest) -> None:
        with taken_back():
            login(request, user, backend=views.BACKEND)
            request.session.save()

    monkeypatch.setitem(views.acts, "in", view)
    browser = Browser(is_async=is_async)
    browser.get("/set/cart/full/")
    visitors = browser.session_key
    assert browser.get("/do/in/").status_code == 200
    if engine.keeps_public_id_at_login:
        # The row is as it was, and the visitor's key good again, or what was saved was dropped.
        assert stored(visitors) == {"cart": "full"} or browser.data()["cart"] == "full"
    else:
        assert browser.get("/whoami/").text == "alice"
        assert browser.data()["cart"] == "full"
        assert registry.list_sessions(user)
        assert Browser(session_key=visitors).data() == {}


@with_engines(lambda engine: engine.cache_alias is not None and not engine.rows_for_visitors)
def test_a_visitors_session_goes_on_until_the_login_from_it_has_committed(engine: Engine) -> None:
    session_key = saved(cart="full")
    store = engine.store(session_key)
    with taken_back():
        store.cycle_key()
        store.update(USER)
        store.save()
        assert stored(session_key) == {"cart": "full"}
    assert stored(session_key) == {"cart": "full"}
    store.save()
    assert stored(session_key) == {}
    assert stored(store.session_key) == {**USER, "cart": "full"}


@with_a_cache
@both_ways
def test_after_a_save_within_a_transaction_the_cache_is_asked_again(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view(request: HttpRequest) -> None:
        with transaction.atomic():
            login(request, user, backend=views.BACKEND)

    def read(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            return HttpResponse(request.user.get_username())

    user = User.objects.create_user("alice")
    monkeypatch.setitem(views.acts, "in", view)
    monkeypatch.setitem(views.acts, "read", read)
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    browser.get("/do/in/")
    # What keeps others from putting an older copy there may last for a lease (without scripts).
    asked = [queries_on_sessions(lambda: browser.get("/do/read/")) for _ in range(4)]
    if engine.cache_alias == "redis":
        assert asked[-2:] == [0, 0]
    assert browser.response.text == "alice"


@with_a_cache
def test_a_wrong_secret_does_not_keep_the_right_one_from_its_lease(engine: Engine) -> None:
    session_key = saved(**USER)
    wrong = engine.wrong_key(session_key)
    assert stored(wrong) == {}
    assert queries_on_sessions(lambda: stored(session_key)) == 0


@with_a_cache
def test_transactions_that_are_the_sites_own_affair_are_told_to_be_late(engine: Engine) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite opens no transaction by itself")
    session_key = saved(**USER)
    stored(session_key)
    connection.set_autocommit(False)
    try:
        ended = registry.revoke(public_id(session_key), owner=registry.ANY_OWNER)
        assert (ended.count, ended.in_force) == (1, InForce.WITHIN_LEASE)
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    assert stored(session_key) == USER


@with_a_cache
def test_an_answer_that_is_ready_is_not_lost_with_the_database(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("alice")
    browser = Browser()
    browser.get("/login/alice/")

    def view(request: HttpRequest) -> None:
        with transaction.atomic():
            request.session.get("cat")
        store: Any = request.session
        repository = store._repository
        real = repository.find

        def find(*args: Any) -> Any:
            with connection.execute_wrapper(fail):
                return real(*args)

        monkeypatch.setattr(repository, "find", find)

    def fail(*arguments: Any) -> Any:
        raise OperationalError("gone")

    monkeypatch.setitem(views.acts, "read", view)
    assert browser.get("/do/read/").status_code == 200


@with_engines(lambda engine: engine.cache_alias is not None and not engine.data_in_row)
def test_a_login_that_creates_its_session_retires_the_visitors_key(engine: Engine) -> None:
    visitors = saved(cat="Tom")
    session = engine.store(visitors)
    session.cycle_key()
    session.update(USER)
    session.create()
    assert stored(session.session_key) == {**USER, "cat": "Tom"}
    assert stored(visitors) == {}


@with_a_cache
def test_whoever_is_taken_out_of_the_data_has_not_signed_in_by_the_row_either(
    engine: Engine,
) -> None:
    session_key = saved(**USER, cat="Tom")
    assert Session.objects.get().authenticated_at is not None
    assert stored(session_key) == {**USER, "cat": "Tom"}
    store = engine.store(session_key)
    # Of a copy or a voucher, which do not tell when that was.
    assert queries_on_sessions(lambda: store.pop("_auth_user_id")) == 0
    store.save()
    row = Session.objects.get()
    assert (row.user, row.authenticated_at) == (None, None)
    assert stored(session_key) == {"cat": "Tom"}


@with_engines(lambda engine: engine.cache_alias is not None and not engine.data_in_row)
def test_a_save_within_a_transaction_leaves_a_voucher_after_it(engine: Engine) -> None:
    session_key = saved(**USER)
    store = engine.store(session_key)
    with transaction.atomic():
        store["cat"] = "Tom"
        store.save()
    assert store.lease_has_run_out()
    store.renew_lease()
    assert queries_on_sessions(lambda: stored(session_key)) == 0
    assert stored(session_key) == {**USER, "cat": "Tom"}


def queries_on_sessions(act: Any) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return sum("sessionkit" in query["sql"] for query in queries)
