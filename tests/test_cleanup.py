"""Rows that have ended go, in small statements, whatever happens at the same time."""

import threading
import tracemalloc
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit.backends.db import SessionStore
from django_sessionkit.cleanup import Cleanup, CleanupReport, clear_expired
from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason, session_ended

pytestmark = pytest.mark.database

NOW = timezone.now()
PAST = NOW - timedelta(days=1)
FUTURE = NOW + timedelta(days=1)

#: The walk along the dates is chosen where few rows have expired, that along the ids elsewhere.
both_walks = pytest.mark.parametrize("active_share", [0, 9], ids=["dense", "sparse"])


def make(count: int, **fields: Any) -> list[Session]:
    """Insert ``count`` sessions; an ``expire_date`` that is callable gets the number of each."""
    date = fields.pop("expire_date", FUTURE)
    rows = [
        Session(
            secret_hash=b"h" * 32,
            expire_date=date(number) if callable(date) else date,
            **{"created_at": NOW - timedelta(days=30), "data": "x" * 200, **fields},
        )
        for number in range(count)
    ]
    ids = {row.public_id for row in rows}
    Session.objects.bulk_create(rows)
    found = Session.objects.filter(public_id__in=ids).order_by("id") if count < 100 else []
    return [row for row in found if isinstance(row, Session)]


def seconds_ago(number: int) -> Any:
    return PAST - timedelta(seconds=number)


def deletes(context: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in context if query["sql"].startswith("DELETE")]


