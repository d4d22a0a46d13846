"""Moments as whole numbers, for what is stored outside of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import BigIntegerField, Func

# Naive where the site's times are: there and back again, they stay as they were.
_EPOCHS = {True: datetime(1970, 1, 1, tzinfo=UTC), False: datetime(1970, 1, 1)}  # noqa: DTZ001
_MICROSECOND = timedelta(microseconds=1)


class DatabaseMoment(Func):
    """The present moment by the database's clock, in microseconds since 1970.

    A whole number, since no time zone can make that ambiguous. All servers of a site share this
    clock; those of the servers themselves differ.
    """

    arity = 0
    output_field = BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql = "(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000000)::bigint"
        return self.as_sql(compiler, connection, template=sql, **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
        return self.as_sql(compiler, connection, template=sql, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # 2440587.5 is the Julian day on which 1970 begins.
        sql = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
        return self.as_sql(compiler, connection, template=sql, **context)


def microseconds(moment: datetime) -> int:
    """Return the moment in microseconds since 1970."""
    return (moment - _EPOCHS[settings.USE_TZ]) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970, naive if USE_TZ is off.

    Raises OverflowError if there is no such moment.
    """
    return _EPOCHS[settings.USE_TZ] + microseconds * _MICROSECOND
