"""What can be seen to be wrong at start-up."""

from __future__ import annotations

from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core import checks
from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, Error, Tags
from django.core.checks.security import sessions as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.base_session import AbstractSession
from django_sessionkit.conf import IP_ADDRESS_CHOICES, conf
from django_sessionkit.copies import has_scripts
from django_sessionkit.middleware import SessionMiddleware
from django_sessionkit.recall import DropsCopies, repository_in_use
from django_sessionkit.storage.protocol import HasKeySet

APP = "django_sessionkit"
DJANGO_APP = "django.contrib.sessions"


def register_checks() -> None:
    """Register the checks with Django."""
    checks.register(check_settings, "sessionkit")
    checks.register(check_apps, "sessionkit")
    checks.register(check_engine, "sessionkit")
    checks.register(check_cache, "sessionkit")
    checks.register(check_keys, "sessionkit")
    checks.register(check_cache_is_shared, "sessionkit", deploy=True)
    checks.register(check_cookie_settings, Tags.security, deploy=True)


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: values of our own settings."""
    errors: list[CheckMessage] = []
    if not _is_count(conf.lease):
        errors.append(
            Error(
                f"SESSIONKIT_LEASE must be a whole number of seconds, not {conf.lease!r}.",
                hint="Use 60, or 0 to ask the row at each request.",
                id="sessionkit.E001",
            )
        )
    if not _is_count(conf.trusted_proxy_count):
        errors.append(
            Error(
                "SESSIONKIT_TRUSTED_PROXY_COUNT must be the number of proxies before the site, "
                f"not {conf.trusted_proxy_count!r}.",
                hint="Use 0 where clients connect directly, 1 behind one reverse proxy.",
                id="sessionkit.E002",
            )
        )
    if conf.ip_address not in IP_ADDRESS_CHOICES:
        errors.append(
            Error(
                f"SESSIONKIT_IP_ADDRESS must not be {conf.ip_address!r}.",
                hint=f"Use one of {', '.join(map(repr, IP_ADDRESS_CHOICES))}.",
                id="sessionkit.E003",
            )
        )
    return errors


def check_apps(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W001: Django's app stands before ours, so that its ``clearsessions`` wins."""
    names = [config.name for config in apps.get_app_configs()]
    if APP in names and DJANGO_APP in names[: names.index(APP)]:
        return [
            checks.Warning(
                f"'{DJANGO_APP}' stands before '{APP}' in INSTALLED_APPS, so that "
                "'manage.py clearsessions' is Django's and cleans another table.",
                hint=f"Remove '{DJANGO_APP}', or move it behind '{APP}'.",
                id="sessionkit.W001",
            )
        ]
    return []


