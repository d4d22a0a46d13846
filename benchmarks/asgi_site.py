"""The site that asgi.py asks: session and authentication middleware, and three async views."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote, urlsplit

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import path
from engines import Engine


def answer(text: str) -> HttpResponse:
    # Else it would be sent in chunks, which the clients do not read.
    return HttpResponse(text, headers={"Content-Length": str(len(text))})


async def read(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return answer(user.get_username())


async def save(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    await request.session.aset("basket", time.time_ns())
    return answer(user.get_username())


async def sign_in(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import alogin, get_user_model  # noqa: PLC0415 - needs set-up

    backend = "django.contrib.auth.backends.ModelBackend"
    user = await get_user_model().objects.aget(username="alice")
    await alogin(request, user, backend=backend)
    return answer("in")


urlpatterns = [path("read", read), path("save", save), path("in", sign_in)]


def migrate() -> None:
    """Make the tables and the one user."""
    from django.contrib.auth.models import User  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    User.objects.create_user("alice")


def serve(port: int) -> None:
    """Answer on a port of the loopback until terminated."""
    uvicorn.run(
        get_asgi_application(),
        host="127.0.0.1",
        port=port,
        lifespan="off",
        timeout_keep_alive=60,
        log_level="error",
        access_log=False,
    )


def configure(engine: Engine, url: str, name: str, cache: str, pool: dict[str, Any] | None) -> None:
    """Set Django up for the engine."""
    parts = urlsplit(url)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{parts.scheme}",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": parts.port or "",
                "OPTIONS": {"pool": pool} if pool else {},
            }
        },
        CACHES={
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": cache,
                # redis-py opens 100 unless told, and then raises "Too many connections".
                "OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 1000}},
            }
        },
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", engine.app],
        MIDDLEWARE=[engine.middleware, engine.authentication],
        SESSION_ENGINE=engine.engine,
        SECRET_KEY="for the benchmark alone, which is a long one",  # noqa: S106
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
