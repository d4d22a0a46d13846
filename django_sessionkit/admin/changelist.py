"""The list of sessions: its filters, its search, and its links by public id."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
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
    """Sessions by their public id, the one that is looking marked."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        current = current_public_id(request)
        for session in self.result_list:
            session.is_current = session.public_id == current

    def url_for_result(self, result: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[result.public_id], current_app=self.model_admin.admin_site.name)


def current_public_id(request: HttpRequest) -> uuid.UUID | None:
    """Return the public id of the session that makes the request."""
    return getattr(request.session, "public_id", None)


def find_users(term: str) -> list[Any]:
    """Return the primary keys of the users whom a search term names, one too many at most."""
    model = get_user_model()
    names = Q(**{f"{model.USERNAME_FIELD}__startswith": term})
    if "@" in term and hasattr(model, "get_email_field_name"):
        names |= Q(**{model.get_email_field_name(): term})
    users = model._base_manager.filter(names).order_by("pk")
    return list(users.values_list("pk", flat=True)[: MAX_USERS_FOUND + 1])
