"""No session key, nor its secret half, is anywhere but in the cookie."""

from __future__ import annotations

import dataclasses
import logging
import re
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import serializers
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import DatabaseError, connection
from django.test import Client, override_settings

from django_sessionkit import registry
from django_sessionkit.exceptions import SessionGone
from django_sessionkit.keys import SplitKey, secret_to_text
from django_sessionkit.models import Session
from django_sessionkit.signals import session_created, session_ended
from django_sessionkit.storage.records import (
    Columns,
    Conflict,
    Draft,
    MustAsk,
    Once,
    Record,
    RequestFacts,
    Saved,
)
from django_sessionkit.storage.row_queries import RowData
from tests.app.views import hooks
from tests.browsers import Browser, secret_part
from tests.engines import Engine
from tests.interleaving import before_each_statement

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("engine"), pytest.mark.varies]

PASSWORD = "anchors-aweigh-1"


class Everything:
    """All that was written down anywhere, as one text."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.parts: list[str] = []
        # The session keys, and what of each must not be anywhere.
        self.keys: dict[str, set[str]] = {}

    def add(self, *things: object) -> None:
        for thing in things:
            self.parts += [repr(thing), str(thing)]

    def hand_out(self, session_key: str | None) -> None:
        """Note a cookie that a browser got."""
        if not session_key:
            return
        # No escaping changes its longest word: all of a split key, most of a token.
        self.keys[session_key] = {max(re.findall(r"[\w-]+", session_key), key=len)}
        key = self.engine.split_key(session_key)
        if key is not None:
            self.keys[session_key] |= {
                secret_part(key),
                secret_to_text(key.secret),
                key.secret.hex(),
                repr(key.secret),
            }

    def add_table(self, table: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows = cursor.fetchall()
        for row in rows:
            for value in row:
                raw = bytes(value) if isinstance(value, memoryview | bytes) else None
                self.add(raw, raw.hex()) if raw is not None else self.add(value)

    def add_cache(self, alias: str) -> None:
        cache: Any = caches[alias]
        if isinstance(cache, LocMemCache):
            entries = dict(vars(cache)["_cache"])
        else:
            redis = cache.client.get_client()
            entries = {name: _redis_value(redis, name) for name in redis.scan_iter()}
        assert entries
        self.add(*entries.items())

    def leaked(self) -> set[str]:
        text = "\n".join(self.parts)
        return {
            key for key, secrets in self.keys.items() if any(secret in text for secret in secrets)
        }


def _redis_value(redis: Any, name: bytes) -> object:
    return redis.hgetall(name) if redis.type(name) == b"hash" else redis.get(name)


@pytest.fixture
def everything(engine: Engine, caplog: pytest.LogCaptureFixture) -> Iterator[Everything]:
    everything = Everything(engine)

    def listen(session: Session, **kwargs: object) -> None:
        everything.add(session, vars(session), kwargs)

    caplog.set_level(logging.DEBUG)
    session_created.connect(listen)
    session_ended.connect(listen)
    yield everything
    session_created.disconnect(listen)
    session_ended.disconnect(listen)


def add_log_records(everything: Everything, caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        if record.name.startswith("django.db"):
            continue  # of SQL with DEBUG on; see the test of its own below
        everything.add(record.getMessage(), {**vars(record), "request": None})
        if record.exc_info:
            everything.add("".join(traceback.format_exception(*record.exc_info)))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_cookie_that_was_handed_out_is_in_the_tables_logs_signals_or_pages(
    everything: Everything, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.create_user("alice", password=PASSWORD)
    User.objects.create_superuser("root", password=PASSWORD)

    def visit(browser: Browser, path: str, **more: Any) -> None:
        everything.hand_out(browser.session_key)
        everything.add(browser.get(path, **more).content.decode())
        everything.hand_out(browser.session_key)

    for is_async in (False, True):
        one, other = Browser(is_async=is_async), Browser(is_async=is_async)
        visit(one, "/set/cart/x/")
        everything.hand_out(one.session_key)
        other.session_key = one.session_key or ""
        visit(one, "/login/alice/")
        visit(other, "/set/late/x/")  # a retired key
        visit(one, "/login/alice/")
        visit(other, "/login/alice/")
        visit(one, "/set/key/x/", meanwhile=lambda other=other: visit(other, "/read/"))
        visit(one, "/set/key/x/", meanwhile=registry.revoke_everyone)
        visit(one, "/login/alice/")
        with override_settings(SESSIONKIT_LEASE=0), before_each_statement(_fail_to_update):
            visit(one, "/read/")
        visit(other, "/login/alice/")
        visit(other, "/logout/")

    root = Client()
    root.post("/admin/login/?next=/admin/", {"username": "root", "password": PASSWORD})
    everything.hand_out(root.cookies[settings.SESSION_COOKIE_NAME].value)
    rows = list(Session.objects.exclude(user__username="root"))
    assert rows
    paths = ["/admin/sessionkit/session/", f"/admin/sessionkit/session/{rows[0].public_id}/change/"]
    paths += [f"/admin/sessionkit/session/{rows[0].public_id}/delete/", "/admin/"]
    for path in paths:
        page = root.get(path)
        assert page.status_code == 200
        everything.add(page.content.decode())
    revoked = root.post(f"/admin/sessionkit/session/{rows[0].public_id}/delete/", {"post": "yes"})
    assert revoked.status_code == 302, revoked.content
    assert LogEntry.objects.exists()
    everything.add_table(LogEntry._meta.db_table)
    everything.add(root.get("/admin/").content.decode())

    everything.add_table(Session._meta.db_table)
    if engine.cache_alias is not None:
        everything.add_cache(engine.cache_alias)
    everything.add(serializers.serialize("json", Session.objects.all()))
    for row in Session.objects.all():
        everything.add(row, vars(row), row.label, row.get_decoded())
    add_log_records(everything, caplog)
    assert any(record.name == "django.security.SessionInterrupted" for record in caplog.records)
    assert len(everything.keys) > 8
    assert Session.objects.exists()
    assert everything.leaked() == set()
    assert not hooks


def _fail_to_update(number: int, verb: str) -> None:
    if verb == "UPDATE":
        raise DatabaseError("the disk is full")


def test_the_search_for_leaks_finds_one(engine: Engine) -> None:
    session = engine.store()
    session["_auth_user_id"] = "1"
    session.save()
    key = engine.split_key(session.session_key)
    assert key is not None
    for leak in (f"GET /?sid={quote(session.session_key)}", f"{secret_part(key)} is wrong"):
        everything = Everything(engine)
        everything.hand_out(session.session_key)
        everything.add_table(Session._meta.db_table)
        assert everything.leaked() == set()
        everything.add(leak)
        assert everything.leaked() == {session.session_key}


def test_no_repr_shows_a_key(everything: Everything, engine: Engine) -> None:
    session = engine.store()
    session.update({"_auth_user_id": "1", "one": 1})
    session.save()
    key = engine.split_key(session.session_key)
    assert key is not None
    everything.hand_out(session.session_key)
    row = registry.find_session(session.public_id)
    everything.add(key, session, session.public_id, row, [key], {"key": key})
    registry.revoke_everyone()
    session["two"] = 2
    with pytest.raises(SessionGone) as caught:
        session.save()
    everything.add(caught.value, "".join(traceback.format_exception(caught.value)))
    assert everything.leaked() == set()


def test_no_repr_of_a_record_shows_data_or_hash(engine: Engine) -> None:
    """Error pages show the local variables of repositories."""
    store = engine.store()
    store.update({"_auth_user_id": "1", "card": "4111"})
    store.save()
    again = engine.store(store.session_key)
    assert again["card"] == "4111"
    record = again._held.record
    asked = again.get_repository().peek(store.session_key, again)
    draft = Draft(record.key, {"card": "4111"}, record.columns)
    gone = Conflict(record)
    for thing in (record, record.columns, record.payload, asked, draft, gone, [record]):
        text = repr(thing)
        assert "4111" not in text
        assert repr(bytes(record.columns["secret_hash"]))[2:-1] not in text
    assert repr(record) == f"<session {record.key}>"
    assert repr(record.columns) == f"<columns {', '.join(record.columns)}>"


def test_no_statement_carries_a_key(everything: Everything) -> None:
    """What DEBUG, a slow-query log or a monitor writes down."""
    statements: list[object] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    User.objects.create_user("alice")
    browser = Browser()
    with connection.execute_wrapper(listen):
        for path in ("/set/a/x/", "/login/alice/", "/read/", "/login/alice/", "/logout/"):
            browser.get(path)
            everything.hand_out(browser.session_key)
    assert len(statements) > 8
    everything.add(*statements)
    assert everything.leaked() == set()


def test_a_stolen_table_signs_nobody_in(engine: Engine) -> None:
    User.objects.create_user("alice")
    browser = Browser()
    browser.get("/login/alice/")
    row = browser.row
    secret_hash = bytes(row.secret_hash)
    guesses = (secret_hash[:16], secret_hash[16:], bytes(16), row.public_id.bytes)
    for guess in guesses:
        forged = SplitKey(row.public_id, guess).session_key
        if engine.key_is_token:
            # By somebody who has stolen what signs or seals them as well.
            content = engine.content(browser.session_key or "")
            forged = engine.token(dataclasses.replace(content, secret=guess))
            assert engine.split_key(forged) is not None
        thief = Browser(session_key=forged)
        assert thief.get("/whoami/").text == ""
        assert not thief.cookie_was_touched
    assert browser.get("/whoami/").text == "alice"


def test_what_stores_and_repositories_hand_each_other_shows_no_secret_and_no_data() -> None:
    key = SplitKey.generate()
    facts = RequestFacts({"HTTP_COOKIE": f"sessionid={key.session_key}"})
    columns = Columns(secret_hash=key.secret_hash, data="Tom")
    record = Record(key, columns, RowData("Tom"))
    draft = Draft(key, {"cat": "Tom"}, columns)
    handed = [facts, columns, record, draft, Once({"cat": "Tom"}), MustAsk(key, "Tom")]
    for shown in map(repr, [*handed, Saved(record), Conflict(record)]):
        assert "Tom" not in shown
        assert key.session_key not in shown
        assert repr(key.secret_hash) not in shown
