"""What prepared statements consist of: SQL, slots for values, and what is made of rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_Model = TypeVar("_Model", bound=Model)

#: The columns of a row by attribute name, then the instances of what the row refers to.
Found = tuple[Any, ...]


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
        rows, using = self._fetched(values, connection), connection.alias
        instances = self._main.make(using, rows)
        for maker, field in self._related:
            for instance, related in zip(instances, maker.make(using, rows), strict=True):
                if related is not None:
                    field.set_cached_value(instance, related)
        return instances

    def first_columns(
        self, values: Mapping[str, Any], connection: BaseDatabaseWrapper
    ) -> Found | None:
        """Return the columns of the first row, and what it refers to; None if there is no row."""
        rows, using = self._fetched(values, connection)[:1], connection.alias
        for row in rows:
            found = self._main.columns_of(using, row)
            return found, *(maker.make(using, rows)[0] for maker, _ in self._related)
        return None

    def _fetched(
        self, values: Mapping[str, Any], connection: BaseDatabaseWrapper
    ) -> Sequence[Sequence[Any]]:
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self.bind(values, connection))
            rows = cursor.fetchall()
        if self._converters:
            return [self._converted(row, connection) for row in rows]
        return list(rows)

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

    def columns_of(self, using: str, row: Sequence[Any]) -> dict[str, Any]:
        """Return the columns by attribute name, as an instance of the model has them."""
        if _is_plain_to_make(self._model, self._names):
            return dict(zip(self._names, row[self._columns], strict=True))
        instance = self._model.from_db(using, self._names, row[self._columns])
        return {name: getattr(instance, name) for name in self._names}


def _way_to_make(
    model: type[_Model], using: str, names: tuple[str, ...]
) -> Callable[[Sequence[Any]], _Model]:
    """Return what makes instances as ``model.from_db()`` does; if plain, in half of the time.

    ``names`` are in the order of the model's fields; the fields that are not named are deferred.
    """
    if not _is_plain_to_make(model, names):
        return lambda values: model.from_db(using, names, values)

    def make(values: Sequence[Any]) -> _Model:
        instance = model.__new__(model)
        attributes = instance.__dict__
        attributes["_state"] = state = ModelState()
        state.adding, state.db = False, using
        attributes.update(zip(names, values, strict=True))
        return instance

    return make


def _is_plain_to_make(model: type[Model], names: tuple[str, ...]) -> bool:
    return _is_made_plainly(model, names) and not is_heard(model, pre_init, post_init)


@lru_cache
def _is_made_plainly(model: type[Model], names: tuple[str, ...]) -> bool:
    """Whether to make an instance is to put the columns into its ``__dict__``."""
    hooks = ("__init__", "__new__", "__setattr__", "from_db")
    own = [vars(cls).keys() & hooks for cls in model.__mro__ if cls not in (Model, object)]
    attributes = {type(inspect.getattr_static(model, name)) for name in names}
    return not any(own) and attributes <= {DeferredAttribute, ForeignKeyDeferredAttribute}


def is_heard(model: type[Model], *signals: Any) -> bool:
    # Where nobody at all listens, nothing need be looked up.
    return any(signal.receivers and signal.has_listeners(model) for signal in signals)
