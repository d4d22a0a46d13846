"""The verbs: find, list, revoke."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from django_sessionkit import prepared, registry
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.models import Session
from django_sessionkit.signals import SessionEndReason, session_created, session_ended
from tests.browsers import both_ways
from tests.cases import looped
from tests.interleaving import before_each_statement, elsewhere, stored

pytestmark = [pytest.mark.django_db, pytest.mark.database]

GARBAGE: list[Any] = [None, "", "x", 7, 1.5, b"0" * 32, [], {}]
GARBAGE += ["0" * 31, "0" * 33, "%s", "'--", "é" * 32]


class Ended:
    """What ``session_ended`` has told."""

    def __init__(self) -> None:
        self.told: list[tuple[uuid.UUID, SessionEndReason, Any]] = []
        self.at_once: list[bool | None] = []

    def __call__(
        self, sender: Any, session: Any, reason: Any, actor: Any, at_once: Any, **kwargs: Any
    ) -> None:
        assert sender is Session
        assert isinstance(session, Session)
        self.told.append((session.public_id, reason, actor))
        self.at_once.append(at_once)

    @property
    def public_ids(self) -> set[uuid.UUID]:
        return {public_id for public_id, _, _ in self.told}


@pytest.fixture
def ended() -> Iterator[Ended]:
    ended = Ended()
    session_ended.connect(ended, weak=False)
    yield ended
    session_ended.disconnect(ended)


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


def signed_in(user: User | None, count: int = 1) -> list[AbstractSession]:
    """Make active sessions of the user (None: of visitors), oldest first."""
    end = timezone.now() + timedelta(days=1)
    rows = [
        Session(user=user, secret_hash=b"x" * 32, expire_date=end, data="") for _ in range(count)
    ]
    Session.objects.bulk_create(rows)
    return list(Session.objects.order_by("-id")[:count])[::-1]


def call(verb: str, *args: Any, is_async: bool, **kwargs: Any) -> Any:
    if is_async:
        return async_to_sync(getattr(registry, f"a{verb}"))(*args, **kwargs)
    return getattr(registry, verb)(*args, **kwargs)


def verbs(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        act()
    return [query["sql"].split()[0] for query in queries]


@pytest.mark.parametrize(
    "verb",
    [
        "list_sessions",
        "find_session",
        "revoke",
        "revoke_sessions",
        "revoke_others",
        "revoke_user",
        "revoke_everyone",
    ],
)
def test_each_verb_has_an_async_twin_of_the_same_signature(verb: str) -> None:
    sync, twin = getattr(registry, verb), getattr(registry, f"a{verb}")
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(sync) == inspect.signature(twin)


@both_ways
@pytest.mark.parametrize("by", ["instance", "primary key"])
def test_a_users_active_sessions_are_listed_newest_first_in_one_query(
    alice: User, bob: User, is_async: bool, by: str
) -> None:
    mine, _ = signed_in(alice, 3), signed_in(bob)
    signed_in(None)
    Session.objects.filter(pk=mine[1].pk).update(expire_date=timezone.now())
    user = alice if by == "instance" else alice.pk
    assert call("list_sessions", user, is_async=is_async) == [mine[2], mine[0]]
    assert verbs(lambda: call("list_sessions", user, is_async=is_async)) == ["SELECT"]


@both_ways
def test_a_list_leaves_data_and_hashes_unread_until_they_are_asked_for(
    alice: User, is_async: bool
) -> None:
    signed_in(alice, 3)
    Session.objects.update(data="its data")
    listed = call("list_sessions", alice, is_async=is_async)
    assert [row.get_deferred_fields() for row in listed] == [{"data", "secret_hash"}] * 3

    def look() -> None:
        for row in listed:
            assert row.is_active
            assert (str(row), row.label, row.user_id) == (
                str(row.public_id),
                "Unknown device",
                alice.pk,
            )

    assert verbs(look) == []
    assert verbs(lambda: listed[1].data) == ["SELECT"]
    assert listed[1].data == "its data"


@pytest.mark.parametrize("prepares", [True, False])
@pytest.mark.parametrize(("key", "ends"), [(0, 0), (-1, 0), (2**40, 0), ("", ValueError)])
def test_a_primary_key_that_no_user_can_have_lists_what_it_ends(
    key: Any, ends: Any, prepares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "is_on", prepares)
    signed_in(None)
    if ends == 0:
        assert registry.list_sessions(key) == []
        assert registry.revoke_user(key).count == 0
        return
    for verb in (registry.list_sessions, registry.revoke_user):
        with pytest.raises(ends):
            verb(key)


@both_ways
def test_a_session_is_found_by_its_public_id_in_every_form(alice: User, is_async: bool) -> None:
    (row,) = signed_in(alice)
    one = row.public_id
    for form in (one, str(one), one.hex, str(one).upper(), f"{{{one}}}", one.urn):
        assert call("find_session", form, is_async=is_async) == row
    assert verbs(lambda: call("find_session", one, is_async=is_async)) == ["SELECT"]
    assert call("find_session", uuid.uuid4(), is_async=is_async) is None


@both_ways
def test_a_session_that_has_expired_is_found_too(alice: User, is_async: bool) -> None:
    (row,) = signed_in(alice)
    Session.objects.update(expire_date=timezone.now())
    found = call("find_session", row.public_id, is_async=is_async)
    assert found == row
    assert not found.is_active


@both_ways
@looped("garbage", GARBAGE)
def test_garbage_finds_and_ends_nothing_and_costs_no_query(
    alice: User, is_async: bool, garbage: Any
) -> None:
    row = signed_in(alice)[0]
    before = Session.objects.count()
    error = ValueError if isinstance(garbage, str) else TypeError
    with CaptureQueriesContext(connection) as queries:
        assert call("find_session", garbage, is_async=is_async) is None
        with pytest.raises(error):
            call("revoke", garbage, owner=registry.ANY_OWNER, is_async=is_async)
        with pytest.raises(error):
            call("revoke_sessions", [row, garbage], owner=alice, is_async=is_async)
        with pytest.raises(error):
            call("revoke_others", alice, keep=garbage, is_async=is_async)
    assert len(queries) == 0
    assert Session.objects.count() == before


@both_ways
@pytest.mark.parametrize("form", ["row", "uuid", "string"])
def test_revoke_ends_that_session_alone(alice: User, is_async: bool, form: str) -> None:
    one, other = signed_in(alice, 2)
    given = {"row": one, "uuid": one.public_id, "string": str(one.public_id)}[form]
    assert verbs(lambda: call("revoke", given, owner=registry.ANY_OWNER, is_async=is_async)) == [
        "DELETE"
    ]
    assert list(Session.objects.all()) == [other]
    assert call("revoke", given, owner=registry.ANY_OWNER, is_async=is_async).count == 0


@both_ways
def test_revoke_sessions_takes_rows_public_ids_and_querysets(
    alice: User, bob: User, is_async: bool
) -> None:
    mine = signed_in(alice, 3)
    signed_in(bob, 2)
    chosen = [mine[0], mine[1].public_id, str(mine[2].public_id), uuid.uuid4()]
    assert (
        call("revoke_sessions", iter(chosen), owner=registry.ANY_OWNER, is_async=is_async).count
        == 3
    )
    rows = Session.objects.filter(user=bob)
    assert call("revoke_sessions", rows, owner=registry.ANY_OWNER, is_async=is_async).count == 2
    assert call("revoke_sessions", [], owner=registry.ANY_OWNER, is_async=is_async).count == 0


@both_ways
@pytest.mark.parametrize("form", ["row", "uuid", "string"])
def test_revoke_others_keeps_one(
    alice: User, bob: User, is_async: bool, form: str, ended: Ended
) -> None:
    mine, his = signed_in(alice, 4), signed_in(bob)
    kept = mine[1]
    keep = {"row": kept, "uuid": kept.public_id, "string": str(kept.public_id)}[form]
    assert call("revoke_others", alice, keep=keep, is_async=is_async).count == 3
    assert set(Session.objects.all()) == {kept, *his}
    assert call("revoke_others", alice, keep=keep, is_async=is_async).count == 0


@both_ways
def test_revoke_others_ends_all_of_the_user_if_what_is_kept_is_somebody_elses(
    alice: User, bob: User, is_async: bool
) -> None:
    signed_in(alice, 2)
    (his,) = signed_in(bob)
    assert call("revoke_others", alice, keep=his, is_async=is_async).count == 2
    assert list(Session.objects.all()) == [his]


@both_ways
@pytest.mark.parametrize("by", ["instance", "primary key"])
def test_all_of_a_users_1000_sessions_end_with_one_statement(
    alice: User, bob: User, is_async: bool, by: str
) -> None:
    signed_in(alice, 1000)
    (his,) = signed_in(bob)
    user = alice if by == "instance" else alice.pk
    assert verbs(lambda: call("revoke_user", user, is_async=is_async)) == ["DELETE"]
    assert list(Session.objects.all()) == [his]
    assert call("revoke_user", user, is_async=is_async).count == 0


@both_ways
def test_with_a_listener_it_takes_three_statements(
    alice: User, is_async: bool, ended: Ended
) -> None:
    signed_in(alice, 3)
    statements = verbs(lambda: call("revoke_user", alice, is_async=is_async))
    # Read under a lock, so in a transaction: here a savepoint of the test's own.
    assert statements[0] == "SAVEPOINT"
    assert statements[-1] == "RELEASE"
    locking = ["UPDATE"] if connection.vendor == "sqlite" else []
    # The second look finds what has been added meanwhile.
    assert statements[1:-1] == [*locking, "SELECT", "DELETE", "SELECT"]


@both_ways
def test_a_user_without_sessions_has_none_to_end(alice: User, is_async: bool) -> None:
    signed_in(None)
    assert call("list_sessions", alice, is_async=is_async) == []
    assert call("revoke_user", alice, is_async=is_async).count == 0
    assert Session.objects.count() == 1


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1001])
def test_everyones_sessions_end_visitors_too(alice: User, is_async: bool, count: int) -> None:
    signed_in(None, count // 2)
    signed_in(alice, count - count // 2)
    assert call("revoke_everyone", is_async=is_async).count == count
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite lets nobody write while a transaction reads"
)
def test_revoking_everyone_ends_although_others_have_revoked_many_meanwhile() -> None:
    rows = signed_in(None, 1200)

    def too_often(number: int, verb: str) -> None:
        if number > 20:
            raise OperationalError("it goes round in circles")

    with transaction.atomic(), before_each_statement(too_often):
        assert Session.objects.count() == 1200  # under REPEATABLE READ, what is seen from now on
        elsewhere(Session.objects.filter(pk__lte=rows[599].pk).delete)
        assert registry.revoke_everyone().count == 600
    assert not Session.objects.exists()


@both_ways
def test_what_ended_is_told_with_reason_and_actor(
    alice: User,
    bob: User,
    is_async: bool,
    ended: Ended,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    mine, his = signed_in(alice, 5), signed_in(bob, 2)
    with django_capture_on_commit_callbacks(execute=True):
        call("revoke", mine[0], owner=registry.ANY_OWNER, is_async=is_async)
        call(
            "revoke_sessions",
            [mine[1], mine[2]],
            actor=bob,
            owner=registry.ANY_OWNER,
            is_async=is_async,
        )
        call("revoke_others", alice, keep=mine[3], actor=alice, is_async=is_async)
        call("revoke_user", bob, reason=SessionEndReason.USER_DEACTIVATED, is_async=is_async)
        call("revoke_everyone", reason=SessionEndReason.EXPIRED, actor=bob, is_async=is_async)
        call("revoke_everyone", is_async=is_async)
        call("revoke", mine[0], owner=registry.ANY_OWNER, is_async=is_async)
    revoked, deactivated = SessionEndReason.REVOKED, SessionEndReason.USER_DEACTIVATED
    expected = [(mine[0], revoked, None), (mine[1], revoked, bob), (mine[2], revoked, bob)]
    expected += [(mine[4], revoked, alice)] + [(one, deactivated, None) for one in his]
    expected += [(mine[3], SessionEndReason.EXPIRED, bob)]
    assert sorted(ended.told, key=str) == sorted(
        [(row.public_id, reason, actor) for row, reason, actor in expected], key=str
    )


@pytest.mark.django_db(transaction=True)
@both_ways
def test_outside_of_a_transaction_it_is_told_at_once(
    alice: User, is_async: bool, ended: Ended
) -> None:
    (row,) = signed_in(alice)
    call("revoke", row, owner=registry.ANY_OWNER, is_async=is_async)
    assert ended.public_ids == {row.public_id}


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_takes_effect_with_the_commit(alice: User, ended: Ended) -> None:
    session = SessionStore()
    session["_auth_user_id"] = str(alice.pk)
    session.save()
    with transaction.atomic():
        registry.revoke_user(alice)
        assert not ended.told
        if connection.vendor != "sqlite":
            assert elsewhere(lambda: stored(session.session_key))
    assert ended.public_ids == {session.public_id}
    assert stored(session.session_key) == {}


@pytest.mark.django_db(transaction=True)
@both_ways
def test_a_transaction_that_is_rolled_back_ends_nothing_and_tells_nothing(
    alice: User, is_async: bool, ended: Ended
) -> None:
    rows = signed_in(alice, 3)
    with transaction.atomic():
        registry.revoke(rows[0], owner=registry.ANY_OWNER)
        registry.revoke_user(alice)
        registry.revoke_everyone()
        Session.objects.all().delete()
        transaction.set_rollback(True)
    assert call("list_sessions", alice, is_async=is_async) == rows[::-1]
    assert not ended.told


def test_a_listener_that_fails_neither_stops_the_others_nor_the_revocation(
    alice: User,
    ended: Ended,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def fail(**kwargs: object) -> None:
        raise ZeroDivisionError

    rows = signed_in(alice, 2)
    session_ended.disconnect(ended)
    session_ended.connect(fail, weak=False)
    session_ended.connect(ended, weak=False)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            assert registry.revoke_user(alice).count == 2
    finally:
        session_ended.disconnect(fail)
    assert ended.public_ids == {row.public_id for row in rows}


def test_a_new_session_is_told_once_after_the_commit(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    told: list[Session] = []

    def created(session: Session, **kwargs: object) -> None:
        told.append(session)

    session_created.connect(created)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            session = SessionStore()
            session["one"] = 1
            session.save()
            session["two"] = 2
            session.save()
            assert not told
    finally:
        session_created.disconnect(created)
    assert [one.public_id for one in told] == [session.public_id]
    assert told[0].pk is not None


def test_a_row_deleted_through_the_orm_is_told_once(
    alice: User,
    ended: Ended,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    rows = signed_in(alice, 3)
    with django_capture_on_commit_callbacks(execute=True):
        rows[0].delete()
        Session.objects.all().delete()
    assert sorted(ended.told, key=str) == sorted(
        [(row.public_id, SessionEndReason.DELETED, None) for row in rows], key=str
    )


@both_ways
@pytest.mark.parametrize("nobody", [None, AnonymousUser()], ids=["None", "anonymous"])
def test_visitors_sessions_are_nobodys(nobody: object, is_async: bool) -> None:
    (visitor,) = signed_in(None)
    assert call("list_sessions", nobody, is_async=is_async) == []
    assert call("revoke_user", nobody, is_async=is_async).count == 0
    assert call("revoke_others", nobody, keep=uuid.uuid4(), is_async=is_async).count == 0
    assert list(Session.objects.all()) == [visitor]


@pytest.mark.django_db(transaction=True)
def test_a_site_that_rules_its_transactions_itself_is_told_too(ended: Ended) -> None:
    created: list[object] = []

    def note(session: AbstractSession, **kwargs: object) -> None:
        created.append(session.public_id)

    session_created.connect(note)
    transaction.set_autocommit(False)
    try:
        session = SessionStore()
        session.create()
        assert created == [session.public_id]
        assert registry.revoke_everyone() == registry.Ended(1, registry.InForce.ON_COMMIT)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
        session_created.disconnect(note)
    assert ended.at_once == [True]


@pytest.mark.django_db(transaction=True)
def test_a_result_does_not_guess_when_the_site_commits_by_itself(alice: User) -> None:
    in_force: list[registry.InForce] = []
    rows = signed_in(alice, 2)
    transaction.set_autocommit(False)
    try:
        gone = registry.revoke(rows[0], owner=registry.ANY_OWNER)
        assert gone == registry.Ended(1, registry.InForce.ON_COMMIT)
        gone.on_commit(in_force.append)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert in_force == []
    assert registry.list_sessions(alice) == [rows[1]]
