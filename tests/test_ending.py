"""Whatever ends a session: the next request with its cookie is anonymous, and no other is."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from django_sessionkit import registry
from django_sessionkit.copies import redis
from django_sessionkit.ending import Ended
from django_sessionkit.events import InForce
from django_sessionkit.recall import gathered
from tests.browsers import Browser
from tests.engines import Engine, with_a_cache, with_keys_that_stay
from tests.interleaving import before_each_statement, elsewhere
from tests.ways_to_end import BY_PROGRAM, Act, People, each_way_to_end

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.database]


@each_way_to_end
def test_the_next_request_of_a_session_that_ended_is_anonymous(
    engine: Engine, is_async: bool, act: Act, names: list[str]
) -> None:
    people = People(engine, is_async=is_async)
    act(people)
    assert people.names() == names
    for browser in people.browsers:
        assert not browser.cookie_was_touched
        # Twice: the first request must not have left behind what the second would believe.
        data = browser.data()
        assert bool(data) is bool(names[people.browsers.index(browser)])
        browser.get("/untouched/")
    assert people.names() == names


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("act", "names"), BY_PROGRAM.values(), ids=BY_PROGRAM)
def test_what_is_rolled_back_has_ended_nothing(engine: Engine, act: Act, names: list[str]) -> None:
    people = People(engine)
    with transaction.atomic():
        act(people)
        assert people.names() == names  # as this connection sees it
        transaction.set_rollback(True)
    assert people.names() == ["alice", "alice", "alice", "bob"]


@with_keys_that_stay  # without a lease each request writes to the row, so it waits for the commit
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction writes"
)
@pytest.mark.parametrize(("act", "names"), BY_PROGRAM.values(), ids=BY_PROGRAM)
def test_what_others_read_before_the_commit_revives_nothing_after_it(
    engine: Engine, act: Act, names: list[str]
) -> None:
    people = People(engine)
    with transaction.atomic():
        act(people)
        assert elsewhere(people.names) == ["alice", "alice", "alice", "bob"]
    assert people.names() == names


@pytest.mark.django_db(transaction=True)
def test_where_a_deletion_does_not_tell_what_it_deleted_the_rows_are_read_before(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on MySQL, which has no RETURNING."""
    people = People(engine)
    people.names()
    monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
    assert registry.revoke_user(people.alice).count == 3
    assert people.names() == ["", "", "", "bob"]


@with_a_cache
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="elsewhere nobody adds a session to those of a user while they are being deleted",
)
def test_who_signs_in_between_the_deletions_is_signed_out_too(engine: Engine) -> None:
    people, late = People(engine), Browser()

    def sign_in(number: int, verb: str) -> None:
        if number == 2:
            # It has committed, and its copy lies in the cache.
            elsewhere(lambda: (late.get("/login/alice/"), late.get("/whoami/")))

    with before_each_statement(sign_in):
        assert registry.revoke_user(people.alice).count == 4
    for _ in range(2):
        assert late.get("/whoami/").text == ""
        assert people.names() == ["", "", "", "bob"]


@with_a_cache
@pytest.mark.django_db(transaction=True)
def test_of_more_sessions_than_a_round_trip_takes_no_copy_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "KEYS_A_TRIP", 3)
    people = People(engine)
    more = [Browser() for _ in range(5)]
    for browser in more:
        browser.get("/login/alice/")
        assert browser.get("/whoami/").text == "alice"
    assert registry.revoke_user(people.alice).count == 8
    assert [browser.get("/whoami/").text for browser in more] == [""] * 5
    assert people.names() == ["", "", "", "bob"]


@with_a_cache
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="elsewhere nobody adds a session to those of a user while they are being deleted",
)
def test_people_who_sign_in_all_the_time_do_not_keep_it_from_ending(engine: Engine) -> None:
    people, verbs = People(engine), []

    def sign_in(number: int, verb: str) -> None:
        verbs.append(verb)
        if number < 20:
            elsewhere(lambda: Browser().get("/login/alice/"))

    with before_each_statement(sign_in):
        assert registry.revoke_user(people.alice).count >= 3
    assert verbs == ["DELETE", "DELETE"]


@pytest.mark.django_db(transaction=True)
def test_the_result_says_since_when_the_sessions_are_refused(engine: Engine) -> None:
    people, told = People(engine), list[InForce]()
    ended = registry.revoke(people.first.public_id, owner=registry.ANY_OWNER)
    assert ended == Ended(1, InForce.NOW)
    ended.on_commit(told.append)
    assert told == [InForce.NOW]
    with transaction.atomic():
        ended = registry.revoke_user(people.alice)
        assert ended == Ended(2, InForce.ON_COMMIT)
        ended.on_commit(told.append)
        assert told == [InForce.NOW]
    assert told == [InForce.NOW] * 2
    assert ended.in_force is InForce.ON_COMMIT  # as it was returned
    ended.on_commit(told.append)
    assert told == [InForce.NOW] * 3


@pytest.mark.django_db(transaction=True)
def test_after_a_rollback_nobody_is_told_that_an_end_is_in_force(engine: Engine) -> None:
    people, told = People(engine), list[InForce]()
    with transaction.atomic():
        with transaction.atomic():
            in_savepoint = registry.revoke(people.first.public_id, owner=registry.ANY_OWNER)
            in_savepoint.on_commit(told.append)
            transaction.set_rollback(True)
        in_savepoint.on_commit(told.append)
    assert told == []
    with transaction.atomic():
        ended = registry.revoke_user(people.alice)
        ended.on_commit(told.append)
        transaction.set_rollback(True)
    ended.on_commit(told.append)
    assert told == []
    assert people.names() == ["alice", "alice", "alice", "bob"]


@pytest.mark.django_db(transaction=True)
def test_where_nothing_ends_nothing_waits_for_a_commit(engine: Engine) -> None:
    people, told = People(engine), list[InForce]()
    registry.revoke_user(people.alice)
    with transaction.atomic():
        ended = registry.revoke_user(people.alice)
        assert ended == Ended(0, InForce.NOW)
        ended.on_commit(told.append)
        assert told == [InForce.NOW]


@pytest.mark.django_db(transaction=True)
def test_a_sum_of_results_is_in_force_when_both_are(engine: Engine) -> None:
    people, told = People(engine), list[InForce]()
    before = registry.revoke(people.first.public_id, owner=registry.ANY_OWNER)
    with transaction.atomic():
        ended = (
            before
            + registry.revoke(people.hers[1].row, owner=registry.ANY_OWNER)
            + registry.revoke_user(people.bob)
        )
        assert ended == Ended(3, InForce.ON_COMMIT)
        ended.on_commit(told.append)
        assert told == []
    assert told == [InForce.NOW]


@pytest.mark.django_db(transaction=True)
def test_what_the_orm_has_deleted_is_forgotten_after_the_commit(engine: Engine) -> None:
    people = People(engine)
    row = people.first.row
    with transaction.atomic():
        recall = gathered(row, "default")
        row.delete()
        assert row.public_id in recall.public_ids
    assert recall.public_ids == set()
    assert recall.in_force is InForce.NOW
    assert people.names() == ["", "alice", "alice", "bob"]
