"""The pages of the example: a landing page, and the visitor's own session."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from django_sessionkit import registry
from harbour.forms import NoteForm

if TYPE_CHECKING:
    from django_sessionkit.backends.db import SessionStore

NOTE_PREFIX = "note-"
NOTE_LIMIT = 10


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Tell what there is to see."""
    return render(request, "harbour/home.html")


@never_cache
@login_required
@require_safe
def your_session(request: HttpRequest) -> HttpResponse:
    """Show the session of this request, what it holds, and the user's other sessions."""
    return _session_page(request, NoteForm())


@never_cache
@login_required
@require_POST
def add_note(request: HttpRequest) -> HttpResponse:
    """Keep a note in the session, under a key of its own: two tabs that add one both succeed."""
    form = NoteForm(request.POST)
    if form.is_valid() and _count_notes(request) >= NOTE_LIMIT:
        form.add_error("note", f"There is room for {NOTE_LIMIT} notes. Delete one first.")
    if not form.is_valid():
        return _session_page(request, form, status=422)
    request.session[NOTE_PREFIX + secrets.token_hex(3)] = form.cleaned_data["note"]
    messages.success(request, "The note is stored in your session.")
    return redirect("your-session")


@never_cache
@login_required
@require_POST
def delete_note(request: HttpRequest) -> HttpResponse:
    """Delete a note from the session; one that is not there is deleted already."""
    key = request.POST.get("key", "")
    if key.startswith(NOTE_PREFIX):
        request.session.pop(key, None)
        messages.success(request, "The note is deleted.")
    return redirect("your-session")


def _session_page(request: HttpRequest, form: NoteForm, status: int = 200) -> HttpResponse:
    store = cast("SessionStore", request.session)
    session = store.public_id and registry.find_session(store.public_id)
    if not session:
        # Revoked since the request was let in. The cookie of a cookie engine may not say so yet,
        # and the login page would send whoever has it back here.
        logout(request)
        return redirect_to_login(request.get_full_path())
    sessions = registry.list_sessions(request.user)
    context = {
        "form": form,
        "session": session,
        "others": [other for other in sessions if other.public_id != session.public_id],
        "stored": [
            {"key": key, "value": value, "is_note": key.startswith(NOTE_PREFIX)}
            for key, value in store.items()
            # Django's own entries begin with an underscore.
            if not key.startswith("_")
        ],
    }
    return render(request, "harbour/your_session.html", context, status=status)


def _count_notes(request: HttpRequest) -> int:
    return sum(key.startswith(NOTE_PREFIX) for key, _ in request.session.items())
