"""The one settings module of the tests. TEST_DB names the database of this process.

The servers come from the environment, as URLs:

SESSIONKIT_TEST_POSTGRESQL  postgresql://postgres@127.0.0.1:5432/
SESSIONKIT_TEST_MYSQL       mysql://root@127.0.0.1:3306/
SESSIONKIT_TEST_REDIS       redis://127.0.0.1:6379/0

A database URL's path names the database; the tests create and drop "test_<that name>". Without
a path the name tells the Python and the Django, so that runs of different ones can overlap.
"""

import os
import sys
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.core.exceptions import ImproperlyConfigured


def server_database(engine: str, variable: str) -> dict[str, Any]:
    """Return the DATABASES entry for the server that the environment variable names.

    Raises ImproperlyConfigured when the variable is unset: a run that was asked for by name must
    not pass without a test.
    """
    if not (url := os.environ.get(variable)):
        raise ImproperlyConfigured(f"TEST_DB={os.environ['TEST_DB']} needs a server in {variable}.")
    parts = urlsplit(url)
    python = "".join(map(str, sys.version_info[:2]))
    default = f"sessionkit_py{python}_dj{''.join(map(str, django.VERSION[:2]))}"
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": unquote(parts.path.lstrip("/")) or default,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A Unix socket is written "?host=/directory", as libpq does.
        "HOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PORT": parts.port or "",
    }


def database() -> dict[str, Any]:
    """Return the DATABASES entry that TEST_DB asks for."""
    match os.environ.setdefault("TEST_DB", "sqlite"):
        case "sqlite":
            # conftest.py puts it into a file. Apart from synchronous=OFF, which trades
            # durability for speed, everything is stock.
            options = {"timeout": 20, "init_command": "PRAGMA synchronous=OFF"}
            engine = "django.db.backends.sqlite3"
            return {"ENGINE": engine, "NAME": ":memory:", "OPTIONS": options}
        case "postgresql":
            postgresql = server_database("postgresql", "SESSIONKIT_TEST_POSTGRESQL")
            # As above: a commit need not wait for the disk. Who sees what stays the same.
            postgresql["OPTIONS"] = {"options": "-c synchronous_commit=off"}
            return postgresql
        case "mysql":
            mysql = server_database("mysql", "SESSIONKIT_TEST_MYSQL")
            # The server's own default, and harder than the one that Django sets: a plain
            # SELECT in a transaction never sees what others have committed meanwhile.
            mysql["OPTIONS"] = {"charset": "utf8mb4", "isolation_level": "repeatable read"}
            mysql["TEST"] = {"CHARSET": "utf8mb4"}
            return mysql
        case other:
            raise ImproperlyConfigured(
                f"TEST_DB is {other!r}; it must be sqlite, postgresql or mysql."
            )


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if redis := os.environ.get("SESSIONKIT_TEST_REDIS"):
    CACHES["redis"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis,
        # Each of the processes that test at the same time removes its own keys alone.
        "KEY_PREFIX": str(os.getpid()),
    }

SECRET_KEY = "for the tests alone"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
LOGIN_URL = "/admin/login/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django_sessionkit",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.app",
]
SESSION_ENGINE = "django_sessionkit.backends.db"
MIDDLEWARE = [
    "django_sessionkit.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
