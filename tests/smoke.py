"""A site on the installed package alone. test_packaging runs it where nothing else is installed.

python -I smoke.py DATABASE_FILE
"""

import importlib
import importlib.metadata
import pkgutil
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django_sessionkit",
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
    ],
    MIDDLEWARE=[
        "django_sessionkit.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for this test alone",
    SESSION_ENGINE="django_sessionkit.backends.db",
    STATIC_URL="/static/",
    TEMPLATES=[
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
    ],
)
django.setup()

# What follows needs the configured Django.
from django.contrib import admin  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.template.loader import get_template  # noqa: E402
from django.test import Client  # noqa: E402

import django_sessionkit  # noqa: E402
from django_sessionkit.registry import list_sessions, revoke_user  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]


#: What serves an extra alone, and is imported by who names it in their settings.
NEED_MORE = {
    f"django_sessionkit.{name}"
    for name in (
        "backends.encrypted_cookies",
        "backends.signed_cookies",
        "storage.jwt_format",
        "storage.seal_format",
        "copies.cluster",
        "tokens.derivation",
        "tokens.iron",
        "tokens.jwk",
        "tokens.jwt",
    )
}


def main() -> None:
    """Import everything, migrate, sign in, look at the admin's list, revoke, be out."""
    package = Path(django_sessionkit.__file__).parent
    for module in pkgutil.walk_packages([str(package)], "django_sessionkit."):
        if module.name not in NEED_MORE:
            importlib.import_module(module.name)
    call_command("check", fail_level="WARNING")
    call_command("migrate", verbosity=0)
    for template in (package / "templates").rglob("*.html"):
        get_template(template.relative_to(package / "templates").as_posix())

    user = get_user_model().objects.create_superuser("alice")
    client = Client()
    client.force_login(user)
    (session,) = list_sessions(user)
    page = client.get("/admin/sessionkit/session/")
    assert page.status_code == 200, page
    assert str(session.public_id) in page.text, "the list does not link to the session"
    assert revoke_user(user).count == 1
    assert client.get("/admin/sessionkit/session/").status_code == 302

    installed = {each.name.lower() for each in importlib.metadata.distributions()}
    sys.stdout.write(f"works beside {', '.join(sorted(installed))}\n")


main()
