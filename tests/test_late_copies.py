"""Whoever reaches the cache too late changes nothing: each order of events that is dangerous.

On every cache, for WSGI and ASGI, for every way to end a session.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection, transaction
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext

from django_sessionkit import registry
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.copies.slots import copy_key, voucher_key
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from django_sessionkit.storage.retired import KEPT_FOR
from tests.app import views
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_a_cache
from tests.interleaving import elsewhere, replaced_earlier, saved
from tests.late import just_before
from tests.ways_to_end import Act, People, each_way_to_end

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("engine"),
    pytest.mark.database,
]

#: What puts into the cache what was read from the row.
FILLS = {"fill", "vouch"}
#: What brings a save to the cache.
SAVES = {"replace", "swap"}


def forget(browser: Browser) -> None:
    """Let the cache forget what it has been told by the row, as when a lease ends."""
    public_id = browser.row.public_id
    caches[settings.SESSION_CACHE_ALIAS].delete_many([copy_key(public_id), voucher_key(public_id)])


def signed_in(is_async: bool) -> Browser:
    """Return a browser of alice's, of whose session the cache knows."""
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/login/alice/")
    replaced_earlier(KEPT_FOR)  # else to sign in again would leave the key as it is
    browser.data()
    return browser


def count_queries(act: Callable[[], object]) -> int:
    """Return how many queries on sessions ``act`` makes."""
    with CaptureQueriesContext(connection) as queries:
        act()
    return sum("sessionkit" in query["sql"] for query in queries)


def names_are(people: People, names: list[str]) -> None:
    """Twice: what the first requests have left in the cache must tell the second the same."""
    assert people.names() == names
    assert people.names() == names


@with_a_cache
@each_way_to_end
def test_a_reader_that_fills_the_cache_after_the_session_ended_fills_nothing(
    engine: Engine, is_async: bool, act: Act, names: list[str]
) -> None:
    people = People(engine, is_async=is_async)
    reader = people.browsers[names.index("")]
    forget(reader)
    with just_before(FILLS, lambda: act(people)) as happened:
        reader.get("/whoami/")
    assert happened
    names_are(people, names)


@with_a_cache
@each_way_to_end
def test_a_writer_that_reaches_the_cache_after_the_session_ended_revives_nothing(
    engine: Engine, is_async: bool, act: Act, names: list[str]
) -> None:
    people = People(engine, is_async=is_async)
    writer = people.browsers[names.index("")]
    with just_before(SAVES, lambda: act(people)) as happened:
        assert writer.get("/set/dog/Rex/").status_code == 200
    assert happened
    names_are(people, names)


@with_a_cache
@both_ways
def test_a_reader_that_fills_the_cache_after_a_save_hides_nothing_of_it(
    engine: Engine, is_async: bool
) -> None:
    reader = signed_in(is_async)
    writer = Browser(session_key=reader.session_key)
    forget(reader)
    with just_before(FILLS, lambda: writer.get("/set/dog/Rex/")) as happened:
        reader.data()
    assert happened
    for _ in range(2):
        assert reader.data()["dog"] == "Rex"


@with_a_cache
@both_ways
def test_a_reader_that_fills_the_cache_after_a_new_login_does_not_revive_the_old_key(
    engine: Engine, is_async: bool
) -> None:
    reader = signed_in(is_async)
    other = Browser(session_key=reader.session_key)
    forget(reader)
    with just_before(FILLS, lambda: other.get("/login/alice/")) as happened:
        reader.get("/whoami/")
    assert happened
    for _ in range(2):
        assert reader.get("/whoami/").text == ""
        assert other.get("/whoami/").text == "alice"


@with_a_cache
@both_ways
def test_of_two_writers_that_reach_the_cache_in_the_wrong_order_both_are_seen(
    engine: Engine, is_async: bool
) -> None:
    first = signed_in(is_async)
    second = Browser(session_key=first.session_key)
    with just_before(SAVES, lambda: second.get("/set/dog/Rex/")) as happened:
        first.get("/set/cat/Tom/")
    assert happened
    for browser in (first, second):
        data = browser.data()
        assert (data["cat"], data["dog"]) == ("Tom", "Rex")


