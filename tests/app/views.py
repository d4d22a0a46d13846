"""Views that do one thing to the session each, sync and async.

``hooks`` maps a path to a function that runs in the middle of its view, so that a test can force
an interleaving: what another request does while this one runs.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import alogin, alogout, get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse

hooks: dict[str, Callable[[], object]] = {}

#: What the views under do/ and async/do/ do, by name; always in sync code.
acts: dict[str, Callable[[HttpRequest], HttpResponse | None]] = {}

BACKEND = "django.contrib.auth.backends.ModelBackend"


def _run_hook(request: HttpRequest) -> None:
    if hook := hooks.pop(request.path, None):
        hook()


async def _arun_hook(request: HttpRequest) -> None:
    await sync_to_async(_run_hook)(request)


def untouched(request: HttpRequest) -> HttpResponse:
    _run_hook(request)
    return HttpResponse("untouched")


def read(request: HttpRequest) -> JsonResponse:
    data = dict(request.session.items())
    _run_hook(request)
    return JsonResponse(data)


def set_value(request: HttpRequest, key: str, value: str) -> HttpResponse:
    request.session[key] = value
    _run_hook(request)
    return HttpResponse("set")


def pop_value(request: HttpRequest, key: str) -> HttpResponse:
    request.session.pop(key, None)
    _run_hook(request)
    return HttpResponse("popped")


def append(request: HttpRequest, key: str, value: str) -> HttpResponse:
    """Change a nested value in place."""
    request.session[key]["list"].append(value)
    request.session.modified = True
    _run_hook(request)
    return HttpResponse("appended")


def whoami(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    _run_hook(request)
    return HttpResponse(name)


def sign_in(request: HttpRequest, username: str) -> HttpResponse:
    user = get_user_model().objects.get_by_natural_key(username)
    request.session.get("before")
    _run_hook(request)
    login(request, user, backend=BACKEND)
    return HttpResponse("in")


def sign_in_and_wait(request: HttpRequest, username: str) -> HttpResponse:
    """Run the hook between the login and the response."""
    user = get_user_model().objects.get_by_natural_key(username)
    login(request, user, backend=BACKEND)
    _run_hook(request)
    return HttpResponse("in")


def sign_out(request: HttpRequest) -> HttpResponse:
    request.session.get("before")
    _run_hook(request)
    logout(request)
    return HttpResponse("out")


def fail(request: HttpRequest) -> HttpResponse:
    request.session["failed"] = True
    return HttpResponse("failed", status=503)


def do(request: HttpRequest, name: str) -> HttpResponse:
    return acts[name](request) or HttpResponse("done")


async def auntouched(request: HttpRequest) -> HttpResponse:
    await _arun_hook(request)
    return HttpResponse("untouched")


async def aread(request: HttpRequest) -> JsonResponse:
    data = dict(await request.session.aitems())
    await _arun_hook(request)
    return JsonResponse(data)


async def aset_value(request: HttpRequest, key: str, value: str) -> HttpResponse:
    await request.session.aset(key, value)
    await _arun_hook(request)
    return HttpResponse("set")


async def apop_value(request: HttpRequest, key: str) -> HttpResponse:
    await request.session.apop(key, None)
    await _arun_hook(request)
    return HttpResponse("popped")


async def aappend(request: HttpRequest, key: str, value: str) -> HttpResponse:
    nested: Any = await request.session.aget(key)
    nested["list"].append(value)
    request.session.modified = True
    await _arun_hook(request)
    return HttpResponse("appended")


async def awhoami(request: HttpRequest) -> HttpResponse:
    name = (await request.auser()).get_username()
    await _arun_hook(request)
    return HttpResponse(name)


async def asign_in(request: HttpRequest, username: str) -> HttpResponse:
    user = await get_user_model().objects.aget(username=username)
    await request.session.aget("before")
    await _arun_hook(request)
    await alogin(request, user, backend=BACKEND)
    return HttpResponse("in")


async def asign_in_and_wait(request: HttpRequest, username: str) -> HttpResponse:
    user = await get_user_model().objects.aget(username=username)
    await alogin(request, user, backend=BACKEND)
    await _arun_hook(request)
    return HttpResponse("in")


async def asign_out(request: HttpRequest) -> HttpResponse:
    await request.session.aget("before")
    await _arun_hook(request)
    await alogout(request)
    return HttpResponse("out")


async def afail(request: HttpRequest) -> HttpResponse:
    await request.session.aset("failed", True)
    return HttpResponse("failed", status=503)


async def ado(request: HttpRequest, name: str) -> HttpResponse:
    return (await sync_to_async(acts[name])(request)) or HttpResponse("done")
