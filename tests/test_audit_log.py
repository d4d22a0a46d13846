"""The audit log: who signed in and whose session ended, in lines that nobody can forge."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessionkit import audit, registry
from django_sessionkit.announcing import late_retired_key, tell
from django_sessionkit.backends.db import SessionStore
from django_sessionkit.cleanup import Cleanup
from django_sessionkit.clients import Client
from django_sessionkit.events import SessionEndReason, SessionEvent, SessionEventType
from django_sessionkit.keys import secret_to_text
from django_sessionkit.models import Session
from django_sessionkit.signals import session_ended
from tests import admin_pages
from tests.app.views import BACKEND, acts
from tests.browsers import Browser, both_ways, secret_part
from tests.engines import Engine, params
from tests.ways_to_end import EACH, Act, People

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.varies]

ROOT = Path(__file__).resolve().parent.parent

one_engine = pytest.mark.parametrize(
    "engine", params(lambda engine: engine.name == "db"), indirect=True
)
#: The engines by their class, those with tokens as sites have them: believed for a lease.
five_engines = pytest.mark.parametrize(
    "engine",
    params(
        lambda engine: (
            engine.name
            in ("db", "cached_db-locmem", "cache-locmem", "signed_cookies", "encrypted_cookies")
        )
    ),
    indirect=True,
)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"


class Log:
    """What the audit log has got."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def set_level(self, level: int) -> None:
        self._caplog.set_level(level, logger="sessionkit.audit")

    @property
    def records(self) -> list[Any]:
        return [one for one in self._caplog.records if one.name == "sessionkit.audit"]

    def take(self) -> list[tuple[Any, ...]]:
        """Return event, user, reason and actor of each line since the last time."""
        lines = [(one.event, one.user_id, one.reason, one.actor_id) for one in self.records]
        self._caplog.clear()
        return lines


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    log = Log(caplog)
    log.set_level(logging.INFO)
    return log


@pytest.fixture
def alice() -> int:
    return User.objects.create_user("alice").pk


@pytest.fixture
def bob() -> int:
    return User.objects.create_user("bob").pk


@contextmanager
def listening(receiver: Callable[..., object]) -> Iterator[None]:
    session_ended.connect(receiver)
    try:
        yield
    finally:
        session_ended.disconnect(receiver)


def pairs(line: str) -> dict[str, str]:
    """Return what a reader of ``name=value`` pairs finds in a line."""
    return dict(re.findall(r'(?<!\S)(\w+)=("(?:[^"\\]|\\.)*"|[^\s"]\S*)(?!\S)', line))


# What is logged


@five_engines
@both_ways
def test_each_sign_in_and_each_end_is_a_line(
    engine: Engine, is_async: bool, log: Log, alice: int, bob: int
) -> None:
    browser = Browser(is_async=is_async)
    for path in ("/read/", "/set/cart/x/", "/logout/", "/set/cart/y/"):
        browser.get(path)
        assert log.take() == [], f"{path} of a visitor"
    browser.get("/login/alice/", headers={"user-agent": FIREFOX})
    (record,) = log.records
    assert record.levelname == "INFO"
    assert (record.ip_address, record.user_agent) == ("127.0.0.1", FIREFOX)
    assert record.public_id == str(browser.public_id)
    assert log.take() == [("signed_in", alice, None, None)]
    for path in ("/read/", "/set/cart/z/", "/whoami/"):
        browser.get(path)
        assert log.take() == [], path
    browser.get("/login/alice/")
    assert log.take() == [("signed_in", alice, None, None)]
    browser.get("/login/bob/")
    assert log.take() == [
        ("session_ended", alice, "superseded", bob),
        ("signed_in", bob, None, None),
    ]
    public_id = browser.public_id
    browser.get("/logout/", headers={"user-agent": FIREFOX})
    (record,) = log.records
    assert record.levelname == "INFO"
    assert record.public_id == str(public_id)
    assert record.ip_address == "127.0.0.1"
    assert record.at_once is engine.refuses_at_once
    assert log.take() == [("session_ended", bob, "logout", bob)]


