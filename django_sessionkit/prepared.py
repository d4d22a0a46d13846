"""Statements whose SQL Django writes once, and that are run many times.

Most of what a query costs in Python is to build its SQL anew. Here the ORM builds it once for each
database, with a ``Slot`` where a value goes; what remains to be done is to adapt the values, to run
it, and to make instances of the columns that come back. Fields of any kind bring their own
placeholders and converters, so nothing is assumed of a model. What cannot be prepared (a field that
makes its SQL of the value) is asked through the ORM each time, with the same result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.signals import setting_changed
from django.db import connections, transaction
from django.db.models import BinaryField, Expression, Field, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, post_save, pre_init, pre_save
from django.db.models.sql import InsertQuery, UpdateQuery

_Model = TypeVar("_Model", bound=Model)

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    #: Returns what stands for the value of that name, which is one of that field.
    At = Callable[[str, Field[Any, Any]], Any]

#: Whether statements are prepared at all; the tests switch it off.
is_on = True

#: By what they are for, and by all that the ORM looks at when it writes SQL; None: ask the ORM.
_statements: dict[Hashable, Any] = {}


class Slot(Expression):
    """Where the value of a field goes."""

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return "%s", [self]


class Statement:
    """SQL, and how its parameters are made of values by name."""

    def __init__(self, sql: str, params: Iterable[Any]) -> None:
        self.sql = sql
        self._params = tuple(params)

    def bind(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> list[Any]:
        """Return the parameters."""
        adapt = self._adapted
        return [
            adapt(one.output_field, values[one.name], connection) if isinstance(one, Slot) else one
            for one in self._params
        ]

    def _adapted(self, field: Field[Any, Any], value: Any, connection: BaseDatabaseWrapper) -> Any:
        return field.get_db_prep_save(value, connection)


class Select(Statement):
    """Rows of a model, perhaps with what each refers to."""

    def __init__(self, rows: QuerySet[Any], using: str) -> None:
        compiler = rows.query.get_compiler(using)
        super().__init__(*compiler.as_sql())
        columns = [column for column, _, _ in compiler.select[: compiler.col_count]]
        self._converters = [
            (place, _of_no_connection(convert, compiler.connection), expression)
            for place, (functions, expression) in compiler.get_converters(columns).items()
            for convert in functions
        ]
        info = compiler.klass_info
        self._main = _Maker(info, compiler)
        self._related = [
            (_Maker(one, compiler), one["field"]) for one in info.get("related_klass_infos", ())
        ]

    def _adapted(self, field: Field[Any, Any], value: Any, connection: BaseDatabaseWrapper) -> Any:
        # As for a lookup: what may not be saved (on MySQL, a key that is 0) may be looked for.
        return field.get_db_prep_value(field.get_prep_value(value), connection, prepared=True)

    def rows(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> list[Any]:
        """Return an instance for each row that the values find."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self.bind(values, connection))
            rows = cursor.fetchall()
        if self._converters:
            rows = [self._converted(row, connection) for row in rows]
        using = connection.alias
        instances = self._main.make(using, rows)
        for maker, field in self._related:
            for instance, related in zip(instances, maker.make(using, rows), strict=True):
                if related is not None:
                    field.set_cached_value(instance, related)
        return instances

    def _converted(self, row: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        converted = list(row)
        for place, convert, expression in self._converters:
            converted[place] = convert(converted[place], expression, connection)
        return converted


def _of_no_connection(convert: Any, connection: BaseDatabaseWrapper) -> Any:
    """Return the converter, bound to no connection: that would outlive its thread."""
    if getattr(convert, "__self__", None) is not connection.ops:
        return convert
    method = convert.__func__
    return lambda value, expression, current: method(current.ops, value, expression, current)


class _Maker:
    """Makes instances of one model of some columns of a row."""

    def __init__(self, info: Mapping[str, Any], compiler: Any) -> None:
        self._model: type[Model] = info["model"]
        # Django selects the columns of a model, and of what a row refers to, side by side and in
        # the order of the fields, which is that of from_db().
        self._columns = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
        self._names = tuple(column.target.attname for column, *_ in compiler.select[self._columns])
        self._pk = self._columns.start + self._names.index(self._model._meta.pk.attname)

    def make(self, using: str, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """Return an instance for each row, None where its primary key is."""
        way, pk, columns = _way_to_make(self._model, using, self._names), self._pk, self._columns
        return [None if row[pk] is None else way(row[columns]) for row in rows]


def make(model: type[_Model], using: str, names: tuple[str, ...], values: Sequence[Any]) -> _Model:
    """Return what ``model.from_db()`` returns, in half of the time where nobody would notice.

    ``names`` are in the order of the model's fields; the fields that are not named are deferred.
    """
    return _way_to_make(model, using, names)(values)


def _way_to_make(
    model: type[_Model], using: str, names: tuple[str, ...]
) -> Callable[[Sequence[Any]], _Model]:
    if not _is_made_plainly(model, names) or _is_heard(model, pre_init, post_init):
        return lambda values: model.from_db(using, names, values)

    def make(values: Sequence[Any]) -> _Model:
        instance = model.__new__(model)
        attributes = instance.__dict__
        attributes["_state"] = state = ModelState()
        state.adding, state.db = False, using
        attributes.update(zip(names, values, strict=True))
        return instance

    return make


@lru_cache
def _is_made_plainly(model: type[Model], names: tuple[str, ...]) -> bool:
    """Whether to make an instance is to put the columns into its ``__dict__``."""
    hooks = ("__init__", "__new__", "__setattr__", "from_db")
    own = [vars(cls).keys() & hooks for cls in model.__mro__ if cls not in (Model, object)]
    attributes = {type(inspect.getattr_static(model, name)) for name in names}
    return not any(own) and attributes <= {DeferredAttribute, ForeignKeyDeferredAttribute}


def _is_heard(model: type[Model], *signals: Any) -> bool:
    # Where nobody at all listens, nothing need be looked up.
    return any(signal.receivers and signal.has_listeners(model) for signal in signals)


def first(
    what: Hashable, build: Callable[[At], QuerySet[Any]], values: Mapping[str, Any], using: str
) -> Any:
    """Return the one row that ``build()`` asks for, or None. See every()."""
    return next(iter(every(what, build, values, using)), None)


def every(
    what: Hashable, build: Callable[[At], QuerySet[Any]], values: Mapping[str, Any], using: str
) -> list[Any]:
    """Return all rows that ``build()`` asks for.

    ``build`` gets a function ``at(name, field)`` that returns what to put where the value of that
    name goes. It is called once for each ``what`` and database.
    """
    if not is_on:
        return list(build(lambda name, field: values[name]))
    connection = connections[using]
    key = ("select", what, using, connection.vendor)
    statement: Select = _prepared(key, lambda: Select(build(Slot), using))
    return statement.rows(values, connection)


def update(
    model: type[Model], was: Mapping[str, Any], changes: Mapping[str, Any], using: str
) -> int:
    """Set the columns ``changes`` of those rows of the model that are as ``was``.

    Returns how many there were. The names are those of Django's ``filter()`` and ``update()``.
    """
    connection = connections[using]

    def build() -> Statement | None:
        meta: Any = model._meta
        # Before a lookup, if there is one.
        fields = {name: meta.get_field(name.partition("__")[0]) for name in (*was, *changes)}
        if any(map(_sees_values, fields.values())):
            return None
        slots = {name: Slot(f"was {name}", fields[name]) for name in was}
        found: Any = QuerySet(model, using=using).filter(**slots)
        query = found.query.chain(UpdateQuery)
        query.add_update_values({name: Slot(name, fields[name]) for name in changes})
        return Statement(*query.get_compiler(using).as_sql())

    are_values = not any(hasattr(value, "resolve_expression") for value in changes.values())
    key = ("update", model, tuple(was), tuple(changes), using, connection.vendor)
    statement = _prepared(key, build) if is_on and are_values else None
    if statement is None:
        return QuerySet(model, using=using).filter(**was).update(**changes)
    values = {f"was {name}": value for name, value in was.items()} | dict(changes)
    params = statement.bind(values, connection)
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement.sql, params)
        return int(cursor.rowcount)


def insert(instance: Model, using: str) -> None:
    """Insert the instance, as ``save(force_insert=True)`` does, and give it its primary key."""
    model: Any = type(instance)
    meta = model._meta
    fields = [field for field in meta.local_concrete_fields if not field.primary_key]
    connection = connections[using]

    def build() -> Statement | None:
        returned = getattr(meta, "db_returning_fields", ())
        if (
            any(map(_sees_values, fields))
            or [field.name for field in returned] != [meta.pk.name]
            or meta.parents
            or not connection.features.can_return_columns_from_insert
            or meta.pk.get_db_converters(connection)
        ):
            return None
        slots: Any = SimpleNamespace(**{f.attname: Slot(f.attname, f) for f in fields})
        query: Any = InsertQuery(model)
        query.insert_values(fields, [slots], raw=True)
        compiler: Any = query.get_compiler(using)
        compiler.returning_fields = list(returned)
        return Statement(*compiler.as_sql()[0])

    is_usual = _is_plain(model) and not _is_heard(model, pre_save, post_save)
    key = ("insert", model, using, connection.vendor)
    statement = _prepared(key, build) if is_on and is_usual and instance.pk is None else None
    if statement is None:
        instance.save(force_insert=True, using=using)
        return
    values = {field.attname: field.pre_save(instance, add=True) for field in fields}
    params = statement.bind(values, connection)
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement.sql, params)
        (instance.pk,) = cursor.fetchone()
    instance._state.db, instance._state.adding = using, False


def _is_plain(model: Any) -> bool:
    return model.save is Model.save and model.save_base is Model.save_base


def _sees_values(field: Field[Any, Any]) -> bool:
    """Whether the field makes its SQL of the value, as those of geometries do."""
    names = ("get_placeholder", "get_placeholder_sql")
    # Django's own field for bytes does so as well, but for values that are no expressions.
    usual = (None, *(getattr(BinaryField, name, None) for name in names))
    return any(getattr(type(field), name, None) not in usual for name in names)


def _prepared(key: Hashable, build: Callable[[], Statement | None]) -> Any:
    try:
        return _statements[key]
    except KeyError:
        return _statements.setdefault(key, build())


def _forget(setting: str, **kwargs: Any) -> None:
    """Prepare anew what depends on a setting; they change in tests alone."""
    if setting in ("USE_TZ", "TIME_ZONE", "AUTH_USER_MODEL", "DATABASES"):
        _statements.clear()


setting_changed.connect(_forget, dispatch_uid="sessionkit.prepared")
