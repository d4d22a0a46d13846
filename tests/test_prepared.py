"""Statements that are prepared do what the ORM does."""

from __future__ import annotations

import gc
import threading
import uuid
import weakref
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import CharField, F, Model
from django.db.models.signals import ModelSignal, post_init, post_save, pre_init
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit import prepared, registry, statements
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.models import Session

pytestmark = [pytest.mark.django_db, pytest.mark.varies]


@pytest.fixture
def session() -> Session:
    user = User.objects.create_user("alice", first_name="Älice")
    return Session.objects.create(
        user=user,
        secret_hash=bytes(range(32)),
        expire_date=timezone.now() + timedelta(days=1),
        ip_address="2001:db8::1",
        user_agent="é" * 10,
        data="some data",
    )


def find(public_id: uuid.UUID, *, with_user: bool = False) -> Any:
    def build(at: Any) -> Any:
        rows = registry.sessions(Session).filter(
            public_id=at("public_id", Session._meta.get_field("public_id"))
        )
        return rows.select_related("user") if with_user else rows

    what = ("test", with_user)
    return prepared.first(what, build, {"public_id": public_id}, "default")


def columns(instance: Model) -> dict[str, Any]:
    values = {name: value for name, value in vars(instance).items() if name != "_state"}
    return {
        name: bytes(value) if name == "secret_hash" else value for name, value in values.items()
    }


@pytest.mark.parametrize("zones", [True, False])
def test_every_column_is_as_the_orm_reads_it(session: Session, zones: bool) -> None:
    with override_settings(USE_TZ=zones):
        expected = Session.objects.select_related("user").get()
        for _ in range(2):
            found = find(session.public_id, with_user=True)
            assert columns(found) == columns(expected)
            assert expected.user is not None
            assert columns(found._state.fields_cache["user"]) == columns(expected.user)
            assert (found._state.db, found._state.adding) == ("default", False)
            assert "user" not in find(session.public_id)._state.fields_cache
    assert find(uuid.uuid4()) is None


def test_many_rows_are_as_the_orm_reads_them_in_its_order(session: Session) -> None:
    for number in range(3):
        # Somebody and nobody in turn: of nobody there is no instance.
        Session.objects.create(
            user=session.user if number % 2 else None,
            secret_hash=bytes([number] * 32),
            expire_date=session.expire_date,
            ip_address=None if number else "192.0.2.1",
        )
    field = Session._meta.get_field("expire_date")

    def build(at: Any) -> Any:
        rows = registry.sessions(Session).filter(expire_date__gte=at("expire_date", field))
        return rows.select_related("user").order_by("-id")

    def every(since: Any) -> list[Any]:
        return prepared.every("test", build, {"expire_date": since}, "default")

    expected = list(Session.objects.select_related("user").order_by("-id"))
    for _ in range(2):
        found = every(session.expire_date)
        assert list(map(columns, found)) == list(map(columns, expected))
        users = [row._state.fields_cache.get("user") for row in found]
        assert users == [None, session.user, None, session.user]
    assert every(session.expire_date + timedelta(seconds=1)) == []


@pytest.mark.parametrize("signal", [pre_init, post_init])
def test_who_listens_to_instances_being_made_hears_of_them(
    session: Session, signal: ModelSignal
) -> None:
    heard: list[object] = []

    def hear(sender: object, **kwargs: object) -> None:
        heard.append(sender)

    find(session.public_id, with_user=True)
    signal.connect(hear)
    try:
        found = find(session.public_id, with_user=True)
    finally:
        signal.disconnect(hear)
    assert heard == [Session, User]
    assert found == session


@pytest.mark.parametrize("name", ["__init__", "__setattr__", "from_db"])
def test_a_model_that_is_made_in_a_way_of_its_own_is_made_so(name: str) -> None:
    made: list[str] = []

    class Mixin:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append("__init__")
            super().__init__(*args, **kwargs)

        def __setattr__(self, attribute: str, value: Any) -> None:
            made.append("__setattr__")
            super().__setattr__(attribute, value)

        @classmethod
        def from_db(cls, *args: Any, **kwargs: Any) -> Any:
            made.append("from_db")
            return super().from_db(*args, **kwargs)  # type: ignore[misc]

    for other in ("__init__", "__setattr__", "from_db"):
        if other != name:
            delattr(Mixin, other)

    class Own(Mixin, AbstractBaseUser):
        class Meta:
            app_label = f"own_{name.strip('_')}"

    names = tuple(field.attname for field in Own._meta.concrete_fields)
    statements._way_to_make(Own, "default", names)([1, "password", None])
    assert set(made) == {name}


def test_what_was_not_asked_for_is_deferred(session: Session) -> None:
    names = ("id", "public_id")

    def build(at: Any) -> Any:
        return registry.sessions(Session).filter(pk=at("pk", Session._meta.pk)).only(*names)

    made = prepared.first("some columns", build, {"pk": session.pk}, "default")
    assert made.get_deferred_fields() == {
        field.attname for field in Session._meta.concrete_fields if field.attname not in names
    }
    assert made.data == "some data"