@one_engine
@pytest.mark.parametrize("hears", [False, True], ids=["log alone", "log and receiver"])
@pytest.mark.parametrize(("act", "names"), EACH.values(), ids=EACH)
def test_whatever_ends_sessions_each_is_one_line(
    engine: Engine, log: Log, act: Act, names: list[str], hears: bool
) -> None:
    told: list[tuple[str, str]] = []

    def listen(session: Session, reason: SessionEndReason, **kwargs: object) -> None:
        told.append((str(session.public_id), reason.value))

    people = People(engine)
    before = {str(browser.public_id) for browser in people.browsers}
    log.take()
    if hears:
        with listening(listen):
            act(people)
    else:
        act(people)
    ended = [one for one in log.records if one.event == "session_ended"]
    if act is EACH["an end in the past"][0]:
        assert ended == []  # The clean-up will find it.
        return
    lines = [(one.public_id, one.reason) for one in ended]
    still = {str(public_id) for public_id in Session.objects.values_list("public_id", flat=True)}
    assert sorted(public_id for public_id, _ in lines) == sorted(before - still)
    assert len(lines) == names.count("")
    assert all(one.user_id is not None and one.ip_address == "127.0.0.1" for one in ended)
    if hears:
        assert lines == told


@one_engine
def test_an_end_has_who_ended_it(engine: Engine, log: Log, alice: int, bob: int) -> None:
    browser = Browser()
    browser.get("/login/alice/")
    public_id = browser.public_id
    log.take()
    registry.revoke(public_id, actor=User.objects.get(pk=bob), owner=registry.ANY_OWNER)
    message = log.records[0].getMessage()
    assert log.records[0].msg == "session ended %s"
    assert message == (
        f"session ended public_id={public_id} user_id={alice} reason=revoked actor_id={bob} "
        "at_once=True ip_address=127.0.0.1"
    )


@one_engine
def test_a_visitors_session_is_a_line_only_where_somebody_ends_it(engine: Engine, log: Log) -> None:
    sessions = [SessionStore() for _ in range(3)]
    for session in sessions:
        session["cart"] = "x"
        session.save()
    guard = admin_pages.browser(admin_pages.guard())
    log.take()
    sessions[0].flush()
    registry.revoke(sessions[1].public_id or "", owner=registry.ANY_OWNER)
    assert log.take() == []
    row = registry.find_session(sessions[2].public_id or "")
    assert isinstance(row, Session)
    assert guard.post(admin_pages.page(row, "delete"), {"post": "yes"}).status_code == 302
    (guards_id,) = User.objects.values_list("pk", flat=True)
    assert log.take() == [("session_ended", None, "revoked", guards_id)]


@one_engine
def test_an_own_store_that_signs_somebody_in_by_hand_is_a_sign_in(
    engine: Engine, log: Log, alice: int
) -> None:
    session = engine.store()
    session["_auth_user_id"] = str(alice)
    session.save()
    assert log.take() == [("signed_in", alice, None, None)]
    session["cart"] = "x"
    session.save()
    assert log.take() == []


@one_engine
def test_a_late_key_that_was_retired_is_a_warning(engine: Engine, log: Log) -> None:
    public_id = uuid.uuid4()
    client = Client("203.0.113.7", FIREFOX)
    with transaction.atomic():
        late_retired_key(public_id, 7, client, timedelta(minutes=2))
        (record,) = log.records  # At once, and be the transaction rolled back.
        transaction.set_rollback(True)
    assert record.levelname == "WARNING"
    assert (record.event, record.public_id, record.user_id) == (
        "late_retired_key",
        str(public_id),
        7,
    )
    assert (record.age, record.ip_address, record.user_agent) == (120.0, "203.0.113.7", FIREFOX)
    assert record.getMessage().startswith("retired key turned up late public_id=")
    log.take()
    late_retired_key(public_id, None, None, timedelta(seconds=5.25))
    assert log.records[0].age == 5.25


# When it is logged


