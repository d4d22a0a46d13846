"""The request that is being answered, for what is handed none."""

from __future__ import annotations

from contextvars import ContextVar

from django.http import HttpRequest

#: Set by the middleware while the view runs.
current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)
