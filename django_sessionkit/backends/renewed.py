"""Issuing a cookie anew, once a lease."""

from __future__ import annotations

import dataclasses
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from django_sessionkit.backends.contents import Content
from django_sessionkit.backends.presented import PresentedStore, moment_of
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.exceptions import CookieTooLarge

#: Whose cookie is not the latest gets another one so long after that was issued, in seconds: the
#: response that carried it may have been lost.
OVERLAP = 10

logger = logging.getLogger("django_sessionkit")


class RenewingStore(PresentedStore):
    """A store that makes another token when the row has been asked."""

    def _token_of(self, content: Content) -> str:
        """Return the token; raise CookieTooLarge if a browser would not keep it."""
        raise NotImplementedError

    def lease_has_run_out(self) -> bool:
        return self._owes_check or self._has_row_lease_run_out()

    def renew_lease(self) -> None:
        row = self._current_row()
        try:
            row = None if row is None else self._ask_again(row)
        except DatabaseError:
            # The response is ready; the row is asked again at the next request.
            logger.warning("Could not ask the row of session %s", row, exc_info=True)
            return
        # Of requests side by side one alone renews it: a cookie of another one, with the same data,
        # might come after that of a request that has changed them.
        if row is not None and self._has_row_lease_run_out() and self._renew(row):
            row.expire_date = row.entry.expire_date
            if conf.lease:
                self._issue_anew(row)

    def _issue_anew(self, row: AbstractSession) -> None:
        """Make a token of what was loaded: what the view has changed was not to be saved."""
        content: Content = dataclasses.replace(
            row.entry, data=self._read_again(), row_expire_date=row.expire_date
        )
        try:
            self._token = self._source = self._token_of(content)
        except CookieTooLarge as error:
            logger.warning("Session %s cannot be renewed: %s", row, error)
            return
        self._content, self.has_new_cookie = content, True

    def _end_by_data(self, row: AbstractSession) -> datetime | None:
        content: Content | None = row.entry
        return None if content is None else content.expire_date

    def _set_last_seen(self, base: AbstractSession, obj: AbstractSession) -> None:
        """Let the row tell when it was last asked, which the cookie tells as well."""
        if not self._is_read(base):
            obj.__dict__.pop("last_seen_at", None)
        elif obj.last_seen_at != base.last_seen_at:
            obj.last_seen_at = self._seen_at(obj.last_seen_at)

    def _seen_at(self, moment: datetime) -> datetime:
        return moment_of(self._checked_at) if self._checked_at else moment

    def _write_if_due(self, row: AbstractSession, now: datetime, changes: dict[str, Any]) -> int:
        if (known := self._last_known_seen) is None:
            return super()._write_if_due(row, now, changes)
        is_due = Q(last_seen_at=known) | Q(last_seen_at__lte=now - _overlap())
        return self._this(row).filter(is_due).update(**changes)

    def _has_row_lease_run_out(self) -> bool:
        row, known = self._current_row(), self._last_known_seen
        if row is None or known is None:
            return super()._has_row_lease_run_out()
        return row.last_seen_at == known or row.last_seen_at <= timezone.now() - _overlap()


def _overlap() -> timedelta:
    return timedelta(seconds=min(OVERLAP, conf.lease))
