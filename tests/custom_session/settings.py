"""The tests' settings for a site that has a session model of its own."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES
from tests.settings import INSTALLED_APPS as APPS

DATABASES["default"]["NAME"] += "_shop"
INSTALLED_APPS = [*APPS, "tests.custom_session"]
SESSION_ENGINE = "tests.custom_session.engine"
