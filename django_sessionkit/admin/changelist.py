"""The list of sessions: its filters, its search, and its links by public id."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from django_sessionkit.admin.paging import NEWER, OLDER, Page, Pages, Place

#: Users whose sessions a search shows at most; a longer list of matches is cut, and says so.
MAX_USERS_FOUND = 100


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
    """Sessions by their public id, newest first, the one that is looking marked.

    Active or expired ones come in the order of their ends instead, for an index has that order.
    """

    _found: Any
    page: Page

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        # Django obeys "o=…" in the URL even where no column offers it; no index serves it.
        return list(self._order())

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        # Refuses what no filter makes before anything is asked.
        self.get_filters(request)
        # Searched before it is filtered, so that it is known what the search alone finds.
        root, query = self.root_queryset, self.query
        found, may_repeat = self.model_admin.get_search_results(request, root, query)
        if may_repeat:
            # A search of the project's own, that joins: each session is listed once.
            found = root.filter(pk__in=found.order_by().values("pk"))
        self._found = found
        self.root_queryset, self.query = self._found, ""
        try:
            return super().get_queryset(request, exclude_parameters)
        finally:
            self.root_queryset, self.query = root, query

    def get_results(self, request: HttpRequest) -> None:
        try:
            self.page = self._page(self._pages(request))
        except (DataError, OverflowError, ValueError) as error:
            # A place that is none, or a moment that Django could parse and the database can't hold.
            raise IncorrectLookupParameters(error) from error
        self.result_list = self.page.sessions
        mark_current(request, self.result_list)
        # Nobody counts: Django's templates are told of this page alone.
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.show_all = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = None

    def get_filters_params(self, params: Any = None) -> Any:
        filters = super().get_filters_params(params)
        return {name: filters[name] for name in filters if name not in (OLDER, NEWER)}

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        # With another filter the list begins anew.
        return super().get_query_string(new_params, [*(remove or ()), OLDER, NEWER])

    @property
    def newer_url(self) -> str | None:
        """Where the page before this one is, or None."""
        return self._url_of(NEWER, self.page.newer)

    @property
    def older_url(self) -> str | None:
        """Where the page behind this one is, or None."""
        return self._url_of(OLDER, self.page.older)

    def url_for_result(self, result: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[result.public_id], current_app=self.model_admin.admin_site.name)

    def _order(self) -> tuple[str, ...]:
        """Return the order that an index has of what the search, or else a filter, finds."""
        owner, state = self._filter(OwnerFilter), self._filter(StateFilter)
        if self.query or owner == "me":
            return ("-id",)
        if owner == "visitors":
            # They share "no user"; named so that it is seen to be the order of the index.
            return ("-user_id", "-id")
        return ("-expire_date", "-id") if state else ("-id",)

    def _pages(self, request: HttpRequest) -> Pages:
        order, served = self._order(), []
        if order != ("-id",):
            served = [StateFilter if order[0] == "-expire_date" else OwnerFilter]
        elif not self.query and self._filter(OwnerFilter) == "me":
            served = [OwnerFilter]
        found = self._found
        for spec in self.filter_specs:
            if type(spec) in served:
                found = spec.queryset(request, found)
        others = self.get_filters_params().keys() - {cls.parameter_name for cls in served}
        sessions = self.queryset
        return Pages(sessions, found if others else sessions, order, max(self.list_per_page, 1))

    def _page(self, pages: Pages) -> Page:
        is_by_end = pages.order[0] == "-expire_date"
        for name, turn in ((OLDER, pages.older), (NEWER, pages.newer)):
            if name in self.params:
                return turn(Place.parse(self.params[name], is_by_end=is_by_end))
        return pages.first()

    def _url_of(self, way: str, place: Place | None) -> str | None:
        return None if place is None else self.get_query_string({way: str(place)})

    def _filter(self, cls: type[admin.SimpleListFilter]) -> str | None:
        values = self.filter_params.get(str(cls.parameter_name))
        return values[-1] if values else None


def mark_current(request: HttpRequest, sessions: Any) -> bool:
    """Set ``is_current`` on each of ``sessions``; return whether one makes the request."""
    # None on the session of another engine.
    current: uuid.UUID | None = getattr(request.session, "public_id", None)
    for session in sessions:
        session.is_current = session.public_id == current
    return any(session.is_current for session in sessions)


def find_users(term: str) -> list[Any]:
    """Return the primary keys of the users whom a search term names, one too many at most.

    The one whose name is the whole term comes first, then those of that e-mail address. Names are
    found by their index, an address only if the user model has an index for it: Django's has none,
    so that to look for one is to read all users.
    """
    model: Any = get_user_model()
    users = model._base_manager.order_by().values_list("pk", flat=True)
    name = model._meta.get_field(model.USERNAME_FIELD)
    found: list[Any] = []
    # A name may be a number, or a UUID, and the term none.
    with suppress(ValueError, ValidationError, OverflowError):
        found += users.filter(**{name.name: term})[: MAX_USERS_FOUND + 1]
    # The user model need not have such a field.
    email = str(getattr(model, "get_email_field_name", str)())
    if "@" in term and any(field.name == email for field in model._meta.get_fields()):
        found += users.filter(**{email: term})[: MAX_USERS_FOUND + 1]
    if not name.is_relation:
        # In no order: to sort all whose names begin with "a" would take long. MySQL has an index
        # for the comparison that does not look at upper and lower case, and none for the other.
        begins = {f"{name.name}__startswith": term, f"{name.name}__istartswith": term}
        found += users.filter(**begins)[: MAX_USERS_FOUND + 1]
    return list(dict.fromkeys(found))[: MAX_USERS_FOUND + 1]
