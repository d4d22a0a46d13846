"""What we use of other packages that they do not document, or may change without a word.

An upgrade that changes one of these things fails here, and says which modules of ours use it and
what for. The table holds all names with a leading underscore that our source has of others, and all
that is imported from modules that no documentation names; tests look for both.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import django
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import BinaryField, QuerySet, TextField
from django.db.models.base import ModelState
from django.template.loader import get_template
from django.test import RequestFactory
from django.utils import timezone
from django.utils.crypto import salted_hmac
from joserfc.jws import JWSRegistry

from django_sessionkit import prepared, registry, signing
from django_sessionkit.backends.reading import ReadingStore
from django_sessionkit.models import Session
from django_sessionkit.tokens.jwt import ALGORITHMS
from tests import foreign_names
from tests.foreign_names import Use, sources

pytestmark = [pytest.mark.django_db, pytest.mark.varies]


@dataclass(frozen=True)
class Private:
    """A thing of another package.

    ``what`` is where it lies, ``where`` names our modules that use it, and ``why`` says what for.
    ``check`` gets the thing and raises an error where it is not as we take it to be.
    ``names`` are those that our source has for it, if that is not the last part of ``what``.
    """

    what: str
    where: str
    why: str
    check: Callable[[Any], object]
    names: tuple[str, ...] = ()

    @property
    def uses(self) -> set[Use]:
        """Each of our modules with each name."""
        names = self.names or (self.what.rpartition(".")[2],)
        return {(module, name) for module in self.where.split() for name in names}

    def fault(self) -> str:
        """Return what has changed and what to look at; an empty text if nothing has."""
        try:
            self.check(_found(self.what))
        except Exception as error:  # a check may meet anything
            return f"{self.what} ({self.where}: {self.why}): {type(error).__name__}: {error}"
        return ""


def _found(path: str) -> Any:
    """Return what lies at the dotted path."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


# Checks that serve for many


