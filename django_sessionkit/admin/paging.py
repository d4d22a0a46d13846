"""Pages of the list of sessions, found by an index, however long the list is.

Django's pages are numbered: it counts all rows for them, and skips those of the pages before. Here
a page begins where another one ends (keyset paging). What an index cannot tell (who is signed in,
the dates) is asked of ``REACH`` rows at most, so a page may hold few sessions or none, and still
have older ones behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from django_sessionkit.base_session import AbstractSession
from django_sessionkit.moments import microseconds, moment

#: How many rows one page looks at, where no index tells which of them belong to it.
REACH = 10_000

OLDER, NEWER = "older", "newer"

#: A big integer ends there, in every database.
_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list: before or after it stands no session twice, whatever ends meanwhile.

    ``id`` is that of a row, which need not be there any more; ``expire_date`` is None where the
    list is in the order of ``id`` alone.
    """

    id: int
    expire_date: datetime | None = None

    def __str__(self) -> str:
        if self.expire_date is None:
            return str(self.id)
        return f"{microseconds(self.expire_date)}-{self.id}"

    @classmethod
    def parse(cls, text: str, *, is_by_end: bool) -> Place:
        """Return the place that ``text`` is in a list of that order.

        Raises ValueError or OverflowError if it is none.
        """
        parts = text.split("-") if is_by_end else [text]
        if not all(part.isascii() and part.isdecimal() for part in parts):
            raise ValueError("A place is made of whole numbers.")
        numbers = [int(part[:20]) for part in parts]
        if len(numbers) != 1 + is_by_end or numbers[-1] >= _LAST_ID:
            raise ValueError("It is not a place in this list.")
        return cls(numbers[-1], moment(numbers[0]) if is_by_end else None)

    def side(self, lookup: str) -> Q:
        """Return what is true of rows before ("gt", "gte") or behind it ("lt", "lte")."""
        by_id = Q(**{f"id__{lookup}": self.id})
        if self.expire_date is None:
            return by_id
        strictly = lookup[:2]
        by_end = Q(**{f"expire_date__{strictly}": self.expire_date})
        # The first condition is one that an index takes.
        return Q(**{f"expire_date__{strictly}e": self.expire_date}) & (by_end | by_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions, and where those before and behind them begin; None where there are none."""

    sessions: list[AbstractSession] = field(default_factory=list)
    newer: Place | None = None
    older: Place | None = None


@dataclass(frozen=True, slots=True)
class Pages:
    """A list of sessions, cut into pages.

    ``sessions``: all that belong to it; ``found``: what an index finds of them, which is the same
    but for conditions that no index serves. ``order``: of the newest first.
    """

    sessions: QuerySet[Any]
    found: QuerySet[Any]
    order: tuple[str, ...]
    size: int

    def first(self) -> Page:
        """Return the newest."""
        sessions, rest = self._read(None, OLDER)
        return Page(sessions, older=rest)

    def older(self, place: Place) -> Page:
        """Return the page behind a place."""
        sessions, rest = self._read(place, OLDER)
        newer = self._place(sessions[0]) if sessions else replace(place, id=place.id - 1)
        return Page(sessions, newer=newer, older=rest)

    def newer(self, place: Place) -> Page:
        """Return the page before a place; the first one where that is not full."""
        sessions, rest = self._read(place, NEWER)
        if rest is None:
            return self.first()
        sessions.reverse()
        older = self._place(sessions[-1]) if sessions else replace(place, id=place.id + 1)
        return Page(sessions, newer=rest, older=older)

    def _read(self, place: Place | None, way: str) -> tuple[list[Any], Place | None]:
        """Return the next sessions in that direction, and where to go on if there may be more."""
        order = self.order if way == OLDER else [_reversed(name) for name in self.order]
        sessions, found = self.sessions.order_by(*order), self.found.order_by(*order)
        if place is not None:
            beyond = place.side("lt" if way == OLDER else "gt")
            sessions, found = sessions.filter(beyond), found.filter(beyond)
        edge = None
        if self.sessions is not self.found:
            last = found.only("id", "expire_date").prefetch_related(None)[REACH - 1 : REACH]
            for row in last:
                edge = self._place(row)
                sessions = sessions.filter(edge.side("gte" if way == OLDER else "lte"))
        page = list(sessions[: self.size + 1])
        if len(page) > self.size:
            return page[:-1], self._place(page[-2])
        return page, edge

    def _place(self, row: AbstractSession) -> Place:
        is_by_end = "expire_date" in self.order[0]
        return Place(row.pk, row.expire_date if is_by_end else None)


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"
