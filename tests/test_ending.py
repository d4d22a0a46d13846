"""Whatever ends a session: the next request with its cookie is anonymous, and no other is."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from django_sessionkit import registry
from tests.browsers import both_ways
from tests.engines import Engine, with_keys_that_stay
from tests.interleaving import elsewhere
from tests.ways_to_end import BY_PROGRAM, EACH, Act, People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine")]


@both_ways
@pytest.mark.parametrize(("act", "names"), EACH.values(), ids=EACH)
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
    assert registry.revoke_user(people.alice) == 3
    assert people.names() == ["", "", "", "bob"]