def check_engine(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E004, E005, W002, W003: engine, model and middleware that do not belong together."""
    try:
        store = conf.session_store
    except (ImportError, AttributeError) as error:
        return [
            Error(
                f"SESSION_ENGINE {settings.SESSION_ENGINE!r} cannot be used: {error}.",
                hint=_hint_for(error),
                id="sessionkit.E005",
            )
        ]
    if not issubclass(store, BaseSessionStore):
        return [
            checks.Warning(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, so that sessions are neither "
                "listed nor revoked.",
                hint="Use 'django_sessionkit.backends.db'.",
                id="sessionkit.W002",
            )
        ]
    messages: list[CheckMessage] = []
    model: Any = store.get_model_class()
    if not issubclass(model, AbstractSession):
        messages.append(
            Error(
                f"The model of {settings.SESSION_ENGINE!r}, {model!r}, cannot hold its sessions.",
                hint="Derive it from django_sessionkit.base_session.AbstractSession.",
                id="sessionkit.E004",
            )
        )
    elif any(model._meta.parents.values()):
        # A proxy has a parent too, but no link to it.
        messages.append(
            Error(
                f"The model of {settings.SESSION_ENGINE!r}, {model!r}, keeps its sessions in "
                "two tables, which no single statement can write.",
                hint="Derive it from django_sessionkit.base_session.AbstractSession, not from "
                "a model that has a table.",
                id="sessionkit.E004",
            )
        )
    if not any(issubclass(one, SessionMiddleware) for one in _session_middleware()):
        messages.append(
            checks.Warning(
                "The session engine is ours but the middleware is not: clients are not recorded, "
                "'last_seen_at' stands still, and a request whose session is revoked while it "
                "runs ends in HTTP 400.",
                hint=f"Put '{APP}.middleware.SessionMiddleware' into MIDDLEWARE in place of "
                "Django's.",
                id="sessionkit.W003",
            )
        )
    return messages


def check_cache(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E006, E007, W004, W006, W007: what the cache of the sessions cannot do."""
    if not _has_cache():
        return []
    alias = settings.SESSION_CACHE_ALIAS
    if alias not in settings.CACHES:
        return [
            Error(
                f"SESSION_CACHE_ALIAS is {alias!r}, which CACHES does not have.",
                hint=f"Use one of {', '.join(map(repr, settings.CACHES))}.",
                id="sessionkit.E006",
            )
        ]
    try:
        cache = caches[alias]
    except (ImportError, InvalidCacheBackendError):
        return []  # Django's message for that is the better one.
    options: dict[str, Any] = dict(cast(Any, settings.CACHES[alias].get("OPTIONS", {})))
    options |= options.get("CONNECTION_POOL_KWARGS", {})
    messages: list[CheckMessage] = []
    if isinstance(cache, DummyCache):
        messages.append(
            checks.Warning(
                f"The cache {alias!r} keeps nothing, so that 'cached_db' reads the row at each "
                "request and 'cache' signs everybody out.",
                hint="Use a Redis, or 'django_sessionkit.backends.db'.",
                id="sessionkit.W004",
            )
        )
    if _is_redis(cache) and options.get("decode_responses"):
        messages.append(
            Error(
                f"The cache {alias!r} has 'decode_responses' on, but sessions are bytes.",
                hint="Remove it, or give sessions a cache of their own.",
                id="sessionkit.E007",
            )
        )
    names = {str(name).lower() for name, value in options.items() if value}
    if _is_redis(cache) and not {"socket_timeout", "socket_connect_timeout"} <= names:
        messages.append(
            checks.Warning(
                f"The cache {alias!r} has no socket timeouts: while its server hangs, so does "
                "every request that has a session.",
                hint="Set 'SOCKET_CONNECT_TIMEOUT' and 'SOCKET_TIMEOUT' (seconds, such as 0.5) "
                "in its OPTIONS; for Django's own backend they are written in lower case.",
                id="sessionkit.W006",
            )
        )
    if options.get("SENTINELS") and "retry" not in (options.get("SENTINEL_KWARGS") or {}):
        messages.append(
            checks.Warning(
                f"The cache {alias!r} lets redis-py ask Sentinels that do not answer again and "
                "again, for many seconds a request.",
                hint="Give SENTINEL_KWARGS in its OPTIONS timeouts and a 'retry' of its own, such "
                "as Retry(NoBackoff(), 0) of redis-py.",
                id="sessionkit.W007",
            )
        )
    return messages


def check_cache_is_shared(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W005: a cache that each process has for itself."""
    if not _has_cache() or settings.SESSION_CACHE_ALIAS not in settings.CACHES:
        return []
    backend = settings.CACHES[settings.SESSION_CACHE_ALIAS].get("BACKEND")
    if backend != f"{LocMemCache.__module__}.{LocMemCache.__qualname__}":
        return []
    return [
        checks.Warning(
            "Sessions lie in a cache that each process has for itself: with more than one, "
            "'cached_db' believes a revoked session for up to a lease, and 'cache' signs people "
            "in and out by chance.",
            hint="Use a Redis, or 'django_sessionkit.backends.db'.",
            id="sessionkit.W005",
        )
    ]


def check_cookie_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Django's security.W010 to W015, which go silent once its app and middleware are replaced.

    Django compares literal paths; the same messages are given for what stands in their place.
    """
    django_app = DJANGO_APP in settings.INSTALLED_APPS
    django_middleware = (
        "django.contrib.sessions.middleware.SessionMiddleware" in settings.MIDDLEWARE
    )
    if django_app or django_middleware:
        return []
    with_middleware = bool(_session_middleware())
    messages: list[CheckMessage] = []
    if settings.SESSION_COOKIE_SECURE is not True:
        messages.append(django_checks.W012 if with_middleware else django_checks.W010)
    if settings.SESSION_COOKIE_HTTPONLY is not True:
        messages.append(django_checks.W015 if with_middleware else django_checks.W013)
    return messages


def check_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E008: keys and passwords of the cookie engines that cannot be used."""
    try:
        repository = repository_in_use()
        if isinstance(repository, HasKeySet):
            repository.check_keys()
    except (ImportError, AttributeError, ImproperlyConfigured):
        return []  # E005; or there is no SECRET_KEY, which Django says better.
    except ValueError as error:
        return [
            Error(
                f"{settings.SESSION_ENGINE!r} has no keys that it can use: {error}",
                hint="See SESSIONKIT_JWT_… and SESSIONKIT_SEAL_PASSWORDS in the reference.",
                id="sessionkit.E008",
            )
        ]
    return []


def _hint_for(error: ImportError | AttributeError) -> str:
    missing = str(getattr(error, "name", None)).partition(".")[0]
    engine = settings.SESSION_ENGINE.rpartition(".")[2]
    if missing in ("cryptography", "joserfc") and engine.endswith("_cookies"):
        extra = engine.replace("_", "-")
        return f'Install what it needs: pip install "django-sessionkit[{extra}]".'
    return "Use 'django_sessionkit.backends.db'."


def _has_cache() -> bool:
    """Whether the engine is one of ours that keeps something in a cache."""
    try:
        return isinstance(repository_in_use(), DropsCopies)
    except (ImportError, AttributeError):
        return False  # E005


def _is_redis(cache: BaseCache) -> bool:
    """Whether it is django-redis' backend, or Django's own for Redis."""
    return has_scripts(cache) or isinstance(cache, RedisCache)


def _session_middleware() -> list[type[DjangoSessionMiddleware]]:
    found = []
    for path in settings.MIDDLEWARE:
        try:
            middleware = import_string(path)
        except ImportError:
            continue  # Django says so when it loads the middleware.
        if isinstance(middleware, type) and issubclass(middleware, DjangoSessionMiddleware):
            found.append(middleware)
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
