"""What can be seen to be wrong at start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import checks
from django.test import override_settings
from django.test.utils import isolate_apps

from django_sessionkit.backends.db import SessionStore as Ours
from django_sessionkit.middleware import SessionMiddleware
from django_sessionkit.models import Session
from tests.cases import looped

pytestmark = pytest.mark.varies

ROOT = Path(__file__).resolve().parent.parent
OUR_APP, DJANGO_APP = "django_sessionkit", "django.contrib.sessions"
OUR_MIDDLEWARE = "django_sessionkit.middleware.SessionMiddleware"
DJANGO_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
OUR_ENGINE = "django_sessionkit.backends.db"


class Middleware(SessionMiddleware):
    """A site's own."""


class StoreOfAnotherModel(Ours):
    @classmethod
    def get_model_class(cls) -> Any:
        return Group


def ids(**settings: Any) -> set[str]:
    """Return the ids of the messages that the checks of this package give."""
    with override_settings(**settings):
        messages = checks.run_checks(tags=["sessionkit"])
    for message in messages:
        assert message.hint
    return {str(message.id) for message in messages}


def test_the_site_of_the_tests_is_in_order() -> None:
    assert ids() == set()


@looped("value", [-1, 1.5, "60", None, True])
def test_a_lease_that_is_no_number_of_seconds(value: object) -> None:
    assert ids(SESSIONKIT_LEASE=value) == {"sessionkit.E001"}


@looped("value", [-1, 1.5, "1", None, True])
def test_a_count_of_proxies_that_is_none(value: object) -> None:
    assert ids(SESSIONKIT_TRUSTED_PROXY_COUNT=value) == {"sessionkit.E002"}


@looped("value", ["", "FULL", "hashed", None, True, 24])
def test_an_address_setting_that_is_no_choice(value: object) -> None:
    assert ids(SESSIONKIT_IP_ADDRESS=value) == {"sessionkit.E003"}


@looped(
    "settings",
    [
        {"SESSIONKIT_LEASE": 0, "SESSIONKIT_TRUSTED_PROXY_COUNT": 2},
        {"SESSIONKIT_IP_ADDRESS": "truncated"},
        {"SESSIONKIT_IP_ADDRESS": "none", "SESSIONKIT_LEASE": 3600},
    ],
)
def test_good_values_are_in_order(settings: dict[str, object]) -> None:
    assert ids(**settings) == set()


def test_an_engine_whose_model_cannot_hold_our_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SessionStore", StoreOfAnotherModel, raising=False)
    assert ids(SESSION_ENGINE=__name__) == {"sessionkit.E004"}


@pytest.mark.parametrize(("is_proxy", "expected"), [(False, {"sessionkit.E004"}), (True, set())])
def test_an_engine_whose_model_has_two_tables(
    monkeypatch: pytest.MonkeyPatch, is_proxy: bool, expected: set[str]
) -> None:
    with isolate_apps("tests.app"):

        class Child(Session):
            class Meta:
                app_label = "app"
                proxy = is_proxy

    class Store(Ours):
        @classmethod
        def get_model_class(cls) -> Any:
            return Child

    monkeypatch.setattr(sys.modules[__name__], "SessionStore", Store, raising=False)
    assert ids(SESSION_ENGINE=__name__) == expected


@looped("engine", ["no.such.engine", "django_sessionkit.backends", "tests.urls"])
def test_an_engine_that_cannot_be_imported(engine: str) -> None:
    assert ids(SESSION_ENGINE=engine) == {"sessionkit.E005"}


def test_an_engine_that_is_not_ours() -> None:
    assert ids(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies") == {
        "sessionkit.W002"
    }


@looped("middleware", [[DJANGO_MIDDLEWARE], [], ["no.such.Middleware"]])
def test_our_engine_without_our_middleware(middleware: list[str]) -> None:
    assert ids(MIDDLEWARE=middleware) == {"sessionkit.W003"}


def test_a_subclass_of_our_middleware_is_in_order() -> None:
    assert ids(MIDDLEWARE=[f"{__name__}.Middleware"]) == set()


# Whole sites, in processes of their own: what Django sees of a setting it sees at start-up.


URLS = """
from django.urls import path

from tests.app import views

urlpatterns = [
    path("untouched/", views.untouched),
    path("read/", views.read),
    path("set/<str:key>/<str:value>/", views.set_value),
]
"""


