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
from django_sessionkit.ending import EndedCount, end
from django_sessionkit.events import SessionEndReason
from django_sessionkit.recall import after_commit, copies_are_out_of_reach

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[AbstractSession]
else:
    _ModelAdmin = object

#: Django 6.1 makes of the way to a page a list, and styles nothing else.
HAS_LIST_BREADCRUMBS = django.VERSION >= (6, 1)

#: Django's name for the field which says that an action takes more than what is selected.
SELECT_ACROSS = "select_across"

#: Where a confirmation page names the oldest session of a choice across pages.
OLDEST = "oldest"

#: Sessions that a confirmation page names; it counts the rest.
MAX_NAMED = 100

#: Sessions that one action takes across pages; they are all read.
MAX_ACROSS = 10_000


class RevokingMixin(_ModelAdmin):
    """Makes of Django's deleting a revoking, which leaves out what the user may not revoke."""

    delete_confirmation_template: ClassVar[str] = "django_sessionkit/admin/delete_confirmation.html"
    delete_selected_confirmation_template: ClassVar[str] = (
        "django_sessionkit/admin/delete_selected_confirmation.html"
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may revoke, and ``obj`` if given: a superuser's only as a superuser."""
        return super().has_delete_permission(request, obj) and (
            obj is None or _is_superuser(request.user) or not _is_superuser(_user_of(obj))
        )

    @admin.action(permissions=["delete"], description=_("Revoke selected sessions"))
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke the selected sessions, after a confirmation page.

        Under the name of Django's action, which it takes the place of.
        """
        chosen = self._allowed(request, self._as_confirmed(request, queryset))
        return self._confirm_or_revoke(request, chosen, selected=chosen) if chosen else None

    @admin.action(
        permissions=["delete"], description=_("Revoke all sessions of the selected sessions' users")
    )
    def revoke_users(
        self, request: HttpRequest, queryset: QuerySet[AbstractSession]
    ) -> HttpResponseBase | None:
        """Revoke every session of whoever owns a selected one, after a confirmation page."""
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
            # What Django's script would set, which offers that by a count. Something must be
            # selected then, whatever it is.
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
        chosen = list(queryset)
        rows = registry.sessions(self.model).filter(pk__in=[session.pk for session in chosen])
        ended = end(
            rows,
            reason=SessionEndReason.REVOKED,
            actor=request.user,
            public_ids=[session.public_id for session in chosen],
            or_gone=True,
        )
        after_commit(partial(self._warn_if_late, request, ended), rows.db)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Describe what a confirmation page is about; nothing hangs on a session."""
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
        """Log who revoked whose session, by public id."""
        return log_ends(self.model, request.user, self.owner, queryset)

    def owner(self, session: AbstractSession) -> str:
        """Return in words whose session it is."""
        raise NotImplementedError

    def device(self, session: AbstractSession) -> str:
        """Return the device in words, marked if it is the one that looks."""
        raise NotImplementedError

    def _describe(self, request: HttpRequest, session: AbstractSession) -> str:
        # Who may revoke and not look, is told no more than they came with.
        if not self.has_view_permission(request, session):
            return str(session.public_id)
        parts = (self.owner(session), self.device(session), session.ip_address)
        return " · ".join(filter(None, parts))

    def _allowed(
        self, request: HttpRequest, chosen: Iterable[AbstractSession]
    ) -> list[AbstractSession]:
        """Return what the user may revoke of ``chosen``, and report how much that leaves out."""
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
        """Return the sessions of ``queryset``, of a choice across pages the newest.

        Without those that are newer or older than what the confirmation page was about. It names
        the ends where it does not name all (they would pass DATA_UPLOAD_MAX_NUMBER_FIELDS).
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
                # Logged and done, or neither (where both are in one database).
                with transaction.atomic(using=registry.sessions(self.model).db):
                    self.log_deletions(request, batch)
                    self.delete_queryset(request, batch)
            self._report(request, len(sessions))
            return None
        request.current_app = self.admin_site.name  # for its URLs
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
            # Of a choice across pages only the newest (the first) and the oldest are named.
            "oldest": selected[-1].pk,
            "select_across": request.POST.get(SELECT_ACROSS) == "1",
        }
        return TemplateResponse(request, self.delete_selected_confirmation_template, context)

    def _warn_if_late(self, request: HttpRequest, ended: EndedCount) -> None:
        if ended.at_once is False:
            level, message = (
                messages.WARNING,
                gettext(
                    "The cache did not answer: what was revoked may be used for %d seconds more."
                ),
            )
            if copies_are_out_of_reach():
                level, message = (
                    messages.INFO,
                    gettext(
                        "Sessions lie in cookies: what was revoked is refused within %d seconds."
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