def test_who_has_no_user_has_none(session: Session) -> None:
    Session.objects.update(user=None)
    found = find(session.public_id, with_user=True)
    assert (found.user_id, found.user) == (None, None)
    Session.objects.update(user=987654)
    found = find(session.public_id, with_user=True)
    assert found.user_id == 987654
    with pytest.raises(User.DoesNotExist):
        _ = found.user


def test_an_update_writes_what_the_orm_writes(session: Session) -> None:
    now = timezone.now()
    changes = {"data": "other", "user_id": None, "ip_address": "192.0.2.1", "last_seen_at": now}
    was = {"id": session.pk, "version": 1, "secret_hash": bytes(range(32))}
    assert prepared.update(Session, was, changes, "default") == 1
    row = Session.objects.get()
    assert {name: getattr(row, name) for name in changes} == changes
    assert prepared.update(Session, {**was, "version": 2}, changes, "default") == 0
    # MySQL counts rows that stay as they are as well, for Django asks it to.
    assert prepared.update(Session, was, changes, "default") == 1


def test_a_condition_may_have_a_lookup(session: Session) -> None:
    moment = session.last_seen_at
    for was, count in ((moment - timedelta(seconds=1), 0), (moment, 1)):
        conditions = {"id": session.pk, "last_seen_at__lte": was}
        assert prepared.update(Session, conditions, {"data": "x"}, "default") == count


def test_an_expression_is_left_to_the_orm(session: Session) -> None:
    assert (
        prepared.update(Session, {"id": session.pk}, {"version": F("version") + 5}, "default") == 1
    )
    assert Session.objects.get().version == 6


def test_the_sql_is_written_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *arguments: Any) -> None:
        pytest.fail("It was written again.")

    find(session.public_id)
    prepared.update(Session, {"id": session.pk}, {"data": "x"}, "default")
    monkeypatch.setattr(connection.ops, "compiler", fail)
    assert find(session.public_id) == session
    assert prepared.update(Session, {"id": session.pk}, {"data": "y"}, "default") == 1


def test_an_insert_writes_what_the_orm_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def new() -> Session:
        end = timezone.now() + timedelta(days=1)
        return Session(
            user_id=5, secret_hash=bytes(32), expire_date=end, data="é", ip_address="192.0.2.1"
        )

    session = new()
    pk = prepared.insert(Session, columns(session), "default")
    assert pk is not None
    assert columns(Session.objects.get(pk=pk)) == columns(session) | {"id": pk}
    again = new()
    again.public_id = session.public_id
    with pytest.raises(IntegrityError), transaction.atomic():
        prepared.insert(Session, columns(again), "default")


def test_an_insert_is_left_to_the_orm_where_somebody_listens() -> None:
    heard: list[object] = []

    def hear(instance: object, **kwargs: object) -> None:
        heard.append(instance)

    post_save.connect(hear, sender=Session)
    try:
        session = Session(secret_hash=bytes(32), expire_date=timezone.now())
        assert prepared.insert(Session, columns(session), "default") is None
        assert not Session.objects.exists()
        store = SessionStore()
        store["cat"] = "Tom"
        store.save()
    finally:
        post_save.disconnect(hear, sender=Session)
    assert heard == [Session.objects.get()]


def test_the_statements_are_seen_by_who_counts_queries(session: Session) -> None:
    with CaptureQueriesContext(connection) as queries:
        find(session.public_id)
        prepared.update(Session, {"id": session.pk}, {"data": "x"}, "default")
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "UPDATE"]


def test_an_error_breaks_the_transaction_as_with_the_orm(session: Session) -> None:
    with pytest.raises(Exception, match=r"(?i)null|constraint"), transaction.atomic():
        prepared.update(Session, {"id": session.pk}, {"user_agent": None}, "default")
    with transaction.atomic():
        try:
            prepared.update(Session, {"id": session.pk}, {"user_agent": None}, "default")
        except Exception:
            assert connection.needs_rollback
            transaction.set_rollback(True)


def test_a_field_that_makes_its_sql_of_the_value_is_left_to_the_orm(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ShoutingField(CharField):  # type: ignore[type-arg]
        def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
            return "UPPER(%s)" if value.islower() else "%s"

        def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
            return self.get_placeholder(value, compiler, connection), (value,)

    monkeypatch.setattr(Session._meta.get_field("user_agent"), "__class__", ShoutingField)
    for value, stored in (("small", "SMALL"), ("Large", "Large")):
        # Another set of columns than in other tests: those have been prepared.
        changes = {"user_agent": value, "created_at": timezone.now()}
        assert prepared.update(Session, {"id": session.pk}, changes, "default") == 1
        assert Session.objects.get().user_agent == stored


def test_a_statement_keeps_the_connection_of_no_thread_alive(session: Session) -> None:
    prepared._statements.clear()
    connections_of_the_thread: list[Any] = []

    def ask() -> None:
        # The first to ask: the statement is prepared with its connection.
        find(session.public_id, with_user=True)
        connections_of_the_thread.append(weakref.ref(connections["default"]))
        connections.close_all()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    gc.collect()
    (connection_of_the_thread,) = connections_of_the_thread
    assert prepared._statements
    assert connection_of_the_thread() is None
