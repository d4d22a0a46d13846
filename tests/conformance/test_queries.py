"""How many queries each act costs. Real transactions: in a test's own, savepoints would count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_sessionkit.keys import SplitKey
from tests.conformance.faces import Face, Faces

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("engine")]


def verbs(act: Callable[[], object]) -> list[str]:
    """Return the first word of each query that ``act`` makes."""
    with CaptureQueriesContext(connection) as queries:
        act()
    return [query["sql"].split(None, 1)[0] for query in queries]


@pytest.fixture
def signed_in(faces: Faces) -> Face:
    """A saved session of a user, as the next request opens it."""
    return faces.open(faces.saved({SESSION_KEY: "1", "cat": "Tom"}).session_key)


def test_loading_is_one_query_and_no_write(signed_in: Face) -> None:
    assert verbs(lambda: signed_in.get("cat")) == ["SELECT"]
    assert verbs(lambda: signed_in.get("dog")) == []


def test_saving_what_was_loaded_is_one_query(signed_in: Face) -> None:
    signed_in.set("cat", "Felix")
    assert verbs(signed_in.save) == ["UPDATE"]
    signed_in.set("cat", "Tom")
    assert verbs(signed_in.save) == ["UPDATE"]


def test_a_new_session_is_one_query(faces: Faces) -> None:
    created, saved = faces.open(), faces.open()
    saved.set("cat", "Tom")
    assert verbs(created.create) == ["INSERT"]
    assert verbs(saved.save) == ["INSERT"]


def test_an_unknown_key_is_one_query(faces: Faces) -> None:
    assert verbs(faces.open(SplitKey.generate().session_key).load) == ["SELECT"]


def test_a_malformed_key_is_none(faces: Faces) -> None:
    assert verbs(faces.open("malformed" * 8).load) == []


def test_asking_whether_a_key_exists_is_one_query(signed_in: Face) -> None:
    assert verbs(lambda: signed_in.exists(signed_in.session_key)) == ["SELECT"]


def test_cycling_the_key_is_one_query_and_for_a_new_session_none(
    signed_in: Face, faces: Faces
) -> None:
    signed_in.load()
    signed_in.get("cat")
    assert verbs(signed_in.cycle_key) == ["UPDATE"]
    assert verbs(signed_in.save) == ["UPDATE"]
    assert verbs(faces.open().cycle_key) == []


def test_flushing_what_was_loaded_is_one_query(signed_in: Face) -> None:
    signed_in.get("cat")
    assert verbs(signed_in.flush) == ["DELETE"]


def test_deleting_is_one_query(signed_in: Face) -> None:
    assert verbs(signed_in.delete) == ["DELETE"]


def test_a_merge_is_three_queries(signed_in: Face, faces: Faces) -> None:
    other = faces.open(signed_in.session_key)
    other.set("dog", "Rex")
    signed_in.set("cat", "Felix")
    other.save()
    assert verbs(signed_in.save) == ["UPDATE", "SELECT", "UPDATE"]


@pytest.fixture
def browser() -> Client:
    User.objects.create_user("alice")
    User.objects.create_user("bob")
    return Client()


def test_a_login_without_an_earlier_session_is_three_queries(browser: Client) -> None:
    # The user, the user's last_login, the session.
    assert verbs(lambda: browser.get("/login/alice/")) == ["SELECT", "UPDATE", "INSERT"]


def test_a_login_with_an_earlier_session_is_five_queries(browser: Client) -> None:
    browser.get("/set/cat/Tom/")
    assert sorted(verbs(lambda: browser.get("/login/alice/"))) == [
        "SELECT",  # the user
        "SELECT",  # the session
        "UPDATE",  # its key
        "UPDATE",  # last_login
        "UPDATE",  # its data
    ]


def test_signing_in_again_as_the_same_user_is_five_queries(browser: Client) -> None:
    browser.get("/login/alice/")
    assert len(verbs(lambda: browser.get("/login/alice/"))) == 5


def test_signing_in_as_another_user_is_five_queries(browser: Client) -> None:
    browser.get("/login/alice/")
    assert sorted(verbs(lambda: browser.get("/login/bob/"))) == [
        "DELETE",
        "INSERT",
        "SELECT",
        "SELECT",
        "UPDATE",
    ]


def test_an_authenticated_request_is_the_session_and_the_user(browser: Client) -> None:
    browser.get("/login/alice/")
    assert verbs(lambda: browser.get("/whoami/")) == ["SELECT", "SELECT"]
    assert verbs(lambda: browser.get("/untouched/")) == []


def test_signing_out_deletes_the_session(browser: Client) -> None:
    browser.get("/login/alice/")
    queries = verbs(lambda: browser.get("/logout/"))
    assert queries[-1] == "DELETE"
    assert len(queries) <= 3
