"""The admin's view of sessions: look, search, revoke."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_sessionkit import registry
from django_sessionkit.admin.changelist import (
    MAX_USERS_FOUND,
    OwnerFilter,
    SessionChangeList,
    StateFilter,
    current_public_id,
    find_users,
)
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.clients import Client

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[AbstractSession]
else:
    _ModelAdmin = admin.ModelAdmin

#: Sessions that a confirmation page names; it counts the rest.
MAX_NAMED = 100


class SessionAdmin(_ModelAdmin):
    """Who may view, sees who is signed in where; who may delete, revokes.

    Nothing is added or changed here. Neither session data nor a hash is in any page, URL or log
    entry, and no filter in a URL reaches them.
    """

    list_display = (
        "owner",
        "device",
        "ip_address",
        "created_at",
        "last_seen_at",
        "expire_date",
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
    fields = readonly_fields = (
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
    change_form_template = "django_sessionkit/admin/change_form.html"
    delete_confirmation_template = "django_sessionkit/admin/delete_confirmation.html"
    delete_selected_confirmation_template = (
        "django_sessionkit/admin/delete_selected_confirmation.html"
    )

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

    @admin.display(description=_("state"))
    def state(self, session: AbstractSession) -> str:
        if session.user_id is not None and session.user is None:
            return gettext("Ended: the user is gone")
        return gettext("Active") if session.is_active else gettext("Expired")

    # What is shown

    def get_queryset(self, request: HttpRequest) -> Any:
        # Prefetched, not joined: users may live in another database.
        return registry.sessions(self.model).order_by("-id").prefetch_related("user")

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
            session.is_current = public_id == current_public_id(request)
        return session

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in self.allowed_lookups

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Search by what an index answers: an address, a public id, or users."""
        term = search_term.strip()
        if not term:
            return queryset, False
        # As it would have been stored.
        if address := Client.from_meta({"REMOTE_ADDR": term}).ip_address:
            return queryset.filter(ip_address=address), False
        try:
            return queryset.filter(public_id=uuid.UUID(term)), False
        except ValueError:
            pass
        found = find_users(term)
        if len(found) > MAX_USERS_FOUND:
            self.message_user(
                request,
                gettext("More than %s users match; only their sessions are shown.")
                % MAX_USERS_FOUND,
                messages.WARNING,
            )
        return queryset.filter(user__in=found[:MAX_USERS_FOUND]), False

    # Permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may revoke, and ``obj`` if given: a superuser's only as a superuser."""
        return super().has_delete_permission(request, obj) and (
            obj is None or not _is_superuser(obj.user) or _is_superuser(request.user)
        )

    # Revoking

    @admin.action(permissions=["delete"], description=_("Revoke selected sessions"))
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke the selected sessions, by Django's action for deletions."""
        queryset = self._leave_out(request, queryset)
        return self._delete_selected(request, queryset) if queryset else None

    @admin.action(
        permissions=["delete"], description=_("Revoke all sessions of the selected sessions' users")
    )
    def revoke_users(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke every session of whoever owns a selected one, after a confirmation page."""
        queryset = self._leave_out(request, queryset.filter(user__isnull=False))
        users = set(queryset.order_by().values_list("user_id", flat=True))
        if not users:
            self.message_user(
                request, gettext("No session of a user was selected."), messages.WARNING
            )
            return None
        theirs = self.get_queryset(request).filter(user__in=users)
        if not request.POST.get("post"):
            return self._delete_selected(request, theirs, queryset=queryset, action="revoke_users")
        self.log_deletions(request, theirs)
        count = sum(registry.revoke_user(pk, actor=request.user) for pk in users)
        self.message_user(
            request,
            ngettext("Revoked %d session.", "Revoked %d sessions.", count) % count,
            messages.SUCCESS,
        )
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        extra_context = {"title": gettext("Revoke session"), **(extra_context or {})}
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: AbstractSession) -> None:
        registry.revoke(obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AbstractSession]) -> None:
        registry.revoke_sessions(queryset, actor=request.user)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Describe what a confirmation page is about; nothing hangs on a session."""
        sessions = list(objs)
        current = current_public_id(request)
        for session in sessions:
            session.is_current = session.public_id == current
        named = [
            " · ".join(filter(None, (self.owner(one), self.device(one), one.ip_address)))
            for one in sessions[:MAX_NAMED]
        ]
        if more := len(sessions) - len(named):
            named.append(ngettext("and %d more", "and %d more", more) % more)
        allowed = all(self.has_delete_permission(request, session) for session in sessions)
        return (
            named,
            {str(self.opts.verbose_name_plural): len(sessions)},
            set() if allowed else {str(self.opts.verbose_name)},
            [],
        )

    def log_deletions(
        self, request: HttpRequest, queryset: Iterable[AbstractSession]
    ) -> list[LogEntry]:
        """Log who revoked whose session, by public id."""
        content_type = ContentType.objects.get_for_model(self.model)
        entries = [
            LogEntry(
                user_id=request.user.pk,  # type: ignore[misc]  # signed in, or not here
                content_type_id=content_type.pk,
                object_id=str(session.public_id),
                object_repr=str(session),
                action_flag=DELETION,
                change_message=gettext("Revoked the session of %s.") % self.owner(session),
            )
            for session in queryset
        ]
        return LogEntry.objects.bulk_create(entries, batch_size=500)

    def _delete_selected(
        self, request: HttpRequest, sessions: QuerySet[AbstractSession], **context: Any
    ) -> HttpResponseBase | None:
        response = delete_selected(self, request, sessions)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data |= {
                "title": gettext("Revoke sessions"),
                "count": len(sessions),
                "warns": any(one.public_id == current_public_id(request) for one in sessions),
                # Every session of the list: name the choice again, not each of them.
                "select_across": request.POST.get("select_across") == "1",
                **context,
            }
        return response

    def _leave_out(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> QuerySet[AbstractSession]:
        """Return ``queryset`` without what the user may not revoke, and report what that was."""
        if _is_superuser(request.user):
            return queryset
        owners = queryset.filter(user__isnull=False).order_by().values_list("user_id", flat=True)
        users = get_user_model()._base_manager.filter(pk__in=list(owners.distinct()))
        # Asked of the instance: a user model may answer by a property.
        superusers = [user.pk for user in users if _is_superuser(user)]
        if not superusers:
            return queryset
        count = queryset.filter(user__in=superusers).count()
        self.message_user(
            request,
            ngettext(
                "%d session of a superuser was left out: only superusers revoke those.",
                "%d sessions of superusers were left out: only superusers revoke those.",
                count,
            )
            % count,
            messages.WARNING,
        )
        return queryset.filter(Q(user__isnull=True) | ~Q(user__in=superusers))


def _is_superuser(user: Any) -> bool:
    return bool(getattr(user, "is_superuser", False))