def on_first_delete(act: Callable[[], object]) -> Callable[..., Any]:
    """Return an execute wrapper that acts, once, between what was looked up and its deletion."""
    done: list[bool] = []

    def wrapper(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("DELETE") and not done:
            done.append(True)
            act()
        return execute(sql, *arguments)

    return wrapper


@pytest.mark.django_db
@both_walks
def test_expired_rows_go_and_active_ones_stay(active_share: int) -> None:
    make(10, expire_date=seconds_ago)
    kept = make(10 * active_share, expire_date=FUTURE)
    report = clear_expired(Session)
    assert report.expired == 10
    assert report.is_complete
    assert {row.pk for row in Session.objects.all()} == {row.pk for row in kept}


@pytest.mark.django_db
def test_a_row_that_ends_right_now_goes() -> None:
    cleanup = Cleanup(Session)
    make(1, expire_date=cleanup.cutoff)
    make(1, expire_date=cleanup.cutoff + timedelta(microseconds=1))
    assert cleanup.run().expired == 1
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_an_empty_table_is_no_trouble() -> None:
    report = clear_expired(Session)
    assert (report.expired, report.orphaned, report.is_complete) == (0, 0, True)


@pytest.mark.django_db
def test_the_store_clears_expired_rows() -> None:
    make(3, expire_date=PAST)
    SessionStore.clear_expired()
    assert not Session.objects.exists()


@pytest.mark.django_db
async def test_the_store_clears_expired_rows_asynchronously() -> None:
    ended, active = SessionStore(), SessionStore()
    await ended.acreate()
    await Session.objects.aupdate(expire_date=PAST)
    await active.acreate()
    await SessionStore.aclear_expired()
    assert [row.public_id async for row in Session.objects.all()] == [active.public_id]


@pytest.mark.django_db
def test_rows_whose_user_is_missing_go_when_they_are_older_than_an_hour() -> None:
    user = get_user_model().objects.create_user("here")
    make(1, user_id=user.pk)
    make(1, user_id=None)
    make(1, user_id=user.pk + 1)
    make(1, user_id=user.pk + 1, created_at=timezone.now() - timedelta(minutes=59))
    report = clear_expired(Session)
    assert (report.expired, report.orphaned) == (0, 1)
    assert Session.objects.filter(user=user.pk + 1).count() == 1
    assert Session.objects.count() == 3


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("batch_size", [5000, 7])
def test_many_missing_users_are_found_among_many(batch_size: int) -> None:
    users = get_user_model()
    users.objects.bulk_create(users(username=f"user{number}") for number in range(1500))
    present = sorted(users.objects.values_list("pk", flat=True))
    missing = range(present[-1] + 1, present[-1] + 1501)
    Session.objects.bulk_create(
        Session(
            secret_hash=b"h" * 32,
            user_id=pk,
            created_at=NOW - timedelta(days=1),
            # Ties that are larger than a chunk.
            expire_date=FUTURE if pk % 3 else FUTURE + timedelta(hours=1),
        )
        for pair in zip(present, missing, strict=True)
        for pk in pair
    )
    counted = Cleanup(Session).count()
    with CaptureQueriesContext(connection) as context:
        report = Cleanup(Session, batch_size=batch_size).run()
    assert report.orphaned == counted.orphaned == 1500
    assert sorted(Session.objects.values_list("user_id", flat=True)) == present
    assert all(sql.count(",") <= 2 * batch_size for sql in deletes(context))


@pytest.mark.django_db
@both_walks
def test_a_session_that_is_renewed_before_its_batch_is_deleted_survives(active_share: int) -> None:
    rows = make(10, expire_date=seconds_ago)
    make(10 * active_share)

    def renew() -> None:
        Session.objects.filter(pk=rows[4].pk).update(expire_date=FUTURE)

    with connection.execute_wrapper(on_first_delete(renew)):
        report = Cleanup(Session).run()
    assert report.expired == 9
    assert Session.objects.filter(pk=rows[4].pk).exists()


@pytest.mark.django_db
def test_an_orphan_that_gets_another_user_before_its_batch_is_deleted_survives() -> None:
    user = get_user_model().objects.create_user("here")
    (row, *_) = make(3, user_id=user.pk + 1)

    def sign_in() -> None:
        Session.objects.filter(pk=row.pk).update(user=user)

    with connection.execute_wrapper(on_first_delete(sign_in)):
        Cleanup(Session).run()
    assert [one.pk for one in Session.objects.all()] == [row.pk]


@pytest.mark.django_db
@both_walks
def test_more_rows_than_a_batch_may_have_can_end_at_the_same_time(active_share: int) -> None:
    make(23, expire_date=PAST)
    make(2, expire_date=PAST + timedelta(microseconds=1))
    make(1, expire_date=PAST - timedelta(microseconds=1))
    make(26 * active_share)
    with CaptureQueriesContext(connection) as context:
        report = Cleanup(Session, batch_size=5).run()
    assert report.expired == 26
    assert Session.objects.count() == 26 * active_share
    assert len(deletes(context)) <= 26 * (1 + active_share)


@pytest.mark.slow
@pytest.mark.django_db
@both_walks
@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_no_statement_removes_more_rows_than_a_batch_may_have(
    active_share: int, batch_size: int
) -> None:
    make(40, expire_date=lambda number: PAST - timedelta(hours=number % 9))
    make(40 * active_share)
    counts: list[int] = []
    report = Cleanup(Session, batch_size=batch_size, on_batch=counts.append).run()
    assert sum(counts) == report.expired == 40
    assert max(counts) <= batch_size
    assert sum(count > 0 for count in counts) == report.batches


@pytest.mark.slow
@pytest.mark.django_db
def test_a_table_of_many_rows_takes_few_statements() -> None:
    make(3000, expire_date=seconds_ago)
    with CaptureQueriesContext(connection) as context:
        Cleanup(Session).run()
    # Batches of 500, 1000 and 2000 rows if none is slow, of 50 if all are.
    assert 3 <= len(deletes(context)) <= 60


@pytest.mark.slow
@pytest.mark.django_db
def test_slow_statements_shrink_the_batches_and_fast_ones_let_them_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(2000, expire_date=seconds_ago)
    sizes: list[int] = []
    monkeypatch.setattr("django_sessionkit.cleanup.STATEMENT_SECONDS", 1e-9)
    Cleanup(Session, on_batch=sizes.append, max_seconds=None).run()
    assert sizes[:5] == [500, 250, 125, 62, 50]
    make(4000, expire_date=seconds_ago)
    sizes.clear()
    monkeypatch.setattr("django_sessionkit.cleanup.STATEMENT_SECONDS", 3600)
    Cleanup(Session, on_batch=sizes.append).run()
    assert sizes[:3] == [500, 1000, 2000]


@pytest.mark.django_db
def test_ids_that_are_not_in_use_hold_nobody_up() -> None:
    (active,) = make(1)
    Session.objects.filter(pk=active.pk).update(id=1)
    make(20, expire_date=seconds_ago)
    Session.objects.exclude(pk=1).update(id=F("id") + 100_000)
    for left in (15, 10, 5, 0):
        Cleanup(Session, batch_size=5, max_seconds=0).run()
        assert Session.objects.count() == left + 1


@pytest.mark.django_db
def test_a_second_run_goes_on_where_the_time_of_the_first_was_up() -> None:
    make(20, expire_date=seconds_ago)
    first = Cleanup(Session, batch_size=5, max_seconds=0).run()
    assert (first.expired, first.batches, first.is_complete) == (5, 1, False)
    assert Session.objects.count() == 15
    second = Cleanup(Session, batch_size=5, max_seconds=3600).run()
    assert (second.expired, second.is_complete) == (15, True)


@pytest.mark.django_db
def test_it_rests_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    make(20, expire_date=seconds_ago)
    rests: list[float] = []
    monkeypatch.setattr("django_sessionkit.cleanup.time.sleep", rests.append)
    report = Cleanup(Session, batch_size=5, sleep=1.5).run()
    assert rests == [1.5] * report.batches


@pytest.mark.django_db
def test_counting_removes_nothing_and_counts_no_row_twice() -> None:
    missing = get_user_model().objects.create_user("here").pk + 1
    make(3, expire_date=PAST, user_id=missing)
    make(4, user_id=missing)
    make(5)
    assert Cleanup(Session).count() == CleanupReport(expired=3, orphaned=4)
    assert Session.objects.count() == 12
    report = Cleanup(Session).run()
    assert (report.expired, report.orphaned) == (3, 4)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options",
    [
        *({"batch_size": value} for value in (0, -1, 2.5, "10", None, True)),
        *({"sleep": value} for value in (-1, -0.1, float("nan"), float("inf"), "1", None, True)),
        *({"max_seconds": value} for value in (-1, float("nan"), float("inf"), "", "1", False)),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        Cleanup(Session, **options)


@pytest.mark.django_db(transaction=True)
def test_each_ended_session_is_announced_with_its_reason() -> None:
    expired = make(12, expire_date=seconds_ago)
    orphans = make(3, user_id=get_user_model().objects.create_user("here").pk + 1)
    make(4)
    heard: dict[uuid.UUID, SessionEndReason] = {}

    def listen(session: Session, reason: SessionEndReason, **kwargs: Any) -> None:
        heard[session.public_id] = reason

    session_ended.connect(listen)
    try:
        Cleanup(Session, batch_size=5).run()
    finally:
        session_ended.disconnect(listen)
    assert heard == {
        **{row.public_id: SessionEndReason.EXPIRED for row in expired},
        **{row.public_id: SessionEndReason.USER_DELETED for row in orphans},
    }


@pytest.mark.django_db(transaction=True)
def test_a_session_that_is_renewed_while_listeners_wait_is_not_announced() -> None:
    rows = make(10, expire_date=seconds_ago)
    heard: list[uuid.UUID] = []

    def listen(session: Session, **kwargs: Any) -> None:
        heard.append(session.public_id)

    def renew() -> None:
        thread = threading.Thread(target=renew_elsewhere, args=[rows[4].pk])
        thread.start()
        # A batch that locks what it has read lets the renewal wait, until it is too late for it.
        thread.join(timeout=0.5)
        threads.append(thread)

    threads: list[threading.Thread] = []
    session_ended.connect(listen)
    try:
        with connection.execute_wrapper(on_first_delete(renew)):
            Cleanup(Session).run()
    finally:
        session_ended.disconnect(listen)
    for thread in threads:
        thread.join()
    left = set(Session.objects.values_list("public_id", flat=True))
    assert set(heard) == {row.public_id for row in rows} - left


def renew_elsewhere(pk: int) -> None:
    try:
        Session.objects.filter(pk=pk).update(expire_date=FUTURE)
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@both_walks
def test_two_at_once_raise_nothing_and_lose_nothing(active_share: int) -> None:
    make(600, expire_date=seconds_ago)
    make(600 * active_share)
    barrier = threading.Barrier(2)
    reports: list[CleanupReport] = []
    errors: list[BaseException] = []

    def clean() -> None:
        try:
            barrier.wait(timeout=30)
            reports.append(Cleanup(Session, batch_size=20).run())
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=clean) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(report.expired for report in reports) == 600
    assert Session.objects.count() == 600 * active_share


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_the_database_broke_off_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(10, expire_date=seconds_ago)
    rests: list[float] = []
    monkeypatch.setattr("django_sessionkit.cleanup.time.sleep", rests.append)

    def deadlock() -> None:
        raise OperationalError("deadlock detected")

    with connection.execute_wrapper(on_first_delete(deadlock)):
        report = Cleanup(Session).run()
    assert report.expired == 10
    assert rests.count(0.1) == 1


@pytest.mark.django_db(transaction=True)
def test_what_goes_on_failing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    make(1, expire_date=PAST)
    monkeypatch.setattr("django_sessionkit.cleanup.time.sleep", lambda seconds: None)
    tries: list[str] = []

    def fail(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("DELETE"):
            tries.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, *arguments)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        Cleanup(Session).run()
    assert 1 < len(tries) < 10
    tries.clear()
    with (
        connection.execute_wrapper(fail),
        transaction.atomic(),
        pytest.raises(OperationalError),
    ):
        Cleanup(Session).run()
    # The transaction is lost: nothing is tried within it again.
    assert len(tries) == 1


@pytest.mark.django_db(transaction=True)
def test_each_batch_is_committed_by_itself() -> None:
    make(10, expire_date=seconds_ago)
    in_transaction: list[bool] = []

    def look(count: int) -> None:
        in_transaction.append(connection.in_atomic_block or not connection.get_autocommit())

    Cleanup(Session, batch_size=5, on_batch=look).run()
    assert in_transaction
    assert not any(in_transaction)


@pytest.mark.django_db(transaction=True)
def test_others_can_write_after_each_batch() -> None:
    make(30, expire_date=seconds_ago)
    make(1)
    written: list[int] = []

    def write() -> None:
        try:
            written.append(Session.objects.active().update(last_seen_at=timezone.now()))
        finally:
            connection.close()

    def write_elsewhere(count: int) -> None:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    report = Cleanup(Session, batch_size=5, on_batch=write_elsewhere).run()
    assert report.expired == 30
    assert written == [1] * report.batches


@pytest.mark.django_db
def test_it_rests_unasked_where_one_writer_locks_out_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(30, expire_date=seconds_ago)
    rests: list[float] = []
    monkeypatch.setattr("django_sessionkit.cleanup.time.sleep", rests.append)
    report = Cleanup(Session, batch_size=5).run()
    if connection.features.has_select_for_update:
        assert rests == []
    else:
        assert len(rests) == report.batches
        assert 0 < max(rests) <= report.longest_statement / 2


@pytest.mark.slow
@pytest.mark.django_db
def test_memory_does_not_grow_with_the_rows() -> None:
    make(500, expire_date=seconds_ago)
    Cleanup(Session, batch_size=100).run()  # Whatever is loaded once is loaded now.
    peaks: list[int] = []
    for count in (500, 5000):
        for start in range(0, count, 500):
            make(500, expire_date=lambda number, start=start: seconds_ago(start + number))
        tracemalloc.start()
        try:
            Cleanup(Session, batch_size=100).run()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000