def shape(function: Any) -> str:
    """Return the parameters, without their types."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(str(one.replace(annotation=one.empty)) for one in parameters)


def takes(*shapes: str) -> Callable[[Any], object]:
    """Check that a function takes exactly this; several where versions differ."""

    def check(function: Any) -> None:
        assert shape(function) in shapes

    return check


def accepts(*names: str) -> Callable[[Any], object]:
    """Check that a function has these parameters, whatever else."""

    def check(function: Any) -> None:
        assert set(names) <= inspect.signature(function).parameters.keys()

    return check


def has(*names: str) -> Callable[[Any], object]:
    """Check that there are these attributes."""

    def check(thing: Any) -> None:
        assert [name for name in names if not hasattr(thing, name)] == []

    return check


def methods_take(shapes: Mapping[str, str]) -> Callable[[Any], object]:
    """Check that the methods of a class take exactly this."""

    def check(cls: Any) -> None:
        assert {name: shape(getattr(cls, name)) for name in shapes} == shapes

    return check


def equals(expected: object) -> Callable[[Any], object]:
    """Check that it is this value."""

    def check(thing: Any) -> None:
        assert thing == expected

    return check


def holds(test: Callable[[Any], bool]) -> Callable[[Any], object]:
    """Check that the test is true of it."""

    def check(thing: Any) -> None:
        assert test(thing)

    return check


def says(text: str) -> Callable[[Any], object]:
    """Check that its source has this text."""

    def check(thing: Any) -> None:
        assert text in inspect.getsource(thing)

    return check


# Checks of one thing each


def rows_are_deleted_and_counted(method: Any) -> None:
    assert shape(method) == "self, using"
    assert Session.objects.filter(pk=0)._raw_delete("default") == 0


def a_select_has_its_columns_side_by_side(cls: Any) -> None:
    compiler: Any = Session.objects.select_related("user").query.get_compiler("default")
    assert type(compiler).as_sql is cls.as_sql
    sql, params = compiler.as_sql()
    assert (sql.split()[0], tuple(params)) == ("SELECT", ())
    columns = [column for column, _, _ in compiler.select[: compiler.col_count]]
    main = compiler.klass_info
    (related,) = main["related_klass_infos"]
    assert (main["model"], related["model"]) == (Session, User)
    assert related["field"] is Session._meta.get_field("user")
    for info in (main, related):
        places = info["select_fields"]
        assert places == list(range(places[0], places[-1] + 1))
        names = [columns[place].target.attname for place in places]
        assert names == [field.attname for field in info["model"]._meta.concrete_fields]
    for place, (functions, expression) in compiler.get_converters(columns).items():
        assert expression is columns[place]
        for convert in functions:
            # Bound to nothing that would keep a connection alive, but to what is bound anew.
            assert getattr(convert, "__self__", None) in (None, connection.ops, expression.target)
            assert convert(None, expression, connection) is None


def an_insert_is_one_statement(cls: Any) -> None:
    query: Any = cls(Session)
    fields = [field for field in Session._meta.local_concrete_fields if not field.primary_key]
    query.insert_values(fields, [Session()], raw=True)
    ((sql, params),) = query.get_compiler("default").as_sql()
    assert (sql.split()[0], len(params)) == ("INSERT", len(fields))


def an_update_is_one_statement(cls: Any) -> None:
    query: Any = Session.objects.filter(pk=1).query.chain(cls)
    query.add_update_values({"data": "x"})
    sql, params = query.get_compiler("default").as_sql()
    assert (sql.split()[0], tuple(params)) == ("UPDATE", ("x", 1))


def a_delete_is_one_statement(cls: Any) -> None:
    sql, params = Session.objects.filter(pk=1).query.chain(cls).get_compiler("default").as_sql()
    assert re.match(r"DELETE FROM \S+ WHERE ", sql)
    assert tuple(params) == (1,)


def rows_are_made_as_we_make_them(function: Any) -> None:
    parameters = "db, field_names, values"
    assert shape(function) in (parameters, f"{parameters}, fetch_mode=None")
    session = Session.objects.create(secret_hash=bytes(32), expire_date=timezone.now())

    def build(at: Any) -> Any:
        pk = at("pk", Session._meta.pk)
        return registry.sessions(Session).filter(pk=pk).only("id", "user_agent")

    theirs = Session.from_db("default", ["id", "user_agent"], [session.pk, ""])
    ours = prepared.first("private api", build, {"pk": session.pk}, "default")
    states = [dict(vars(one.__dict__.pop("_state"))) for one in (theirs, ours)]
    assert vars(theirs) == vars(ours) == {"id": session.pk, "user_agent": ""}
    assert states[0] == states[1]


def plain_columns_have_it(cls: Any) -> None:
    assert type(inspect.getattr_static(User, "username")) is cls


def foreign_keys_have_it(cls: Any) -> None:
    assert type(inspect.getattr_static(Session, "user_id")) is cls


def one_field_makes_sql_of_values(cls: Any) -> None:
    names = ("get_placeholder", "get_placeholder_sql")
    assert sum(hasattr(BinaryField, name) for name in names) == 1
    assert not any(hasattr(TextField, name) for name in names)


def nothing_refers_to_sessions(function: Any) -> None:
    assert shape(function) == "opts"
    assert list(function(Session._meta)) == []


def a_collector_takes_rows(cls: Any) -> None:
    accepts("using", "origin")(cls)
    accepts("objs")(cls.collect)
    takes("self")(cls.delete)


def a_rollback_takes_its_callbacks_out(callbacks: Any) -> None:
    def act() -> None: ...

    transaction.on_commit(act)
    assert callbacks.pop() == (set(connection.savepoint_ids), act, False)
    before = list(callbacks)
    with transaction.atomic():
        callbacks.insert(0, (set(connection.savepoint_ids), act, False))
        transaction.set_rollback(True)
    assert connection.run_on_commit == before


def users_are_remembered_there(cls: Any) -> None:
    session, user = Session(), User(pk=1)
    field: Any = Session._meta.get_field("user")
    field.set_cached_value(session, user)
    assert session._state.fields_cache == {"user": user}
    assert cls().fields_cache == {}


def data_lie_there(cls: Any) -> None:
    store = cls()
    store["name"] = "value"
    assert store._session_cache == {"name": "value"}
    store.set_expiry(5)
    assert store._session_cache["_session_expiry"] == 5


def stores_have_what_ours_use(cls: Any) -> None:
    store = cls()
    has("accessed", "modified", "serializer", "key_salt")(store)
    assert (store.accessed, store.modified) == (False, False)


def twins_run_in_a_thread(cls: Any) -> None:
    for name in ("exists", "create", "save", "delete", "load"):
        assert f"sync_to_async(self.{name})" in inspect.getsource(getattr(cls, f"a{name}"))
    assert "sync_to_async(cls.clear_expired)" in inspect.getsource(cls.aclear_expired)


def new_passwords_lie_there(cls: Any) -> None:
    user: Any = User()
    assert user._password is None
    user.set_password("x")
    assert user._password == "x"


def keys_begin_so(module: Any) -> None:
    for name in ("SESSION_KEY", "BACKEND_SESSION_KEY", "HASH_SESSION_KEY"):
        assert getattr(module, name).startswith("_auth_user_")


def signatures_are_ours(method: Any) -> None:
    assert shape(method) == "self, value, key=None"
    signer: Any = import_module("django.core.signing").TimestampSigner(key="k", salt="s")
    assert signer.signature("v") == signing._signer("s", "k", ()).signature("v")


def digests_are_ours(function: Any) -> None:
    digest = salted_hmac("s", "v", "k", algorithm="sha256").digest()
    assert digest == signing.salted_digest("s", "v", "k")


def warnings_have_these_ids(module: Any) -> None:
    for name in ("W010", "W012", "W013", "W015"):
        assert getattr(module, name).id == f"security.{name}"


MIDDLEWARE = {
    "process_request": "self, request",
    "process_response": "self, request, response",
    "__call__": "self, request",
    "__acall__": "self, request",
}
CHANGELIST = {
    "get_ordering": "self, request, queryset",
    "get_queryset": "self, request, exclude_parameters=None",
    "get_results": "self, request",
    "get_filters": "self, request",
    "get_filters_params": "self, params=None",
    "get_query_string": "self, new_params=None, remove=None",
    "url_for_result": "self, result",
}
CHANGELIST_ATTRIBUTES = (
    *("can_show_all", "filter_params", "filter_specs", "full_result_count", "list_per_page"),
    *("model_admin", "multi_page", "opts", "paginator", "params", "query", "queryset"),
    *("result_count", "result_list", "root_queryset", "show_admin_actions", "show_all"),
    "show_full_result_count",
)
MODEL_ADMIN = {
    "get_object": "self, request, object_id, from_field=None",
    "get_search_results": "self, request, queryset, search_term",
    "has_module_permission": "self, request",
}
MODEL_ADMIN_ENDS = {
    "changelist_view": "self, request, extra_context=None",
    "delete_view": "self, request, object_id, extra_context=None",
    "get_deleted_objects": "self, objs, request",
    "get_preserved_filters": "self, request",
    "log_deletions": "self, request, queryset",
    "response_delete": "self, request, obj_display, obj_id",
}


def lists_have_what_ours_use(cls: Any) -> None:
    request = RequestFactory().get("/", {"is_staff__exact": "1"})
    request.user = User(is_active=True, is_superuser=True)
    changes = UserAdmin(User, admin.site).get_changelist_instance(request)
    assert isinstance(changes, cls)
    has(*CHANGELIST_ATTRIBUTES)(changes)
    assert changes.params == {"is_staff__exact": "1"}
    assert changes.filter_params == {"is_staff__exact": ["1"]}


def it_is_an_action(function: Any) -> None:
    actions: Any = admin.site.actions
    assert dict(actions)["delete_selected"] is function


def forms_have_it(cls: Any) -> None:
    assert "select_across" in cls.base_fields


def entries_have_these_columns(cls: Any) -> None:
    names = {"user_id", "content_type_id", "object_id", "object_repr", "action_flag"}
    assert {*names, "change_message"} <= {field.attname for field in cls._meta.concrete_fields}


def templates_have_blocks(**blocks: str) -> Callable[[Any], object]:
    def check(thing: Any) -> None:
        for name, wanted in blocks.items():
            template: Any = get_template(f"admin/{name}.html")
            found = re.findall(r"{% block (\S+) %}", template.template.source)
            assert set(wanted.split()) <= set(found), name

    return check


def clients_know_their_servers(cls: Any) -> None:
    url = "redis://127.0.0.1:1/0"
    client = cls([url], {"OPTIONS": {"NAME": "value"}}, None)
    assert (client._server, client._options) == ([url], {"NAME": "value"})
    parameters = client.connection_factory.make_connection_params(url)
    assert {"url", "parser_class"} <= parameters.keys()


def the_cache_gives_its_client_away(cls: Any) -> None:
    assert isinstance(inspect.getattr_static(cls, "client"), property)


def errors_say_their_state(module: Any) -> None:
    assert module.SerializationFailure.sqlstate == "40001"
    assert module.DeadlockDetected.sqlstate == "40P01"


def one_registry_has_all(cls: Any) -> None:
    assert set(ALGORITHMS) <= cls.algorithms.keys()
    assert "algorithms" in inspect.signature(cls).parameters
    assert shape(cls.get_alg) == "self, name"
    has("default_header_registry", "max_payload_length", "max_signature_length")(cls)


def keys_are_taken_as_they_are(cls: Any) -> None:
    key = cls.import_key(Ed25519PrivateKey.generate())
    assert "d" in key.as_dict(private=True)
    assert "d" not in key.as_dict(private=False)
    assert isinstance(key.thumbprint(), str)


# Laid out by hand: three lines a row, not seven.
# fmt: off
TABLE = [
    # Django: rows and queries
    Private("django.db.models.QuerySet._raw_delete", "deletion",
            "deletes rows in one statement, without reading them, signals or cascades",
            rows_are_deleted_and_counted),
    Private("django.db.models.QuerySet.__init__", "deletion prepared recall registry statements",
            "a QuerySet is made without its manager",
            takes("self, model=None, query=None, using=None, hints=None"), names=("QuerySet",)),
    Private("django.db.models.Manager._queryset_class", "users",
            "tells whether a manager of users has a say in how they are read", equals(QuerySet)),
    Private("django.db.models.sql.Query.is_empty", "ending", "tells a choice that no row is in",
            takes("self")),
    Private("django.db.models.sql.Query.chain", "deletion prepared",
            "makes a DELETE or an UPDATE of a SELECT", takes("self, klass=None")),
    Private("django.db.models.sql.Query.get_compiler", "deletion prepared statements",
            "writes SQL that we run ourselves",
            takes("self, using=None, connection=None, elide_empty=True")),
    Private("django.db.models.sql.compiler.SQLCompiler", "statements",
            "a SELECT is compiled once, and its columns are found again in the rows of each run",
            a_select_has_its_columns_side_by_side,
            names=("as_sql", "select", "col_count", "klass_info", "related_klass_infos")),
    Private("django.db.models.sql.compiler.SQLCompiler.get_converters", "deletion statements",
            "columns become values as in the ORM", takes("self, expressions")),
    Private("django.db.models.sql.compiler.SQLCompiler.apply_converters", "deletion",
            "what RETURNING gives becomes values as in the ORM", takes("self, rows, converters")),
    Private("django.db.models.sql.compiler.SQLInsertCompiler.returning_fields", "prepared",
            "the INSERT returns the primary key", equals(None)),
    Private("django.db.models.sql.InsertQuery", "prepared", "an INSERT is compiled once",
            an_insert_is_one_statement, names=("InsertQuery", "insert_values")),
    Private("django.db.models.sql.UpdateQuery", "prepared", "an UPDATE is compiled once",
            an_update_is_one_statement, names=("UpdateQuery", "add_update_values")),
    Private("django.db.models.sql.DeleteQuery", "deletion", "RETURNING is written behind a DELETE",
            a_delete_is_one_statement),
    Private("django.db.models.deletion.get_candidate_relations_to_delete", "ending",
            "tells whether anything refers to sessions; if so, rows are read before they go",
            nothing_refers_to_sessions),
    Private("django.db.models.deletion.Collector", "deletion",
            "deletes what refers to sessions as well, within our transaction",
            a_collector_takes_rows),
    Private("django.db.transaction.mark_for_rollback_on_error", "deletion prepared",
            "an error in SQL that we run breaks the transaction as with the ORM",
            takes("using=None")),
    # Django: models and fields
    Private("django.contrib.auth.models.User._meta.pk",
            "authentication prepared receivers statements users",
            "the primary key of users and rows, whatever its type",
            has("attname", "get_db_converters", "to_python", "value_to_string"),
            names=("_meta.pk",)),
    Private("django.contrib.auth.models.User._meta.concrete_fields",
            "prepared storage.columns storage.row_queries storage.rows",
            "the columns of a row, in the order of from_db()",
            holds(lambda fields: fields[0].attname == "id"), names=("_meta.concrete_fields",)),
    Private("django.contrib.auth.models.User._meta.local_concrete_fields", "prepared",
            "the columns of an INSERT",
            holds(lambda fields: fields[0].primary_key and not fields[1].primary_key),
            names=("_meta.local_concrete_fields",)),
    Private("django.contrib.auth.models.User._meta.db_returning_fields", "prepared",
            "the columns that an INSERT returns",
            holds(lambda fields: list(fields) == [User._meta.pk])),
    Private("django.contrib.auth.models.User._meta.parents", "checks.engine prepared",
            "tells a model that has two tables", equals({}), names=("_meta.parents",)),
    Private("django.contrib.auth.models.User._meta.concrete_model", "base_session receivers",
            "proxies of the user model send signals of their own",
            equals(User), names=("_meta.concrete_model",)),
    Private("django.contrib.auth.models.User._meta.db_table", "deletion",
            "columns of RETURNING are converted as columns of that table", equals("auth_user"),
            names=("_meta.db_table",)),
    Private("django.db.models.base.ModelState", "statements",
            "rows are made without __init__(), and know the user that came with them",
            users_are_remembered_there, names=("ModelState",)),
    Private("django.db.models.base.ModelState.fields_cache", "prepared",
            "the user that came with a row",
            holds(lambda _: ModelState().fields_cache == {}),
            names=("_state.fields_cache",)),
    Private("django.db.models.Model.from_db", "statements storage.row_queries",
            "instances are made of columns; prepared makes the same in less time",
            rows_are_made_as_we_make_them),
    Private("django.db.models.Model.save_base", "prepared",
            "a model that saves in a way of its own is left to the ORM",
            accepts("raw", "force_insert", "using")),
    Private("django.db.models.query_utils.DeferredAttribute", "statements",
            "tells a field whose value lies in __dict__ alone", plain_columns_have_it),
    Private("django.db.models.fields.related_descriptors.ForeignKeyDeferredAttribute", "statements",
            "tells a foreign key whose value lies in __dict__ alone", foreign_keys_have_it),
    Private("django.db.models.Field.get_col", "deletion",
            "the columns of RETURNING, for their converters",
            takes("self, alias, output_field=None")),
    Private("django.db.models.Field.get_db_converters", "prepared",
            "a primary key that has some is left to the ORM", takes("self, connection")),
    Private("django.db.models.ForeignKey.set_cached_value", "statements",
            "gives a row the user that came with it", takes("self, instance, value")),
    Private("django.db.models.ForeignKey.target_field", "storage.cached users",
            "the field of the user's primary key, to which the session's value must fit",
            holds(lambda _: Session._meta.get_field("user").target_field is User._meta.pk)),
    Private("django.db.models.BinaryField", "prepared",
            "tells a field that makes its SQL of the value", one_field_makes_sql_of_values,
            names=("get_placeholder", "get_placeholder_sql")),
    Private("django.dispatch.Signal.has_listeners", "announcing ending statements",
            "nothing is read or made for a signal that nobody hears", takes("self, sender=None")),
    Private("django.dispatch.Signal", "statements", "tells in no time that nobody listens at all",
            holds(lambda cls: cls().receivers == []), names=("receivers",)),
    # Django: connections
    Private("django.db.connection.in_atomic_block",
            "announcing cleanup races recall storage.rows",
            "tells whether what is written may be taken back", equals(True)),
    Private("django.db.connection.run_on_commit", "recall",
            "a callback at its front is called whatever others do; a rollback takes it out",
            a_rollback_takes_its_callbacks_out),
    Private("django.db.connection.savepoint_ids", "recall",
            "names the savepoints whose rollback takes a callback out",
            holds(lambda value: type(value) is list)),
    Private("django.db.connection.autocommit", "recall",
            "tells whether the site manages transactions by itself",
            holds(lambda value: type(value) is bool)),
    Private("django.db.connection.settings_dict", "recall",
            "the same, of a connection that is not open yet",
            holds(lambda settings: settings["AUTOCOMMIT"] is True)),
    Private("django.db.connection.features.can_return_columns_from_insert", "deletion prepared",
            "tells whether there is RETURNING", holds(lambda value: type(value) is bool)),
    Private("django.db.connection.features.has_select_for_update",
            "cleanup deletion storage.rows",
            "tells whether a row can be locked by reading it",
            holds(lambda value: type(value) is bool)),
    Private("django.db.connection.ops.quote_name", "deletion", "quotes the columns of RETURNING",
            takes("name", "self, name")),
    # Django: sessions
    Private("django.contrib.sessions.backends.base.SessionBase._get_session",
            "backends.drafting backends.reading backends.saving backends.base middleware",
            "loads the session once; without loading it for a new one",
            takes("self, no_load=False")),
    Private("django.contrib.sessions.backends.base.SessionBase._aget_session",
            "backends.reading middleware",
            "the same", takes("self, no_load=False")),
    Private("django.contrib.sessions.backends.base.SessionBase",
            "backends.reading receivers",
            "tells whether the data were loaded, and has them without loading", data_lie_there,
            names=("_session_cache",)),
    Private("django.contrib.sessions.backends.base.SessionBase.set_expiry",
            "backends.drafting storage.claims storage.revalidation storage.token_data",
            "where set_expiry() puts the expiry: it is read, checked, and written back",
            says('self["_session_expiry"] = value'), names=("_session_expiry",)),
    Private("django.contrib.sessions.backends.base.SessionBase._session_key",
            "backends.base backends.reading",
            "what the browser presented, and the key that a save has made",
            holds(lambda thing: isinstance(thing, property) and thing.fset is not None)),
    Private("django.contrib.sessions.backends.base.SessionBase", "backends.reading",
            "data are encoded as Django does, with a signer that is made once",
            stores_have_what_ours_use, names=("key_salt", "serializer")),
    Private("django.contrib.sessions.backends.base.SessionBase", "backends.reading",
            "the async twins of what we override run our sync methods", twins_run_in_a_thread,
            names=("SessionBase",)),
    Private("django.contrib.sessions.middleware.SessionMiddleware", "middleware",
            "overridden, and called for the stores of other engines",
            methods_take(MIDDLEWARE),
            names=tuple(MIDDLEWARE)),
    Private("django.utils.deprecation.MiddlewareMixin", "middleware",
            "tells whether requests come through __acall__()", says("self.async_mode"),
            names=("async_mode",)),
    # Django: users
    Private("django.contrib.auth", "backends.saving",
            "what begins so tells who is signed in: where it differs, nothing is merged",
            keys_begin_so, names=("_auth_user_",)),
    Private("django.contrib.auth", "storage.claims",
            "what begins so is taken out of a visitor's cookie", keys_begin_so, names=("_auth_",)),
    Private("django.contrib.auth.middleware.get_user", "authentication",
            "others read the user of a request there", says("request._cached_user = "),
            names=("_cached_user",)),
    Private("django.contrib.auth.middleware.auser", "authentication", "the same",
            says("request._acached_user = "), names=("_acached_user",)),
    Private("django.contrib.auth.load_backend", "authentication",
            "makes the backend that a session names", takes("path")),
    Private("django.contrib.auth.get_backends", "receivers",
            "tells whether one lets inactive users in", takes("")),
    Private("django.contrib.auth.base_user.AbstractBaseUser", "receivers",
            "tells a new password, which ends sessions, from another hash of the old one",
            new_passwords_lie_there, names=("_password",)),
    Private("django.utils.functional.SimpleLazyObject", "authentication",
            "the user is found when somebody looks", holds(lambda cls: cls(lambda: 5) == 5)),
    # Django: signatures, checks, caches
    Private("django.core.signing.Signer.signature", "signing",
            "overridden: the same signature, with a key that is derived once", signatures_are_ours),
    Private("django.core.signing.b64_encode", "signing", "base64url without padding",
            holds(lambda function: function(b"\xff\xfe") == b"__4")),
    Private("django.core.signing.JSONSerializer", "storage.serialization",
            "tells whether data can lie in a token as JSON",
            holds(lambda cls: cls().dumps({"a": 1}) == b'{"a":1}')),
    Private("django.utils.crypto.salted_hmac", "signing",
            "the same digest, with a key that is derived once", digests_are_ours),
    Private("django.utils.crypto.constant_time_compare",
            "authentication copies.format keys storage.row_queries storage.rows",
            "compares secrets, texts and bytes alike", takes("val1, val2")),
    Private("django.core.checks.security.sessions", "checks.cookies",
            "Django's warnings, which know only its own app and middleware, are given for ours",
            warnings_have_these_ids, names=("sessions", "W010", "W012", "W013", "W015")),
    Private("django.core.cache.backends.base.BaseCache.make_key", "copies.redis",
            "scripts get keys with prefix and version", takes("self, key, version=None")),
    # Django: the admin
    Private("django.contrib.admin.views.main.ChangeList", "admin.changelist",
            "overridden: pages are found by an index, links have public ids",
            methods_take(CHANGELIST), names=("ChangeList", *CHANGELIST)),
    Private("django.contrib.admin.views.main.ChangeList", "admin.changelist",
            "what Django's templates are told, and what of the request makes the page",
            lists_have_what_ours_use, names=CHANGELIST_ATTRIBUTES),
    Private("django.contrib.admin.views.main.ChangeList", "admin.options",
            "what get_changelist() returns", methods_take({})),
    Private("django.contrib.admin.options.IncorrectLookupParameters", "admin.changelist",
            "answers a page that is none by the list",
            holds(lambda cls: issubclass(cls, Exception))),
    Private("django.contrib.admin.ModelAdmin", "admin.options",
            "overridden: sessions by public id, searched without a look at their data",
            methods_take(MODEL_ADMIN), names=tuple(MODEL_ADMIN)),
    Private("django.contrib.admin.ModelAdmin", "admin.revoking",
            "overridden: deleting is revoking", methods_take(MODEL_ADMIN_ENDS),
            names=tuple(MODEL_ADMIN_ENDS)),
    Private("django.contrib.admin.templatetags.admin_urls.add_preserved_filters", "admin.revoking",
            "back to the list as it was filtered",
            takes("context, url, popup=False, to_field=None")),
    Private("django.contrib.admin.helpers.ACTION_CHECKBOX_NAME", "admin.revoking",
            "the name of the field that says what is selected", equals("_selected_action")),
    Private("django.contrib.admin.helpers.ActionForm", "admin.revoking",
            "the name of the field that says that all pages are selected",
            holds(lambda cls: not cls.base_fields["select_across"].required),
            names=("select_across",)),
    Private("django.contrib.admin.actions.delete_selected", "admin.options admin.revoking",
            "our action takes the place of Django's by its name", it_is_an_action),
    Private("django.contrib.admin.models.LogEntry", "admin.log",
            "entries are made in one statement", entries_have_these_columns),
    Private("django.contrib.admin", "admin.options", "our templates fill blocks of Django's",
            templates_have_blocks(change_form="object-tools-items submit_buttons_bottom",
                                  change_list="pagination result_list"),
            names=("change_form_template", "change_list_template")),
    Private("django.contrib.admin", "admin.revoking", "our templates fill blocks of Django's",
            templates_have_blocks(delete_confirmation="breadcrumbs content",
                                  delete_selected_confirmation="breadcrumbs content"),
            names=("delete_confirmation_template", "delete_selected_confirmation_template")),
    Private("django.utils.timesince.timesince", "admin.options", "columns have one unit of time",
            accepts("d", "now", "depth"), names=("timesince", "timeuntil")),
    # django-redis and redis-py
    Private("django_redis.cache.RedisCache", "copies copies.redis",
            "tells that there are scripts, and gives the client that has the connection",
            the_cache_gives_its_client_away, names=("client",)),
    Private("django_redis.client.DefaultClient.get_client", "copies copies.cluster copies.redis",
            "gives the connection to the server that is written to",
            takes("self, write=True, tried=None")),
    Private("django_redis.client.DefaultClient.connect", "copies.cluster",
            "overridden: it makes a connection of its own", takes("self, index=0")),
    Private("django_redis.client.DefaultClient", "copies.cluster",
            "LOCATION and OPTIONS, of which the connection to a cluster is made",
            clients_know_their_servers,
            names=("DefaultClient", "_server", "_options", "connection_factory")),
    Private("redis.cluster.RedisCluster.__init__", "copies.cluster",
            "knows where each slot lies, and has pools",
            accepts("startup_nodes", "require_full_coverage", "retry"),
            names=("RedisCluster", "startup_nodes", "require_full_coverage")),
    Private("redis.cluster.RedisCluster", "copies.redis",
            "tells a cluster, which takes no keys of several slots in one command",
            says("self.nodes_manager = "), names=("nodes_manager",)),
    Private("redis.cluster.ClusterNode", "copies.cluster", "where a cluster may be reached",
            accepts("host", "port")),
    Private("redis.Redis.execute_command", "copies.scripts",
            "EVALSHA goes past evalsha(), which looks at deprecated arguments",
            takes("self, *args, **options")),
    # Databases
    Private("psycopg.errors", "races", "tells a statement that has lost a race",
            errors_say_their_state, names=("sqlstate",)),
    # joserfc
    Private("joserfc.jws.JWSRegistry", "tokens.jwt",
            "overridden: one algorithm, our header alone, and no warning of EdDSA",
            one_registry_has_all,
            names=("JWSRegistry", "algorithms", "default_header_registry", "get_alg",
                   "max_payload_length", "max_signature_length")),
    Private("joserfc.registry.HeaderParameter", "tokens.jwt", "what a header must hold",
            takes("description, validate, required=False")),
    Private("joserfc.jwa.JWSAlgModel", "tokens.jwt", "what get_alg() returns",
            has("sign", "verify")),
    Private("joserfc.jws.serialize_compact", "tokens.jwt", "signs; the registry has the algorithm",
            takes("protected, payload, private_key, algorithms=None, registry=None")),
    Private("joserfc.jws.extract_compact", "tokens.jwt",
            "reads the header before a key is chosen by it",
            takes("value, payload=None, registry=None")),
    Private("joserfc.jws.validate_compact", "tokens.jwt", "verifies what was read",
            takes("obj, public_key, algorithms=None, registry=None")),
    Private("joserfc.jws.CompactSignature", "tokens.jwt", "the header and payload that were read",
            has("headers"), names=("headers", "payload")),
    Private("joserfc.jwk.OKPKey", "tokens.jwk",
            "keys are taken as cryptography has them, so no PEM is read twice",
            keys_are_taken_as_they_are),
]
# fmt: on


#: Documented, whatever the underscore.
DOCUMENTED = {
    "_base_manager",
    "_default_manager",
    "_meta.get_field",
    "_meta.get_fields",
    "_replace",
    "_state",
}

#: Our own names, on another object than ``self`` or in a text.
OURS = {
    ("announcing", "_sessionkit_undecided_ends"),
    ("checks.engine", "_cookies"),
    ("ending", "_recalls"),
    ("storage.seal_format", "_sessionkit"),
}

#: Modules that no documentation names, and some functions that it does not.
UNDOCUMENTED = (
    "django.contrib.admin.helpers",
    "django.contrib.admin.options",
    "django.contrib.admin.templatetags",
    "django.contrib.admin.views",
    "django.core.checks.security",
    "django.db.models.base",
    "django.db.models.deletion",
    "django.db.models.fields",
    "django.db.models.query_utils",
    "django.db.models.sql",
    "django.utils.crypto",
    "django.utils.timesince",
    "django_redis",
    "joserfc.jwa",
    "joserfc.registry",
    "redis.cluster",
)


#: What our authentication middleware does as Django's, in code of its own: the SHA-256 of Django's
#: source, and the versions that have it.
COPIED = {
    "django.contrib.auth.get_user": {
        "08a852f701f765bc91f251764cc682d2d3f59d5d0fdfa2e1fc6fb9bba45ba960": "5.2 6.0 6.1",
    },
    "django.contrib.auth.aget_user": {
        "6b2bd3fd181d071a5ac16ac2fc762e4d93cf3bf9e1cd2d166d65b323275f9219": "5.2",
        "e7805250c1f070c7501b9d05ec546c3a3f9a103502097a5d2c048c77d7d1d2c2": "6.0 6.1",
    },
    "django.contrib.auth._get_user_session_key": {
        "2464912aca557b096c0149e48dfc285513db3521e2f864016dfc67cf1d87f646": "5.2 6.0 6.1",
    },
    "django.contrib.auth._aget_user_session_key": {
        "f609a3c4fb849dc3450c2dbc294e3aa98ed05129add993c999e0108689e53606": "5.2 6.0 6.1",
    },
    "django.contrib.auth.backends.ModelBackend.get_user": {
        "ab2f0fe76793811045cc08f3bed420b14226abf77356fe328f9c544d173f11b7": "5.2 6.0 6.1",
    },
    "django.contrib.auth.backends.ModelBackend.aget_user": {
        "4117914607303ccd85f7083c3d76590227d9fbb9127ff4b91c17c88cd2adf846": "5.2 6.0 6.1",
    },
    "django.contrib.auth.middleware.get_user": {
        "f663ed77b28cc515d188367271e1b973b34577eacbd7b5f64b1d0b52083b2671": "5.2 6.0 6.1",
    },
    "django.contrib.auth.middleware.auser": {
        "0c7597c36c9f1003822145d00688f891157e34fd0c6f5ac247e96466e52d26d6": "5.2 6.0 6.1",
    },
    "django.contrib.auth.middleware.AuthenticationMiddleware.process_request": {
        "6dd39b90ad6373e2c7d5b0ceda543c912360da9e1daf5766c3ca9b090e8675e6": "5.2 6.0 6.1",
    },
}


def faults_of_copies() -> list[str]:
    """Return what of Django's our own was not compared with, and what to do about that."""
    version, faults = ".".join(map(str, django.VERSION[:2])), []
    for path, known in COPIED.items():
        digest = hashlib.sha256(inspect.getsource(_found(path)).encode()).hexdigest()
        if version not in known.get(digest, "").split():
            before = known.get(digest, "another one")
            faults.append(
                f"{path}() of Django {django.__version__} (before: {before}) was not compared "
                "with get_user(), aget_user() and AuthenticationMiddleware in "
                "django_sessionkit/authentication.py and find() in django_sessionkit/users.py. "
                "Compare each check of the session, its hash, the fallbacks and the backend; "
                f"then enter {digest} for {version} in COPIED."
            )
    return faults