@with_a_cache
@both_ways
def test_what_a_visitors_other_tabs_store_during_the_login_goes_along_however_often(
    engine: Engine, is_async: bool
) -> None:
    User.objects.create_user("alice")
    browser = Browser(is_async=is_async)
    browser.get("/set/start/x/")
    other = Browser(session_key=browser.session_key)
    names = iter(["one", "two", "three"])

    def store() -> None:
        if name := next(names, None):
            # And once more, when that has been merged and the login tries again.
            with just_before({"swap"}, lambda: None):
                other.get(f"/set/{name}/x/")
            again.enter_context(just_before({"swap"}, store))

    with ExitStack() as again, just_before({"swap"}, store):
        browser.get("/login/alice/")
    if not engine.keeps_public_id_at_login:
        assert {"start", "one", "two", "three"} <= browser.data().keys()
    assert browser.get("/whoami/").text == "alice"
    assert "start" in browser.data()


@with_a_cache
@both_ways
def test_a_writer_with_the_old_key_is_too_late_after_a_new_login(
    engine: Engine, is_async: bool
) -> None:
    writer = signed_in(is_async)
    other = Browser(session_key=writer.session_key)
    with just_before(SAVES, lambda: other.get("/login/alice/")):
        writer.get("/set/late/x/")
    for _ in range(2):
        assert writer.get("/whoami/").text == ""
        assert other.get("/whoami/").text == "alice"


@with_a_cache
@both_ways
@pytest.mark.parametrize("operation", ["drop", "swap", "create", "unvouch", "replace"])
@pytest.mark.parametrize(
    "revoke",
    [
        lambda row: registry.revoke(row, owner=row.user_id),
        lambda row: registry.revoke_user(row.user_id),
    ],
)
def test_a_login_that_races_a_revoke_leaves_no_session_that_is_not_listed(
    engine: Engine, is_async: bool, operation: str, revoke: Callable[[AbstractSession], object]
) -> None:
    browser = signed_in(is_async)
    old, row = Browser(session_key=browser.session_key), browser.row
    with just_before({operation}, lambda: revoke(row)):
        browser.get("/login/alice/")
    listed = {session.public_id for session in registry.list_sessions(row.user_id)}
    for _ in range(2):
        assert old.get("/whoami/").text == ""
        is_in = browser.get("/whoami/").text == "alice"
        key = SplitKey.parse(browser.session_key)
        assert is_in is (key is not None and key.public_id in listed)


@with_a_cache
def test_what_a_transaction_reads_from_an_old_snapshot_is_put_into_no_cache(
    engine: Engine,
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets nobody write while a transaction reads")
    browser = signed_in(False)
    row = browser.row
    forget(browser)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert Session.objects.filter(pk=row.pk).exists()  # the snapshot
        assert elsewhere(lambda: registry.revoke(row, owner=registry.ANY_OWNER)).count == 1
        engine.store(browser.session_key).load()
    for _ in range(2):
        assert browser.get("/whoami/").text == ""


@with_a_cache
def test_what_is_rolled_back_was_never_in_the_cache(engine: Engine) -> None:
    session_key = saved(_auth_user_id="1", cat="Tom")
    assert engine.store(session_key)["cat"] == "Tom"
    with transaction.atomic():
        row = Session.objects.get()
        assert registry.revoke(row, owner=registry.ANY_OWNER).count == 1
        assert engine.store(session_key).load() == {}
        transaction.set_rollback(True)
    assert engine.store(session_key)["cat"] == "Tom"
    if engine.data_in_row:
        with transaction.atomic():
            session = engine.store(session_key)
            session["cat"] = "Felix"
            session.save()
            assert engine.store(session_key)["cat"] == "Felix"  # its own, by the row
            transaction.set_rollback(True)
        assert engine.store(session_key)["cat"] == "Tom"


@with_a_cache
@both_ways
def test_a_view_within_a_transaction_leaves_a_copy_all_the_same(
    engine: Engine, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view(request: HttpRequest) -> None:
        with transaction.atomic():
            request.session.get("cat")

    monkeypatch.setitem(views.acts, "read", view)
    browser = signed_in(is_async)
    forget(browser)
    assert count_queries(lambda: browser.get("/do/read/")) == 2  # the second outside of it
    assert count_queries(lambda: browser.get("/do/read/")) == 0
