"""How many queries each act costs. Real transactions: in a test's own, savepoints would count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_sessionkit import registry
from django_sessionkit.keys import SplitKey
from django_sessionkit.models import Session
from tests.conformance.engines import in_sync_code
from tests.conformance.faces import Face, Faces
from tests.engines import Engine

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


def test_loading_is_at_most_one_query_and_no_write(signed_in: Face, engine: Engine) -> None:
    assert verbs(lambda: signed_in.get("cat")) == engine.costs("load")
    assert verbs(lambda: signed_in.get("dog")) == []


def test_loading_again_in_the_lease_is_at_most_one_query(
    signed_in: Face, faces: Faces, engine: Engine
) -> None:
    signed_in.load()
    again = faces.open(signed_in.session_key)
    assert verbs(lambda: again.get("cat")) == engine.costs("load in the lease")


def test_saving_what_was_loaded_is_at_most_one_query(signed_in: Face, engine: Engine) -> None:
    signed_in.set("cat", "Felix")
    assert verbs(signed_in.save) == engine.costs("save")
    signed_in.set("cat", "Tom")
    assert verbs(signed_in.save) == engine.costs("save")


def test_a_new_session_is_one_query(faces: Faces, engine: Engine) -> None:
    session = faces.open()
    session.update({SESSION_KEY: "1", "cat": "Tom"})
    assert verbs(session.save) == engine.costs("insert")


def test_a_visitors_new_session_is_at_most_one_query(faces: Faces, engine: Engine) -> None:
    created, saved = faces.open(), faces.open()
    saved.set("cat", "Tom")
    assert verbs(created.create) == engine.costs("insert a visitor")
    assert verbs(saved.save) == engine.costs("insert a visitor")


def test_an_unknown_key_is_at_most_one_query(faces: Faces, engine: Engine) -> None:
    unknown = faces.open(SplitKey.generate().session_key)
    assert verbs(unknown.load) == engine.costs("load an unknown key")


@in_sync_code
def test_a_malformed_key_is_none(faces: Faces) -> None:
    assert verbs(faces.open("malformed" * 8).load) == []


def test_asking_whether_a_key_exists_is_one_query(signed_in: Face, engine: Engine) -> None:
    assert verbs(lambda: signed_in.exists(signed_in.session_key)) == engine.costs("exists")


def test_cycling_the_key_is_one_query_and_for_a_new_session_none(
    signed_in: Face, faces: Faces, engine: Engine
) -> None:
    signed_in.load()
    signed_in.get("cat")
    assert verbs(signed_in.cycle_key) == engine.costs("cycle_key")
    assert verbs(signed_in.save) == engine.costs("save under a new key")
    assert verbs(faces.open().cycle_key) == []


def test_flushing_what_was_loaded_is_one_query(signed_in: Face, engine: Engine) -> None:
    signed_in.get("cat")
    assert verbs(signed_in.flush) == engine.costs("delete")


@pytest.mark.parametrize("is_loaded", [False, True])
def test_deleting_is_one_query(signed_in: Face, engine: Engine, is_loaded: bool) -> None:
    if is_loaded:
        signed_in.get("cat")
    assert verbs(signed_in.delete) == engine.costs("delete")


@in_sync_code
@pytest.mark.parametrize("act", ["revoke", "revoke a user's"])
def test_revoking_costs_the_same_for_one_and_for_many(
    faces: Faces, engine: Engine, act: str
) -> None:
    sessions = [faces.saved({SESSION_KEY: "1"}) for _ in range(5 if act != "revoke" else 1)]
    for session in sessions:
        faces.read(session.session_key)
    revoke = {
        "revoke": lambda: registry.revoke(sessions[0].public_id, owner=registry.ANY_OWNER),
        "revoke a user's": lambda: registry.revoke_user(1),
    }[act]
    assert verbs(revoke) == engine.costs(act)
    assert not Session.objects.exists()


def test_a_merge_is_at_most_three_queries(signed_in: Face, faces: Faces, engine: Engine) -> None:
    other = faces.open(signed_in.session_key)
    other.set("dog", "Rex")
    signed_in.set("cat", "Felix")
    other.save()
    assert verbs(signed_in.save) == engine.costs("merge")


@pytest.fixture
def browser() -> Client:
    User.objects.create_user("alice")
    User.objects.create_user("bob")
    return Client()


#: Of the user who signs in: the row, and ``last_login``.
OF_THE_USER = ["SELECT", "UPDATE"]


def test_a_login_without_an_earlier_session_is_three_queries(
    browser: Client, engine: Engine
) -> None:
    login = verbs(lambda: browser.get("/login/alice/"))
    assert login == OF_THE_USER + engine.costs("sign in")


def test_a_login_with_an_earlier_session_is_at_most_five_queries(
    browser: Client, engine: Engine
) -> None:
    browser.get("/set/cat/Tom/")
    login = verbs(lambda: browser.get("/login/alice/"))
    assert sorted(login) == sorted(OF_THE_USER + engine.costs("sign in over a visitor's session"))


def test_signing_in_again_as_the_same_user_is_five_queries(browser: Client, engine: Engine) -> None:
    browser.get("/login/alice/")
    login = verbs(lambda: browser.get("/login/alice/"))
    assert sorted(login) == sorted(OF_THE_USER + engine.costs("sign in again"))


def test_signing_in_as_another_user_is_five_queries(browser: Client, engine: Engine) -> None:
    browser.get("/login/alice/")
    login = verbs(lambda: browser.get("/login/bob/"))
    expected = OF_THE_USER + engine.costs("sign in over another user's session")
    assert sorted(login) == sorted(expected)


def test_an_authenticated_request_is_the_session_and_the_user(
    browser: Client, engine: Engine
) -> None:
    browser.get("/login/alice/")
    first = verbs(lambda: browser.get("/whoami/"))
    assert first == [*engine.costs("load"), "SELECT", *engine.costs("renew")]
    again = verbs(lambda: browser.get("/whoami/"))
    assert again == [*engine.costs("load in the lease"), "SELECT", *engine.costs("renew")]
    assert verbs(lambda: browser.get("/untouched/")) == []


def test_signing_out_deletes_the_session(browser: Client, engine: Engine) -> None:
    browser.get("/login/alice/")
    queries = verbs(lambda: browser.get("/logout/"))
    end = engine.costs("delete")
    assert queries[-len(end) :] == end
    assert len(queries) <= len(engine.costs("load")) + 1 + len(end)
