"""Statements whose SQL Django writes once, and that are run many times.

Most of what a query costs in Python is to build its SQL anew. Here the ORM builds it once for each
database, with a ``Slot`` where a value goes; what remains to be done is to adapt the values, to run
it, and to make instances of the columns that come back. Fields of any kind bring their own
placeholders and converters, so nothing is assumed of a model. What cannot be prepared (a field that
makes its SQL of the value) is asked through the ORM each time, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.db import connections, transaction
from django.db.models import BinaryField, Field, Model, QuerySet
from django.db.models.signals import post_save, pre_save
from django.db.models.sql import InsertQuery, UpdateQuery

from django_sessionkit.statements import Found, Select, Slot, Statement, is_heard

if TYPE_CHECKING:
    #: Returns what stands for the value of that name, which is one of that field.
    At = Callable[[str, Field[Any, Any]], Any]


#: Whether statements are prepared at all; the tests switch it off.
is_on = True

#: By what they are for, and by all that the ORM looks at when it writes SQL; None: ask the ORM.
_statements: dict[Hashable, Any] = {}


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


def first_columns(
    what: Hashable, build: Callable[[At], QuerySet[Any]], values: Mapping[str, Any], using: str
) -> Found | None:
    """Return the columns of the one row that ``build()`` asks for, and what the row refers to.

    No instance is made of the row. None if there is no row. See every().
    """
    if not is_on:
        for row in build(lambda name, field: values[name])[:1]:
            names = [field.attname for field in row._meta.concrete_fields]
            return {name: getattr(row, name) for name in names}, *row._state.fields_cache.values()
        return None
    connection = connections[using]
    key = ("select", what, using, connection.vendor)
    statement: Select = _prepared(key, lambda: Select(build(Slot), using))
    return statement.first_columns(values, connection)


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


def insert(model: Any, values: Mapping[str, Any], using: str) -> Any:
    """Insert a row with these columns, by attribute name, and return its primary key.

    None, and nothing was done, if only ``Model.save()`` can insert the row: somebody hears the
    signals of the model, or the model or its fields have a way of their own.
    """
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

    is_usual = _is_plain(model) and not is_heard(model, pre_save, post_save)
    key = ("insert", model, using, connection.vendor)
    statement = _prepared(key, build) if is_on and is_usual else None
    if statement is None:
        return None
    row: Any = SimpleNamespace(**values)
    params = statement.bind({f.attname: f.pre_save(row, add=True) for f in fields}, connection)
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement.sql, params)
        return cursor.fetchone()[0]


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
