"""What can be seen to be wrong at start-up. Each check reports; none raises."""

from __future__ import annotations

from django.core import checks
from django.core.checks import Tags

from django_sessionkit.checks.caches import check_cache, check_cache_is_shared
from django_sessionkit.checks.cookies import check_cookie_settings, check_keys
from django_sessionkit.checks.engine import check_engine
from django_sessionkit.checks.installation import check_apps
from django_sessionkit.checks.values import check_settings


def register_checks() -> None:
    """Register the checks with Django."""
    checks.register(check_settings, "sessionkit")
    checks.register(check_apps, "sessionkit")
    checks.register(check_engine, "sessionkit")
    checks.register(check_cache, "sessionkit")
    checks.register(check_keys, "sessionkit")
    checks.register(check_cache_is_shared, "sessionkit", deploy=True)
    checks.register(check_cookie_settings, Tags.security, deploy=True)
