"""The tests' settings for a site whose users are of the model that TEST_USER_MODEL names."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

USER_MODEL = os.environ["TEST_USER_MODEL"]
AUTH_USER_MODEL = f"custom_users.{USER_MODEL}"
DATABASES["default"]["NAME"] += f"_{USER_MODEL.lower()}"
INSTALLED_APPS = [
    "django_sessionkit",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "tests.custom_users",
]
ROOT_URLCONF = "tests.custom_users.urls"
