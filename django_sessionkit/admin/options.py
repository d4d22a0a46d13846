"""The admin's view of sessions: look, search, revoke."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_sessionkit import registry
from django_sessionkit.admin.changelist import (
    MAX_USERS_FOUND,
    OwnerFilter,
    SessionChangeList,
    StateFilter,
    find_users,
    mark_current,
)
from django_sessionkit.admin.revoking import RevokingMixin
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import Client

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[AbstractSession]
else:
    _ModelAdmin = admin.ModelAdmin


class SessionAdmin(RevokingMixin, _ModelAdmin):
    """Who may view, sees who is signed in where; who may delete, revokes.

    Nothing is added or changed here. Neither session data nor a hash is in any page, URL or log
    entry, and no filter in a URL reaches them.
    """

    # Annotated, so that a subclass may extend them.
    list_display: tuple[str, ...] = (
        "owner",
        "device",
        "address",
        "started",
        "last_seen",
        "ends",
        "state",
    )
    list_display_links = ("owner", "device")
    list_filter = (StateFilter, OwnerFilter, "created_at", "last_seen_at")
    # Only what the filters above make; Django would allow a lookup on any field of the model.
    allowed_lookups = frozenset(
        {
            StateFilter.parameter_name,
            OwnerFilter.parameter_name,
            *(
                f"{name}__{lookup}"
                for name in ("created_at", "last_seen_at")
                for lookup in ("gte", "lt")
            ),
        }
    )
    ordering = ("-id",)
    sortable_by = ()
    # Shows the box; get_search_results() answers.
    search_fields = ("public_id",)
    search_help_text = _("User name or its beginning, e-mail, address, or public id")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("delete_selected", "revoke_users")
    fields: ClassVar[tuple[str, ...]] = (
        "owner",
        "device",
        "user_agent",
        "ip_address",
        "created_at",
        "authenticated_at",
        "last_seen_at",
        "expire_date",
        "state",
        "public_id",
    )
    readonly_fields: ClassVar[tuple[str, ...]] = fields
    change_form_template = "django_sessionkit/admin/change_form.html"
    change_list_template = "django_sessionkit/admin/change_list.html"

    # Columns

    @admin.display(description=_("user"))
    def owner(self, session: AbstractSession) -> str:
        if session.user_id is None:
            return gettext("Visitor")
        # A missing user comes as None: no constraint holds the row to it.
        return str(session.user or gettext("Deleted user %s") % session.user_id)

    @admin.display(description=_("device"))
    def device(self, session: AbstractSession) -> str:
        if getattr(session, "is_current", False):
            return gettext("%s (this session)") % session.label
        return session.label

    @admin.display(description=_("address"))
    def address(self, session: AbstractSession) -> str:
        # Where a narrow column may break an IPv6 address.
        parts = (session.ip_address or "-").split(":")
        return format_html_join(SafeString(":<wbr>"), "{}", ((part,) for part in parts))

    @admin.display(description=_("started"))
    def started(self, session: AbstractSession) -> str:
        return _distance(session.created_at)

    @admin.display(description=_("last seen"))
    def last_seen(self, session: AbstractSession) -> str:
        return _distance(session.last_seen_at)

    @admin.display(description=_("ends"))
    def ends(self, session: AbstractSession) -> str:
        return _distance(session.expire_date)

    @admin.display(description=_("state"))
    def state(self, session: AbstractSession) -> str:
        if session.user_id is not None and session.user is None:
            return gettext("Ended: the user is gone")
        return gettext("Active") if session.is_active else gettext("Expired")

    # What is shown

    def has_module_permission(self, request: HttpRequest) -> bool:
        # A project with a model of its own has no use for an empty list of ours beside it.
        in_use = self.model is registry.session_model()
        return in_use and super().has_module_permission(request)

    def get_queryset(self, request: HttpRequest) -> Any:
        # Prefetched, not joined: users may live in another database. Data and hash stay there.
        rows = registry.sessions(self.model).defer("data", "secret_hash")
        return rows.order_by("-id").prefetch_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        try:
            public_id = uuid.UUID(object_id)
        except ValueError:
            return None
        session = self.get_queryset(request).filter(public_id=public_id).first()
        if session is not None:
            mark_current(request, [session])
        return session

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in self.allowed_lookups

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Search by an address, a public id, or users; never by a part of a column of sessions."""
        term = search_term.strip()
        if not term:
            return queryset, False
        # As it would have been stored.
        if address := Client.from_meta({"REMOTE_ADDR": term}).ip_address:
            return queryset.filter(ip_address=address), False
        try:
            named = queryset.filter(public_id=uuid.UUID(term))
        except ValueError:
            pass
        else:
            # A user name may look like one.
            if named.exists():
                return named, False
        found = find_users(term)
        if len(found) > MAX_USERS_FOUND:
            self.message_user(
                request,
                gettext("More than %s users match; only the sessions of the first are shown.")
                % MAX_USERS_FOUND,
                messages.WARNING,
            )
        return queryset.filter(user__in=found[:MAX_USERS_FOUND]), False

    # Permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _distance(moment: datetime) -> str:
    """Return "2 hours ago" or "in 13 days", which fits a column; the moment itself is its title."""
    now = timezone.now()
    if moment > now:
        words = gettext("in %s") % timeuntil(moment, now, depth=1)
    else:
        words = gettext("%s ago") % timesince(moment, now, depth=1)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        localize(timezone.localtime(moment) if timezone.is_aware(moment) else moment),
        words.replace("\xa0", " "),  # a narrow column may break there
    )