@one_engine
def test_nothing_is_made_for_a_log_that_nobody_reads(
    engine: Engine, log: Log, alice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(SessionEvent, "__init__", lambda *args, **kwargs: made.append(args))
    log.set_level(logging.WARNING)
    browser = Browser()
    for path in ("/login/alice/", "/read/", "/login/alice/", "/logout/"):
        browser.get(path)
    assert made == []


@five_engines
def test_the_log_costs_no_query(engine: Engine, log: Log, alice: int, bob: int) -> None:
    def verbs() -> list[str]:
        browser, other = Browser(), Browser()
        with CaptureQueriesContext(connection) as queries:
            for path in ("/login/alice/", "/read/", "/login/alice/", "/login/bob/", "/logout/"):
                browser.get(path)
            other.get("/login/alice/")
            registry.revoke(other.public_id, owner=registry.ANY_OWNER)
            browser.get("/login/alice/")
            registry.revoke_user(alice)
        return [query["sql"].split()[0] for query in queries]

    log.set_level(logging.WARNING)
    silent = verbs()
    log.set_level(logging.INFO)
    assert verbs() == silent
    assert len(log.take()) == 9


@five_engines
def test_where_a_deletion_does_not_tell_what_it_deleted_the_rows_are_read_before(
    engine: Engine, log: Log, alice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on MySQL, which has no RETURNING."""
    browsers = [Browser() for _ in range(3)]
    for browser in browsers:
        browser.get("/login/alice/", headers={"user-agent": FIREFOX})
    monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
    browsers[0].get("/logout/")
    registry.revoke_user(alice)
    ended = [one for one in log.records if one.event == "session_ended"]
    assert [one.reason for one in ended] == ["logout", "revoked", "revoked"]
    assert len({one.public_id for one in ended}) == 3
    assert {one.user_id for one in ended} == {alice}
    assert {one.ip_address for one in ended} == {"127.0.0.1"}


@five_engines
def test_what_is_rolled_back_is_no_line_and_what_is_committed_is_one(
    engine: Engine, log: Log, alice: int
) -> None:
    for commits in (False, True):
        browser = Browser()
        with transaction.atomic():
            browser.get("/login/alice/")
            assert log.take() == [], commits
            transaction.set_rollback(not commits)
        assert log.take() == [("signed_in", alice, None, None)] * commits
        browser = Browser()
        browser.get("/login/alice/")
        log.take()
        Session.objects.exclude(public_id=browser.public_id).delete()
        log.take()
        with transaction.atomic():
            registry.revoke_user(alice)
            assert log.take() == [], commits
            transaction.set_rollback(not commits)
        assert log.take() == [("session_ended", alice, "revoked", None)] * commits


@five_engines
@both_ways
@pytest.mark.parametrize("before", ["", "/set/cart/x/"], ids=["new", "over a visitor's"])
def test_a_sign_in_that_is_rolled_back_and_saved_again_is_one_line(
    engine: Engine,
    is_async: bool,
    before: str,
    log: Log,
    alice: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def act(request: HttpRequest) -> None:
        user = User.objects.get(pk=alice)
        with transaction.atomic():
            login(request, user, backend=BACKEND)
            request.session.save()
            request.session["cart"] = "y"
            request.session.save()
            transaction.set_rollback(True)

    monkeypatch.setitem(acts, "sign in", act)
    browser = Browser(is_async=is_async)
    if before:
        browser.get(before)
    browser.get("/do/sign in/")
    lines = log.take()
    is_in = browser.get("/whoami/").text == "alice"
    assert lines == [("signed_in", alice, None, None)] * is_in


@one_engine
def test_a_receiver_that_fails_leaves_the_line_and_a_log_that_fails_the_receivers(
    engine: Engine, log: Log, alice: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    def fail(**kwargs: object) -> None:
        raise ZeroDivisionError

    told: list[object] = []

    def listen(session: Session, **kwargs: object) -> None:
        told.append(session.public_id)

    browser, other = Browser(), Browser()
    for one in (browser, other):
        one.get("/login/alice/")
    public_ids = [browser.public_id, other.public_id]
    log.take()
    with listening(fail), listening(listen):
        registry.revoke(public_ids[0], owner=registry.ANY_OWNER)
        assert log.take() == [("session_ended", alice, "revoked", None)]
        audit.logger.addHandler(handler := Full())
        try:
            assert registry.revoke(public_ids[1], owner=registry.ANY_OWNER).count == 1
            assert Browser().get("/login/alice/").status_code == 200
        finally:
            audit.logger.removeHandler(handler)
    assert told == public_ids
    failures = [one.exc_info for one in caplog.records if one.name == "django_sessionkit"]
    assert [failure and failure[0] for failure in failures] == [OSError, OSError]
    assert browser.get("/whoami/").text == other.get("/whoami/").text == ""


# Clean-ups


def expired(count: int, **columns: Any) -> None:
    past = timezone.now() - timedelta(days=1)
    rows = [
        Session(secret_hash=b"x" * 32, expire_date=past, data="", **columns) for _ in range(count)
    ]
    Session.objects.bulk_create(rows)


@one_engine
def test_a_clean_up_is_one_line_with_the_counts(engine: Engine, log: Log, alice: int) -> None:
    expired(7, user_id=alice)
    expired(2)
    log.set_level(logging.INFO)
    with CaptureQueriesContext(connection) as queries:
        Cleanup(Session, batch_size=3).run()
    assert not any("RETURNING" in query["sql"] for query in queries)
    (record,) = log.records
    assert (record.event, record.count, record.expired) == ("sessions_removed", 9, 9)
    assert record.getMessage() == "ended sessions removed count=9 expired=9"
    assert not hasattr(record, "lost")
    log.take()
    Cleanup(Session).run()
    assert log.records == []


@one_engine
def test_a_clean_up_tells_of_each_session_at_debug(engine: Engine, log: Log, alice: int) -> None:
    expired(3, user_id=alice)
    Session.objects.bulk_create(
        Session(
            user_id=alice + 1,
            secret_hash=b"x" * 32,
            created_at=timezone.now() - timedelta(days=2),
            expire_date=timezone.now() + timedelta(days=1),
        )
        for _ in range(2)
    )
    log.set_level(logging.DEBUG)
    Cleanup(Session).run()
    assert {one.levelname for one in log.records[:-1]} == {"DEBUG"}
    assert (log.records[-1].expired, log.records[-1].user_deleted) == (3, 2)
    assert (
        log.take()[:-1]
        == [("session_ended", alice, "expired", None)] * 3
        + [("session_ended", alice + 1, "user_deleted", None)] * 2
    )


@one_engine
def test_a_clean_up_that_is_interrupted_or_rolled_back_tells_what_is_gone(
    engine: Engine, log: Log
) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    expired(8)
    with pytest.raises(KeyboardInterrupt):
        Cleanup(Session, batch_size=5, on_batch=interrupt).run()
    assert [one.count for one in log.records] == [8 - Session.objects.count()]
    log.take()
    expired(2)
    with transaction.atomic():
        Cleanup(Session).run()
        transaction.set_rollback(True)
    assert log.records == []


# What is in it


@five_engines
@both_ways
def test_no_record_holds_a_session_key_or_what_proves_it(
    engine: Engine, is_async: bool, log: Log, alice: int, bob: int, caplog: Any
) -> None:
    log.set_level(logging.DEBUG)
    secrets: set[str] = set()
    browser, other = Browser(is_async=is_async), Browser(is_async=is_async)

    def visit(one: Browser, path: str) -> None:
        for _ in range(2):  # What is in use before, and after.
            if one.session_key and (key := engine.split_key(one.session_key)) is not None:
                secrets.update([one.session_key, secret_part(key), secret_to_text(key.secret)])
                secrets.update([repr(key.secret), key.secret.hex(), key.secret_hash.hex()])
                secrets.update([repr(key.secret_hash), str(key.secret_hash)])
            one.get(path)
            path = "/read/"

    visit(browser, "/set/cart/x/")
    for path in ("/login/alice/", "/login/alice/", "/login/bob/", "/logout/", "/login/alice/"):
        visit(browser, path)
        if browser.session_key and other.session_key is None:
            other.session_key = browser.session_key
    visit(other, "/login/bob/")
    visit(other, "/logout/")
    late_retired_key(browser.public_id, alice, None, timedelta(minutes=1))
    registry.revoke_everyone()
    expired(2, user_id=alice)
    Cleanup(Session).run()
    records = log.records
    assert {one.event for one in records} == {
        *set(SessionEventType) - {SessionEventType.CREATED},
        "sessions_removed",
    }
    written = "\n".join(one.getMessage() + repr(vars(one)) + str(vars(one)) for one in records)
    assert str(browser.public_id) in written
    assert len(secrets) > 15
    assert [secret for secret in secrets if secret in written] == []


#: What somebody may send, or a project may have for a user's primary key.
HOSTILE = [
    "x\nsession ended user_id=1",
    "x\r\n\r\nx",
    "x\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029x",
    "\x1b[2K\x1b[1Ax",
    "x\x00\x7f\x08",
    'x" user_id=1 y="',
    "x user_id=1",
    "\\",
    '\\" user_id=1',
    "%s %(user_id)s {user_id}",
    "\u202egnp.exe",
    "\ud800",
    "=",
    "zoë",
]


@one_engine
def test_what_others_write_is_one_value_of_one_line(engine: Engine, log: Log) -> None:
    for text in HOSTILE:
        log.take()
        event = SessionEvent(
            SessionEventType.ENDED,
            timezone.now(),
            uuid.uuid4(),
            text,
            reason=text,  # type: ignore[arg-type]  # A project may pass what it likes.
            client=Client("203.0.113.7", text),
            actor=User(pk=text),
        )
        tell([event])
        (record,) = log.records
        line = logging.Formatter().format(record)
        assert line.isascii(), text
        assert line.isprintable(), text
        found = pairs(line)
        assert list(found) == [
            "public_id",
            "user_id",
            "reason",
            "actor_id",
            "ip_address",
            "user_agent",
        ], text
        assert line.count("=") == len(found), text
        rest = line.removeprefix("session ended")
        for name, value in found.items():
            rest = rest.replace(f" {name}={value}", "", 1)
        assert rest == "", text
        for field in audit.FIELDS:
            value = getattr(record, field)
            assert not isinstance(value, str) or value.isprintable(), (text, field)


@five_engines
def test_a_user_agent_writes_no_line_of_its_own(engine: Engine, log: Log, alice: int) -> None:
    forged = "Firefox\nsigned in user_id=1\r\x1b[2K\u2028x"
    browser = Browser()
    browser.get("/login/alice/", headers={"user-agent": forged})
    # By another program, which does not look at what it stores.
    Session.objects.update(user_agent=forged)
    registry.revoke_user(alice)
    lines = [one.getMessage() for one in log.records]
    assert len(lines) == 2
    assert all(line.isprintable() and line.count(" user_id=") == 1 for line in lines), lines


@one_engine
def test_a_users_key_is_a_number_where_it_is_one_and_text_elsewhere(
    engine: Engine, log: Log
) -> None:
    owner = uuid.uuid4()
    tell([SessionEvent(SessionEventType.SIGNED_IN, timezone.now(), uuid.uuid4(), owner)])
    assert log.records[0].user_id == str(owner)
    assert log.records[0].args == (f"public_id={log.records[0].public_id} user_id={owner}",)


# The docs


PROGRAM = """
import logging.config, sys
from pathlib import Path
from django.conf import settings

BASE_DIR = Path(sys.argv[1])
exec(sys.stdin.read())

import django
import tests.settings as site
site.DATABASES["default"]["NAME"] = BASE_DIR / "site.sqlite3"
site.LOGGING = LOGGING
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from tests.browsers import Browser
call_command("migrate", verbosity=0)
User.objects.create_user("alice")
settings.ALLOWED_HOSTS = ["testserver"]
browser = Browser()
for path in ("/login/alice/", "/read/", "/logout/"):
    browser.get(path)
"""


@pytest.mark.slow
def test_the_settings_on_the_page_write_the_log(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference.md").read_text("utf-8")
    ((snippet, shown),) = re.findall(
        r"<!-- tested: audit log -->\n```python\n(.*?)```.*?```text\n(.*?)```", page, re.DOTALL
    )
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        input=snippet,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "TEST_DB": "sqlite"},
    )
    (path,) = tmp_path.glob("*.log")
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == 2

    def outline(line: str) -> list[str]:
        """The line without what differs from one to another."""
        return re.sub(r'=("[^"]*"|\S+)|[\d,.:-]{4,}', "=", line).split()

    assert [outline(line) for line in lines] == [outline(line) for line in shown.splitlines()]