def test_our_get_user_was_compared_with_that_of_this_django() -> None:
    assert not faults_of_copies(), "\n".join(faults_of_copies())


def test_a_django_that_ours_was_not_compared_with_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_user(request: Any) -> None:
        return None

    monkeypatch.setattr("django.contrib.auth.get_user", get_user)
    (fault,) = faults_of_copies()
    assert fault.startswith("django.contrib.auth.get_user() of Django ")
    assert "(before: another one)" in fault
    monkeypatch.undo()
    # A new version that has the same source is looked at as well, for what is around that.
    monkeypatch.setattr(django, "VERSION", (99, 0, 0, "final", 0))
    assert len(faults_of_copies()) == len(COPIED)


def test_what_others_do_not_promise_is_as_we_take_it_to_be() -> None:
    faults = [fault for one in TABLE if (fault := one.fault())]
    assert not faults, "\n".join(faults)


def test_a_change_is_told_with_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def raw_delete(self: Any, using: str, *, returning: bool = False) -> int:
        return 0

    monkeypatch.setattr(QuerySet, "_raw_delete", raw_delete)
    monkeypatch.delattr(AbstractBaseUser, "_password")
    monkeypatch.setattr(JWSRegistry, "algorithms", {})
    told = [fault for one in TABLE if (fault := one.fault())]
    assert [fault.partition(":")[0] for fault in told] == [
        "django.db.models.QuerySet._raw_delete (deletion",
        "django.contrib.auth.base_user.AbstractBaseUser (receivers",
        "joserfc.jws.JWSRegistry (tokens.jwt",
    ]
    assert "deletes rows in one statement" in told[0]
    assert "returning=False" in told[0]


