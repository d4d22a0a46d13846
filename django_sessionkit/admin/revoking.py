"""Revoking in the admin: the actions of the list, the button of a session, and the log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_sessionkit import registry
from django_sessionkit.admin.changelist import mark_current
from django_sessionkit.admin.log import log_ends
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import conf
from django_sessionkit.events import InForce
from django_sessionkit.recall import copies_are_out_of_reach

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[AbstractSession]
else:
    _ModelAdmin = object

#: Since Django 6.1 breadcrumbs are a list, and the admin's CSS styles only such a list.
HAS_LIST_BREADCRUMBS = django.VERSION >= (6, 1)

#: Django's name for the form field by which an action takes all sessions that match the filters.
SELECT_ACROSS = "select_across"

#: The form field in which a confirmation page names the oldest session of a choice across pages.
OLDEST = "oldest"

#: How many sessions a confirmation page names; the rest is counted.
MAX_NAMED = 100

#: How many sessions one action takes across pages. Each is read into memory.
MAX_ACROSS = 10_000


class RevokingMixin(_ModelAdmin):
    """Turns the deletions of a ``ModelAdmin`` into revocations.

    Sessions that the user may not revoke are left out, and the user is told how many.
    """

    delete_confirmation_template: ClassVar[str] = "django_sessionkit/admin/delete_confirmation.html"
    delete_selected_confirmation_template: ClassVar[str] = (
        "django_sessionkit/admin/delete_selected_confirmation.html"
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may revoke sessions, or the session ``obj``.

        A superuser's session is revoked by superusers alone.
        """
        return super().has_delete_permission(request, obj) and (
            obj is None or _is_superuser(request.user) or not _is_superuser(_user_of(obj))
        )

    @admin.action(permissions=["delete"], description=_("Revoke selected sessions"))
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke the selected sessions, after a confirmation page.

        Named as Django's own action, and so replaces that.
        """
        chosen = self._allowed(request, self._as_confirmed(request, queryset))
        return self._confirm_or_revoke(request, chosen, selected=chosen) if chosen else None

    @admin.action(
        permissions=["delete"], description=_("Revoke all sessions of the selected sessions' users")
    )
    def revoke_users(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke every session of the users who own selected ones, after a confirmation page."""
        owned = list(self._as_confirmed(request, queryset.filter(user__isnull=False)))
        if not owned:
            message = gettext("No session of a user was selected.")
            self.message_user(request, message, messages.WARNING)
            return None
        users = {session.user_id for session in owned}
        theirs = self._allowed(request, self.get_queryset(request).filter(user__in=users))
        allowed = {session.user_id for session in theirs}
        selected = [session for session in owned if session.user_id in allowed]
        return self._confirm_or_revoke(request, theirs, selected=selected) if theirs else None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.POST.get("all_pages"):
            # Django's script would set this field, but offers the choice only with a count of all
            # rows. Django refuses an action without a selection, so name an id that no row has.
            post = request.POST.copy()
            post[SELECT_ACROSS] = "1"
            post.setdefault(ACTION_CHECKBOX_NAME, "0")
            request.POST = post  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        extra_context = {
            "title": gettext("Revoke session"),
            "has_list_breadcrumbs": HAS_LIST_BREADCRUMBS,
            **(extra_context or {}),
        }
        return super().delete_view(request, object_id, extra_context)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        self._report(request, 1)
        if not self.has_view_permission(request):
            return HttpResponseRedirect(reverse("admin:index", current_app=self.admin_site.name))
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        preserved = self.get_preserved_filters(request)
        url = add_preserved_filters(
            {"preserved_filters": preserved, "opts": self.opts},
            reverse(name, current_app=self.admin_site.name),
        )
        return HttpResponseRedirect(url)

    def delete_model(self, request: HttpRequest, obj: AbstractSession) -> None:
        self.delete_queryset(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[AbstractSession]) -> None:
        # Whose sessions the user may revoke, has_delete_permission() has told.
        ended = registry.revoke_sessions(
            queryset, owner=registry.ANY_OWNER, actor=request.user, model=self.model
        )
        ended.on_commit(partial(self._warn_if_late, request))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Return what a confirmation page shows of the sessions, without related objects."""
        sessions = list(objs)
        mark_current(request, sessions)
        named = [self._describe(request, session) for session in sessions[:MAX_NAMED]]
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
        """Write to the admin's log who revoked whose session, by public id."""
        return log_ends(self.model, request.user, self.owner, queryset)

    def owner(self, session: AbstractSession) -> str:
        """Return the name of the session's user, or words for a visitor or a missing user."""
        raise NotImplementedError

    def device(self, session: AbstractSession) -> str:
        """Return the label of the device, marked if the session makes this request."""
        raise NotImplementedError

    def _describe(self, request: HttpRequest, session: AbstractSession) -> str:
        # Without the view permission a user sees no more than the public id in the URL.
        if not self.has_view_permission(request, session):
            return str(session.public_id)
        parts = (self.owner(session), self.device(session), session.ip_address)
        return " · ".join(filter(None, parts))

    def _allowed(
        self, request: HttpRequest, chosen: Iterable[AbstractSession]
    ) -> list[AbstractSession]:
        """Return those of ``chosen`` that the user may revoke; report how many are left out."""
        sessions = list(chosen)
        allowed = [one for one in sessions if self.has_delete_permission(request, one)]
        if count := len(sessions) - len(allowed):
            message = ngettext(
                "%d session was left out: only superusers may revoke a superuser's.",
                "%d sessions were left out: only superusers may revoke a superuser's.",
                count,
            )
            self.message_user(request, message % count, messages.WARNING)
        return allowed

    def _as_confirmed(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> Iterable[AbstractSession]:
        """Return the sessions of ``queryset``, of a choice across pages the newest ``MAX_ACROSS``.

        After the confirmation, sessions that are newer or older than those of the confirmation
        page are left out. The page's form names the newest and the oldest alone: a field for each
        session would exceed DATA_UPLOAD_MAX_NUMBER_FIELDS.
        """
        if request.POST.get(SELECT_ACROSS) != "1":
            return queryset
        if request.POST.get("post"):
            bounds = [request.POST.get(name, "") for name in (OLDEST, ACTION_CHECKBOX_NAME)]
            if not all(bound.isdecimal() and len(bound) < 20 for bound in bounds):
                return []
            queryset = queryset.filter(pk__range=[int(bound) for bound in bounds])
        sessions = list(queryset.order_by("-pk")[: MAX_ACROSS + 1])
        if len(sessions) > MAX_ACROSS:
            message = gettext("Only the newest %s of the sessions that match were taken.")
            self.message_user(request, message % MAX_ACROSS, messages.WARNING)
        return sessions[:MAX_ACROSS]

    def _confirm_or_revoke(
        self, request: HttpRequest, sessions: list[AbstractSession], selected: list[AbstractSession]
    ) -> HttpResponseBase | None:
        if request.POST.get("post"):
            for start in range(0, len(sessions), registry.BATCH):
                batch = sessions[start : start + registry.BATCH]
                # Sessions and admin log commit together, if they are in one database.
                with transaction.atomic(using=registry.sessions(self.model).db):
                    self.log_deletions(request, batch)
                    self.delete_queryset(request, batch)
            self._report(request, len(sessions))
            return None
        request.current_app = self.admin_site.name  # for {% url %} in the template
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Revoke sessions"),
            "has_list_breadcrumbs": HAS_LIST_BREADCRUMBS,
            "opts": self.opts,
            "media": self.media,
            "warns": mark_current(request, sessions),
            "count": len(sessions),
            "deleted_objects": self.get_deleted_objects(sessions, request)[0],
            "selected": selected,
            "action": request.POST.get("action"),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            # A choice across pages names its newest (selected[0]) and its oldest session only.
            "oldest": selected[-1].pk,
            "select_across": request.POST.get(SELECT_ACROSS) == "1",
        }
        return TemplateResponse(request, self.delete_selected_confirmation_template, context)

    def _warn_if_late(self, request: HttpRequest, in_force: InForce) -> None:
        if in_force is not InForce.WITHIN_LEASE:
            return
        if copies_are_out_of_reach():
            level, message = (
                messages.INFO,
                gettext("Sessions lie in cookies: what was revoked is refused within %d seconds."),
            )
        else:
            level, message = (
                messages.WARNING,
                gettext(
                    "The cache did not answer: what was revoked may be used for %d seconds more."
                ),
            )
        self.message_user(request, message % conf.lease, level)

    def _report(self, request: HttpRequest, count: int) -> None:
        message = ngettext("Revoked %d session.", "Revoked %d sessions.", count)
        self.message_user(request, message % count, messages.SUCCESS)


def _user_of(session: AbstractSession) -> Any:
    try:
        return session.user
    except ObjectDoesNotExist:
        return None


def _is_superuser(user: Any) -> bool:
    return bool(getattr(user, "is_superuser", False))
