"""Views that do one thing to the session each, sync and async.

``hooks`` maps a path to a function that runs in the middle of its view, so that a test can force
an interleaving: what another request does while this one runs.
"""

from collections.abc import Callable

from django.contrib.auth import alogin, alogout, get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse

hooks: dict[str, Callable[[], object]] = {}


def _run_hook(request: HttpRequest) -> None:
    if hook := hooks.pop(request.path, None):
        hook()


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("untouched")


def read(request: HttpRequest) -> JsonResponse:
    data = dict(request.session.items())
    _run_hook(request)
    return JsonResponse(data)


def set_value(request: HttpRequest, key: str, value: str) -> HttpResponse:
    request.session[key] = value
    _run_hook(request)
    return HttpResponse("set")


def whoami(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    _run_hook(request)
    return HttpResponse(name)


def sign_in(request: HttpRequest, username: str) -> HttpResponse:
    user = get_user_model().objects.get_by_natural_key(username)
    request.session.get("before")
    _run_hook(request)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("in")


def sign_out(request: HttpRequest) -> HttpResponse:
    _run_hook(request)
    logout(request)
    return HttpResponse("out")


def fail(request: HttpRequest) -> HttpResponse:
    request.session["failed"] = True
    return HttpResponse("failed", status=503)


async def aread(request: HttpRequest) -> JsonResponse:
    return JsonResponse(dict(await request.session.aitems()))


async def aset_value(request: HttpRequest, key: str, value: str) -> HttpResponse:
    await request.session.aset(key, value)
    return HttpResponse("set")


async def awhoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


async def asign_in(request: HttpRequest, username: str) -> HttpResponse:
    user = await get_user_model().objects.aget(username=username)
    await alogin(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("in")


async def asign_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("out")