def run(tmp_path: Path, code: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a site with the settings."""
    values = {
        "SECRET_KEY": "x" * 50 + "abcdefg",
        "ROOT_URLCONF": "site_urls",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        **settings,
    }
    (tmp_path / "site_settings.py").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in values.items())
    )
    # A URLconf without the admin, whose app these sites do not have.
    (tmp_path / "site_urls.py").write_text(URLS)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
        "DJANGO_SETTINGS_MODULE": "site_settings",
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


CHECK = """
import json
import django
from django.core import checks
from django.test import override_settings
django.setup()
for cookies in {cookies}:
    with override_settings(**cookies):
        messages = checks.run_checks(include_deployment_checks=True)
    print(json.dumps([message.id for message in messages]))
"""


def checked(
    tmp_path: Path,
    apps: list[str],
    middleware: str = OUR_MIDDLEWARE,
    engine: str = OUR_ENGINE,
    cookies: Sequence[dict[str, Any]] = ({},),
) -> list[set[str]]:
    """Return what check --deploy says of sessions, for each of the settings of cookies."""
    done = run(
        tmp_path,
        CHECK.format(cookies=cookies),
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *apps],
        MIDDLEWARE=[middleware],
        SESSION_ENGINE=engine,
    )
    assert done.returncode == 0, done.stderr
    ours = {f"security.W0{number}" for number in range(10, 16)}
    return [
        {one for one in json.loads(line) if one in ours or one.startswith("sessionkit")}
        for line in done.stdout.splitlines()
    ]


COOKIES: list[dict[str, Any]] = [
    {},
    {"SESSION_COOKIE_SECURE": True},
    {"SESSION_COOKIE_HTTPONLY": False},
    {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_HTTPONLY": False},
]


@pytest.mark.slow
def test_check_deploy_says_of_cookies_what_it_says_of_a_stock_site(tmp_path: Path) -> None:
    engine = "django.contrib.sessions.backends.db"
    stock = checked(tmp_path, [DJANGO_APP], DJANGO_MIDDLEWARE, engine, COOKIES)
    assert checked(tmp_path, [OUR_APP], cookies=COOKIES) == stock
    secure, http_only = "security.W012", "security.W015"
    assert stock == [{secure}, set(), {secure, http_only}, {http_only}]


@pytest.mark.slow
@pytest.mark.parametrize("ours_first", [True, False])
def test_djangos_app_before_ours(ours_first: bool, tmp_path: Path) -> None:
    names = [OUR_APP, DJANGO_APP] if ours_first else [DJANGO_APP, OUR_APP]
    (found,) = checked(tmp_path, names)
    assert ("sessionkit.W001" in found) is not ours_first


@pytest.mark.slow
def test_the_command_check_deploy_prints_the_warning(tmp_path: Path) -> None:
    code = "from django.core.management import execute_from_command_line as run; "
    code += "run(['django', 'check', '--deploy'])"
    done = run(
        tmp_path,
        code,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", OUR_APP],
        MIDDLEWARE=[OUR_MIDDLEWARE],
        SESSION_ENGINE=OUR_ENGINE,
        SESSION_COOKIE_HTTPONLY=False,
    )
    assert done.returncode == 0
    assert "security.W012" in done.stderr
    assert "security.W015" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("names", [[OUR_APP, DJANGO_APP], [OUR_APP]])
@pytest.mark.parametrize("middleware", [OUR_MIDDLEWARE, DJANGO_MIDDLEWARE])
def test_a_site_on_its_way_to_us_is_told_of_its_cookies_once(
    names: list[str], middleware: str, tmp_path: Path
) -> None:
    (found,) = checked(tmp_path, names, middleware)
    assert len([one for one in found if one.startswith("security")]) == 1


USE = """
import django
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
django.setup()
from django.test.utils import setup_test_environment
setup_test_environment()
browser = Client()
assert browser.get("/untouched/").status_code == 200
try:
    print(browser.get("/set/key/x/").status_code, browser.get("/read/").json())
except ImproperlyConfigured as error:
    print(error)
"""


@pytest.mark.slow
def test_the_engine_without_the_app_says_what_is_missing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        USE,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        MIDDLEWARE=[OUR_MIDDLEWARE],
        SESSION_ENGINE=OUR_ENGINE,
    )
    assert done.returncode == 0, done.stderr
    assert "'django_sessionkit' in INSTALLED_APPS" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("names", [[], [OUR_APP], [DJANGO_APP]])
def test_the_middleware_serves_another_engine_with_and_without_the_app(
    names: list[str], tmp_path: Path
) -> None:
    done = run(
        tmp_path,
        USE,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *names],
        MIDDLEWARE=[OUR_MIDDLEWARE],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "200 {'key': 'x'}"
