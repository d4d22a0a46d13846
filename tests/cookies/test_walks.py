"""Random walks: whatever requests do one after the other, in and out of transactions.

Afterwards, past the lease: who signed in last is signed in, by a row; who signed out, or was
revoked, is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse

from django_sessionkit import registry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.models import Session
from tests.app import views
from tests.browsers import Browser
from tests.engines import Engine, with_tokens

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WALKS = 150
FRAMES = ("plain", "plain", "committed", "taken back", "failed")
NAMES = ("alice", "bob")


def _sign_in(name: str) -> Callable[[Any], object]:
    def act(request: Any) -> None:
        login(request, User.objects.get(username=name), backend=views.BACKEND)

    return act


def _new_hash(request: Any) -> None:
    if request.user.is_authenticated:
        update_session_auth_hash(request, request.user)


def _save(request: Any) -> None:
    with suppress(SessionGone):  # as the middleware does
        request.session.save()


ACTS: dict[str, Callable[[Any], object]] = {
    "alice": _sign_in("alice"),
    "bob": _sign_in("bob"),
    "logout": logout,
    "revoke": lambda request: registry.revoke_everyone(),
    "set": lambda request: request.session.update({"x": 1}),
    "pop": lambda request: request.session.pop("x", None),
    "clear": lambda request: request.session.clear(),
    "save": _save,
    "cycle": lambda request: request.session.cycle_key(),
    "expiry": lambda request: request.session.set_expiry(500),
    "hash": _new_hash,
    "key": lambda request: request.session.session_key,
}


def request_of(acts: list[str], frame: str) -> Callable[[Any], HttpResponse]:
    """Return a view that does these acts, in a transaction or not."""

    def view(request: Any) -> HttpResponse:
        opens = frame in ("committed", "taken back")
        with transaction.atomic() if opens else nullcontext():
            for act in acts:
                ACTS[act](request)
            if frame == "taken back":
                transaction.set_rollback(True)
        return HttpResponse(status=503 if frame == "failed" else 200)

    return view


def steps(walk: random.Random) -> Iterator[tuple[list[str], str]]:
    for _ in range(walk.randint(2, 5)):
        frame = walk.choice(FRAMES)
        # What is taken back has not been revoked.
        known = [act for act in ACTS if (act, frame) != ("revoke", "taken back")]
        yield walk.choices(known, k=walk.randint(1, 4)), frame


@with_tokens
def test_whatever_requests_do_the_row_has_the_last_word(engine: Engine) -> None:
    for name in NAMES:
        User.objects.create_user(name)
    for seed in range(WALKS):
        browser, trace = Browser(), [f"walk {seed}"]
        for acts, frame in steps(random.Random(seed)):  # noqa: S311
            trace.append(f"{frame}: {', '.join(acts)}")
            views.acts["act"] = request_of(acts, frame)
            browser.get("/do/act/")
            if browser.session_key:
                browser.session_key = engine.aged(browser.session_key)
            name = browser.get("/whoami/").text
            assert not name or Session.objects.filter(user__username=name).exists(), trace
            if frame == "failed":
                continue
            decisive = [act for act in acts if act in (*NAMES, "logout", "clear", "revoke")]
            last = decisive[-1] if decisive else ""
            if last in NAMES and "revoke" not in acts:
                assert name == last, trace
            if last == "logout" or (last == "revoke" and not {*NAMES} & {*acts}):
                assert name == "", trace
        Session.objects.all().delete()