@pytest.mark.slow
def test_the_table_has_every_private_name_that_we_use() -> None:
    table = {use for one in TABLE for use in one.uses}
    used = foreign_names.private_names() | foreign_names.overridden_names()
    rest = {(module, name) for module, name in used if name not in DOCUMENTED} - OURS
    assert rest - table == set()
    # Each exception has its reason still.
    assert used >= OURS
    assert {name for _, name in used} >= DOCUMENTED


def test_a_private_method_of_django_that_is_overridden_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_new_session_key(self: Any) -> str:
        return ""

    assert foreign_names.overridden_names() == set()
    monkeypatch.setattr(ReadingStore, "_get_new_session_key", get_new_session_key, raising=True)
    found = foreign_names.overridden_names.__wrapped__()
    assert found == {("backends.reading", "_get_new_session_key")}


def test_the_table_has_what_we_import_from_undocumented_modules() -> None:
    table = {use for one in TABLE for use in one.uses}
    imported = foreign_names.imported_names(UNDOCUMENTED)
    assert imported - table == set()
    assert len(imported) >= len(UNDOCUMENTED)


def test_the_table_has_nothing_that_we_do_not_use() -> None:
    used = foreign_names.private_names() | foreign_names.overridden_names()
    for one in TABLE:
        for module, name in one.uses:
            source = sources()[module]
            has_it = re.search(rf"{re.escape(name)}\b", source.text)
            assert (module, name) in used or ("." not in name and has_it), (one.what, module, name)
