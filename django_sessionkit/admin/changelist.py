"""The list of sessions: its filters, its search, and its links by public id."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db import DataError
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

#: Users whose sessions a search shows at most; a longer list of matches is cut, and says so.
MAX_USERS_FOUND = 500


class StateFilter(admin.SimpleListFilter):
    """Active or expired."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("active", _("Active")), ("expired", _("Expired"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "active":
                return queryset.active()
            case "expired":
                return queryset.expired()
        return queryset


class OwnerFilter(admin.SimpleListFilter):
    """One's own sessions, or those of visitors."""

    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("me", _("Mine")), ("users", _("Signed in")), ("visitors", _("Visitors"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "me":
                return queryset.filter(user=request.user.pk)
            case "users":
                return queryset.filter(user__isnull=False)
            case "visitors":
                return queryset.filter(user__isnull=True)
        return queryset


class SessionChangeList(ChangeList):
    """Sessions by their public id, newest first, the one that is looking marked."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        # Django obeys "o=…" in the URL even where no column offers it; no index serves it.
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
            mark_current(request, self.result_list)
        except (DataError, OverflowError, ValueError) as error:
            # A moment that Django could parse and the database can't hold.
            raise IncorrectLookupParameters(error) from error

    def url_for_result(self, result: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[result.public_id], current_app=self.model_admin.admin_site.name)


def mark_current(request: HttpRequest, sessions: Any) -> bool:
    """Set ``is_current`` on each of ``sessions``; return whether one makes the request."""
    # None on the session of another engine.
    current: uuid.UUID | None = getattr(request.session, "public_id", None)
    for session in sessions:
        session.is_current = session.public_id == current
    return any(session.is_current for session in sessions)


def find_users(term: str) -> list[Any]:
    """Return the primary keys of the users whom a search term names, one too many at most."""
    model: Any = get_user_model()
    names = Q(**{f"{model.USERNAME_FIELD}__startswith": term})
    email = model.get_email_field_name()
    # The user model need not have such a field.
    if "@" in term and any(field.name == email for field in model._meta.get_fields()):
        names |= Q(**{email: term})
    # In the order of the names, so that the one that is the whole term comes first.
    users = model._base_manager.filter(names).order_by(model.USERNAME_FIELD)
    return list(users.values_list("pk", flat=True)[: MAX_USERS_FOUND + 1])
