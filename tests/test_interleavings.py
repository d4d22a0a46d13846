"""Overlapping requests of one session: none loses what another has stored."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from django_sessionkit import registry
from django_sessionkit.models import Session
from django_sessionkit.storage.records import RequestFacts
from tests.browsers import Browser, both_ways
from tests.engines import Engine, with_data_in_rows, with_keys_that_stay
from tests.interleaving import before_each_statement, elsewhere, save, saved, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.database]

SIGNED_IN = {"_auth_user_id": "1", "one": 1}  # so that every engine has a row
NOT_ON_SQLITE = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction reads"
)


@pytest.mark.slow
@with_keys_that_stay
@both_ways
def test_of_two_overlapping_requests_with_different_keys_both_survive_each_time(
    is_async: bool,
) -> None:
    outer = Browser(is_async=is_async)
    outer.get("/set/start/0/")
    inner = Browser(is_async=is_async, session_key=outer.session_key)
    both, times = 0, 20 if is_async else 50
    for number in range(times):

        def overlap(number: int = number) -> None:
            inner.get(f"/set/inner{number}/x/")

        outer.get(f"/set/outer{number}/x/", meanwhile=overlap)
        data = stored(outer.session_key)
        both += f"inner{number}" in data and f"outer{number}" in data
    assert both == times
    assert len(stored(outer.session_key)) == 2 * times + 1


@both_ways
def test_of_the_same_key_the_later_save_wins(is_async: bool) -> None:
    outer = Browser(is_async=is_async)
    outer.get("/set/key/start/")
    inner = Browser(is_async=is_async, session_key=outer.session_key)
    outer.get("/set/key/outer/", meanwhile=lambda: inner.get("/set/key/inner/"))
    assert outer.data() == {"key": "outer"}


@with_keys_that_stay
@both_ways
def test_a_deleted_key_stays_deleted_whichever_request_deletes_it(is_async: bool) -> None:
    outer = Browser(is_async=is_async, session_key=saved(one=1, other=2))
    inner = Browser(is_async=is_async, session_key=outer.session_key)
    outer.get("/pop/one/", meanwhile=lambda: inner.get("/set/inner/x/"))
    outer.get("/set/outer/x/", meanwhile=lambda: inner.get("/pop/other/"))
    assert outer.data() == {"inner": "x", "outer": "x"}


@with_keys_that_stay
@both_ways
def test_values_changed_in_place_survive(is_async: bool) -> None:
    outer = Browser(is_async=is_async, session_key=saved(one={"list": []}, other={"list": []}))
    inner = Browser(is_async=is_async, session_key=outer.session_key)
    outer.get("/append/one/x/", meanwhile=lambda: inner.get("/append/other/y/"))
    outer.get("/set/outer/x/", meanwhile=lambda: inner.get("/append/one/z/"))
    assert outer.data() == {"one": {"list": ["x", "z"]}, "other": {"list": ["y"]}, "outer": "x"}


@with_keys_that_stay
def test_a_store_shows_what_it_merged(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = 1
    save(session_key, theirs=2)
    session.save()
    assert dict(session.items()) == {"one": 1, "mine": 1, "theirs": 2} == stored(session_key)


@with_keys_that_stay
def test_a_session_emptied_while_another_request_stores_loses_what_was_there_alone(
    engine: Engine,
) -> None:
    session_key = saved(one=1, two=2)
    session = engine.store(session_key)
    assert session["one"] == 1
    session.clear()
    session["mine"] = 1
    save(session_key, theirs=2)
    session.save()
    assert stored(session_key) == {"mine": 1, "theirs": 2}


@with_data_in_rows
@pytest.mark.parametrize("rivals", range(1, 7))
def test_nothing_is_lost_however_often_others_are_faster(engine: Engine, rivals: int) -> None:
    session_key = saved(one=1, gone=2)
    session = engine.store(session_key)
    session["mine"] = "x"
    del session["gone"]
    verbs: list[str] = []

    def rival(number: int, verb: str) -> None:
        verbs.append(verb)
        if verb == "UPDATE" and verbs.count("UPDATE") <= min(rivals, 3):
            save(session_key, **{f"rival{number}": number})
        elif rivals > 3 and verbs.count("UPDATE") == 3 and verb == "SELECT":
            # The last chance of others, before the lock is held.
            save(session_key, last=number)

    with before_each_statement(rival):
        session.save()
    data = stored(session_key)
    assert data.pop("mine") == "x"
    assert data.pop("one") == 1
    assert ("last" in data) is (rivals > 3)
    data.pop("last", None)
    assert len(data) == min(rivals, 3)
    assert "gone" not in data


@with_data_in_rows
@pytest.mark.django_db(transaction=True)
def test_a_save_is_one_statement_without_rivals_and_three_with_one(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    verbs: list[str] = []
    with before_each_statement(lambda number, verb: verbs.append(verb)):
        session.save()
    assert verbs == ["UPDATE"]
    session["mine"] = "y"
    save(session_key, theirs=1)
    with before_each_statement(lambda number, verb: verbs.append(verb)):
        session.save()
    assert verbs[1:] == ["UPDATE", "SELECT", "UPDATE"]


@with_data_in_rows
@pytest.mark.django_db(transaction=True)
def test_a_save_that_failed_halfway_can_be_repeated_without_loss(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"

    def fail(number: int, verb: str) -> None:
        if number == 1:
            save(session_key, theirs=1)
        elif number == 3:
            save(session_key, more=1)
            raise OperationalError("deadlock")

    with before_each_statement(fail), pytest.raises(OperationalError):
        session.save()
    session.save()
    assert stored(session_key) == {"one": 1, "mine": "x", "theirs": 1, "more": 1}


@with_data_in_rows
def test_what_a_transaction_took_back_is_stored_by_the_next_save(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    with transaction.atomic():
        session.save()
        transaction.set_rollback(True)
    assert stored(session_key) == {"one": 1}
    session.save()
    assert stored(session_key) == {"one": 1, "mine": "x"}


@with_keys_that_stay
def test_what_is_taken_back_twice_is_stored_at_last(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    for number in range(2):
        session[f"mine{number}"] = "x"
        with transaction.atomic():
            session.save()
            transaction.set_rollback(True)
        save(session_key, **{f"theirs{number}": 1})
    session.save()
    session["more"] = "x"
    session.save()
    assert stored(session_key) == {
        "one": 1,
        "mine0": "x",
        "mine1": "x",
        "theirs0": 1,
        "theirs1": 1,
        "more": "x",
    }


@with_data_in_rows
@pytest.mark.parametrize("is_cycled", [False, True])
def test_what_a_savepoint_took_back_after_the_insert_is_stored_by_the_next_save(
    engine: Engine, is_cycled: bool
) -> None:
    session = engine.store()
    with transaction.atomic():
        session["one"] = 1
        session.save()
        with transaction.atomic():
            session["mine"] = "x"
            if is_cycled:
                session.cycle_key()
            session.save()
            transaction.set_rollback(True)
        session.save()
    assert stored(session.session_key) == {"one": 1, "mine": "x"}


@with_data_in_rows
def test_what_two_saves_of_a_transaction_wrote_is_stored_by_the_next_save(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    with transaction.atomic():
        session["first"] = "x"
        session.save()
        session["second"] = "x"
        session.save()
        transaction.set_rollback(True)
    assert stored(session_key) == {"one": 1}
    session.save()
    assert stored(session_key) == {"one": 1, "first": "x", "second": "x"}


@with_data_in_rows
def test_a_projects_hook_overwrites_no_column_that_another_request_has_written(
    engine: Engine,
) -> None:
    class SessionStore(type(engine.store())):  # type: ignore[misc]
        __qualname__ = "SessionStore"  # Django's salt is made of it

        def create_model_instance(self, data: dict[str, Any]) -> Any:
            return super().create_model_instance(data)

    session_key = saved(one=1)
    mine, theirs = SessionStore(session_key), engine.store(session_key)
    mine["mine"] = "x"
    theirs["theirs"] = "x"
    theirs.facts = RequestFacts({"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Lynx"})
    theirs.save()
    mine.save()
    assert stored(session_key) == {"one": 1, "mine": "x", "theirs": "x"}
    assert Session.objects.get().user_agent == "Lynx"


@with_data_in_rows
def test_a_new_key_that_was_taken_back_is_written_by_the_next_save(engine: Engine) -> None:
    session_key = saved(**SIGNED_IN)
    session = engine.store(session_key)
    with transaction.atomic():
        session.cycle_key()
        session.save()
        transaction.set_rollback(True)
    assert stored(session_key) == SIGNED_IN
    session["mine"] = "x"
    session.save()
    assert stored(session.session_key) == {**SIGNED_IN, "mine": "x"}
    assert stored(session_key) == {}


def test_a_deletion_that_was_taken_back_is_made_again(engine: Engine) -> None:
    session_key = saved(one=1, two=2)
    session = engine.store(session_key)
    del session["one"]
    with transaction.atomic():
        session.save()
        transaction.set_rollback(True)
    session.save()
    assert stored(session.session_key) == {"two": 2}


@with_keys_that_stay
def test_a_save_after_one_that_was_taken_back_overwrites_nobody(engine: Engine) -> None:
    session_key = saved(one=1)
    session = engine.store(session_key)
    session["mine"] = "x"
    with transaction.atomic():
        session.save()
        transaction.set_rollback(True)
    save(session_key, theirs=1)
    session.save()
    assert stored(session_key) == {"one": 1, "mine": "x", "theirs": 1}


@with_keys_that_stay
@pytest.mark.parametrize("seconds", [300, 90 * 24 * 3600])
def test_an_expiry_set_by_another_request_holds_for_the_merged_row(
    engine: Engine, seconds: int
) -> None:
    session_key = saved(**SIGNED_IN)
    session, other = engine.store(session_key), engine.store(session_key)
    session["mine"] = "x"
    other.set_expiry(seconds)
    other.save()
    session.save()
    assert session.get_expiry_age() == seconds
    left = (Session.objects.get().expire_date - timezone.now()).total_seconds()
    assert seconds - 60 < left <= seconds


@with_keys_that_stay
@pytest.mark.django_db(transaction=True)
@NOT_ON_SQLITE
def test_nothing_is_lost_by_a_save_inside_a_transaction_that_began_before_the_other(
    engine: Engine,
) -> None:
    session_key = saved(one=1)
    with transaction.atomic():
        session = engine.store(session_key)
        session["mine"] = "x"
        elsewhere(lambda: save(session_key, theirs=1))
        session.save()
        session["again"] = "x"
        session.save()
    assert stored(session_key) == {"one": 1, "mine": "x", "theirs": 1, "again": "x"}


@pytest.mark.django_db(transaction=True)
@NOT_ON_SQLITE
@pytest.mark.parametrize("end", ["revoke", "queryset"])
def test_a_session_revoked_outside_of_the_transaction_that_saves_it_stays_gone(
    engine: Engine, end: str
) -> None:
    session_key = saved(**SIGNED_IN)
    with transaction.atomic():
        session = engine.store(session_key)
        session["mine"] = "x"
        public_id = session.public_id
        assert public_id is not None
        if end == "revoke":
            assert (
                elsewhere(lambda: registry.revoke(public_id, owner=registry.ANY_OWNER)).count == 1
            )
        else:
            elsewhere(Session.objects.all().delete)
        with pytest.raises(UpdateError):
            session.save()
    assert not Session.objects.exists()
    assert stored(session_key) == {}


@with_keys_that_stay
@pytest.mark.django_db(transaction=True)
def test_savers_who_start_at_once_lose_nothing(engine: Engine) -> None:
    session_key = saved(one=1)
    count = 8
    barrier = threading.Barrier(count)

    def act(number: int) -> None:
        try:
            session = engine.store(session_key)
            session[f"mine{number}"] = number
            barrier.wait(30)
            session.save()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(session_key) == {"one": 1} | {f"mine{n}": n for n in range(count)}


@pytest.fixture
def room_for_50_connections(
    transactional_db: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """One worker at a time, and only when the server has let go of the connections before."""
    with (tmp_path_factory.getbasetemp().parent / "connections.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                for _ in range(300):
                    cursor.execute(
                        "SELECT current_setting('max_connections')::int - count(*)"
                        " FROM pg_stat_activity WHERE backend_type = 'client backend'"
                    )
                    if cursor.fetchone()[0] > 60:
                        break
                    time.sleep(0.1)
        yield


@pytest.mark.slow
@with_keys_that_stay
@pytest.mark.usefixtures("room_for_50_connections")
@pytest.mark.django_db(transaction=True)
def test_1000_requests_over_50_threads_that_add_a_key_each_lose_none() -> None:
    threads, each = (50, 20) if connection.vendor != "sqlite" else (8, 10)
    session_key = saved(start=0)
    barrier = threading.Barrier(threads)
    failures: list[BaseException] = []

    def visit(thread: int) -> None:
        browser = Browser(session_key=session_key)
        try:
            barrier.wait(60)
            for number in range(each):
                assert browser.get(f"/set/key-{thread}-{number}/x/").status_code == 200
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    with ExitStack() as stack:
        for number in range(threads):
            thread = threading.Thread(target=visit, args=[number])
            thread.start()
            stack.callback(thread.join)
    assert not failures
    data = stored(session_key)
    assert len(data) == 1 + threads * each
    assert {f"key-{t}-{n}" for t in range(threads) for n in range(each)} < data.keys()
