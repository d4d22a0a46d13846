"""Moments as whole numbers, for what is stored outside of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings

# Naive where the site's times are: there and back again, they stay as they were.
_EPOCHS = {True: datetime(1970, 1, 1, tzinfo=UTC), False: datetime(1970, 1, 1)}  # noqa: DTZ001
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return the moment in microseconds since 1970."""
    return (moment - _EPOCHS[settings.USE_TZ]) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970, naive if USE_TZ is off.

    Raises OverflowError if there is no such moment.
    """
    return _EPOCHS[settings.USE_TZ] + microseconds * _MICROSECOND
