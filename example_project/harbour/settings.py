"""Settings of the example project, made for ``manage.py demo`` on one's own machine.

Environment: ``HARBOUR_DATABASE`` is the path of the SQLite file (default: db.sqlite3 beside
manage.py), ``HARBOUR_DEBUG=0`` switches debugging off; ``HARBOUR_SECRET_KEY`` and
``HARBOUR_HOSTS`` (comma-separated) are needed then.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("HARBOUR_DEBUG", "1") == "1"
if DEBUG:
    SECRET_KEY = "django-insecure-harbour-is-a-demo-on-your-own-machine"
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
else:
    SECRET_KEY = os.environ["HARBOUR_SECRET_KEY"]
    ALLOWED_HOSTS = os.environ["HARBOUR_HOSTS"].split(",")

INSTALLED_APPS = [
    "harbour",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # Instead of "django.contrib.sessions".
    "django_sessionkit",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # Instead of "django.contrib.sessions.middleware.SessionMiddleware".
    "django_sessionkit.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    # Instead of "django.contrib.auth.middleware.AuthenticationMiddleware".
    "django_sessionkit.authentication.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

SESSION_ENGINE = "django_sessionkit.backends.db"

# Browsers share the cookies of 127.0.0.1 between all ports: names of one's own keep the demo
# from signing anybody out of another local site.
SESSION_COOKIE_NAME = "harbour_session"
CSRF_COOKIE_NAME = "harbour_csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# The demo speaks plain http. Everywhere else a site is served over https, and its cookies must
# never travel without it.
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 3600
X_FRAME_OPTIONS = "DENY"

ROOT_URLCONF = "harbour.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "your-session"
LOGOUT_REDIRECT_URL = "home"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("HARBOUR_DATABASE", BASE_DIR / "db.sqlite3"),
        # Requests run side by side in runserver's threads: readers do not wait for the writer,
        # and a writer waits for its turn instead of failing in the middle of a transaction.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
