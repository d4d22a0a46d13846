"""The tests' settings with a second database, for sessions alone."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

NAME = DATABASES["default"]["NAME"]
if NAME != ":memory:":
    DATABASES["default"]["NAME"] = f"{NAME}_users"
DATABASES["sessions"] = {**DATABASES["default"]}
if NAME != ":memory:":
    DATABASES["sessions"]["NAME"] = f"{NAME}_sessions"
DATABASE_ROUTERS = ["tests.two_databases.routers.SessionsApart"]
