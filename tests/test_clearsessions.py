"""``manage.py clearsessions``, as people and cron run it."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from django_sessionkit.models import Session

pytestmark = pytest.mark.varies

ROOT = Path(__file__).resolve().parent.parent
PAST = timezone.now() - timedelta(days=1)
FUTURE = timezone.now() + timedelta(days=1)
CREATED = timezone.now() - timedelta(days=30)


def make(count: int, **fields: Any) -> None:
    fields = {"expire_date": PAST, "created_at": CREATED, "secret_hash": b"h" * 32, **fields}
    Session.objects.bulk_create(Session(**fields) for _ in range(count))


def run(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("clearsessions", *arguments, stdout=out, **options)
    return out.getvalue()


def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start the command in a process of its own, on the database of this test."""
    name = connection.settings_dict["NAME"]
    program = (
        # In the background of a shell Ctrl-C is ignored, also by what is started there.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from django.conf import settings; import sys; "
        f"settings.DATABASES['default']['NAME'] = {name!r}; "
        "from django.core.management import execute_from_command_line; "
        "execute_from_command_line(sys.argv)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, "clearsessions", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        text=True,
        **options,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, error = process.communicate(timeout=60)
    return process.returncode, out or "", error or ""


def piped(*arguments: str) -> tuple[int, str, str]:
    return finish(start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


class Stop:
    """An execute wrapper that stops, once, at a statement that begins so, as Ctrl-C does."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __call__(self, execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if self.words and sql.startswith(self.words):
            self.words = ""
            raise KeyboardInterrupt
        return execute(sql, *arguments)


@pytest.mark.django_db
def test_it_removes_what_has_ended_and_says_how_much() -> None:
    make(3)
    make(2, expire_date=FUTURE, user_id=get_user_model().objects.create_user("here").pk + 1)
    make(1, expire_date=FUTURE)
    assert re.fullmatch(
        r"Removed 3 expired sessions and 2 whose user is missing, in \d+\.\d s\.\n", run()
    )
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_it_says_nothing_at_verbosity_0() -> None:
    make(3)
    assert run(verbosity=0) == ""
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_a_dry_run_counts_and_removes_nothing() -> None:
    make(3)
    assert run("--dry-run") == ("Would remove 3 expired sessions and 0 whose user is missing.\n")
    assert json.loads(run("--dry-run", "--json")) == {
        "dry_run": True,
        "expired": 3,
        "orphaned": 0,
        "lost": 0,
    }
    assert Session.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("verbosity", [0, 1])
def test_json_tells_what_was_done(verbosity: int) -> None:
    make(3)
    outcome = json.loads(run("--json", verbosity=verbosity))
    assert outcome.pop("seconds") >= outcome.pop("longest_statement") > 0
    assert outcome.pop("batches") >= 1
    assert outcome == {
        "dry_run": False,
        "expired": 3,
        "orphaned": 0,
        "lost": 0,
        "is_complete": True,
    }


@pytest.mark.django_db
def test_a_batch_has_no_more_rows_than_the_option_says() -> None:
    make(7)
    assert json.loads(run("--batch-size=2", "--json"))["batches"] >= 4


@pytest.mark.django_db
def test_when_the_time_is_up_it_stops_and_says_so() -> None:
    make(7)
    assert "Stopped by --max-seconds before the end" in run("--batch-size=2", "--max-seconds=0")
    assert 0 < Session.objects.count() < 7
    assert json.loads(run("--max-seconds=0", "--batch-size=1", "--json"))["is_complete"] is False
    assert "Stopped" not in run("--max-seconds=3600")
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_it_rests_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    make(7)
    rests: list[float] = []
    monkeypatch.setattr("django_sessionkit.cleanup.time.sleep", rests.append)
    batches = json.loads(run("--sleep=0.25", "--batch-size=2", "--json"))["batches"]
    assert rests == [0.25] * batches


@pytest.mark.django_db
@pytest.mark.parametrize(
    "argument",
    [
        "--batch-size=0",
        "--batch-size=-1",
        "--batch-size=1.5",
        "--batch-size=many",
        "--batch-size=",
        "--sleep=-1",
        "--sleep=nan",
        "--sleep=inf",
        "--sleep=long",
        "--max-seconds=-1",
        "--max-seconds=nan",
        "--max-seconds=soon",
        "--unknown",
    ],
)
def test_bad_arguments_are_a_clear_error(argument: str) -> None:
    make(1)
    with pytest.raises(CommandError) as caught:
        run(argument)
    value = argument.partition("=")[2]
    assert value in str(caught.value)
    assert Session.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": "10"},
        {"batch_size": None},
        {"sleep": "1"},
        {"sleep": float("nan")},
        {"max_seconds": "1"},
        {"max_seconds": -1},
    ],
    ids=str,
)
def test_bad_values_from_a_program_are_a_clear_error(options: dict[str, Any]) -> None:
    make(1)
    with pytest.raises(CommandError, match=re.escape(repr(*options.values()))):
        run(**options)
    assert Session.objects.count() == 1


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("argument", "code"), [("--batch-size=many", 2), ("--batch-size=0", 1), ("--sleep=-1", 1)]
)
def test_bad_arguments_end_the_program_with_an_error(argument: str, code: int) -> None:
    returned, out, error = piped(argument)
    assert (returned, out) == (code, "")
    assert argument.partition("=")[2] in error
    assert "Traceback" not in error


@pytest.mark.django_db
@pytest.mark.parametrize("words", ["SELECT", "DELETE"])
def test_ctrl_c_ends_it_in_order_and_the_next_run_goes_on(words: str) -> None:
    make(5)
    with (
        connection.execute_wrapper(Stop(words)),
        pytest.raises(CommandError, match="Interrupted after 0 sessions") as caught,
    ):
        run()
    assert caught.value.returncode == 130
    assert Session.objects.count() == 5
    run()
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_ctrl_c_ends_a_dry_run_in_order_too() -> None:
    with (
        connection.execute_wrapper(Stop("SELECT")),
        pytest.raises(CommandError, match="Interrupted"),
    ):
        run("--dry-run")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_leaves_a_table_that_the_next_run_finishes(
    sent: signal.Signals,
) -> None:
    make(400)
    make(5, expire_date=FUTURE)
    process = start("--batch-size=2", "--sleep=0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # It is under way, in the middle of whatever it does just then.
    while Session.objects.expired().count() > 380:
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.send_signal(sent)
    code, out, error = finish(process)
    assert code == (130 if sent == signal.SIGINT else -sent)
    assert out == ""
    assert "Traceback" not in error
    if sent == signal.SIGINT:
        assert re.search(r"Interrupted after \d+ sessions; the next run goes on", error)
    left = Session.objects.expired().count()
    assert 0 < left <= 380
    assert json.loads(run("--json"))["expired"] == left
    assert Session.objects.count() == 5


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_processes_at_once_share_the_work() -> None:
    make(300)
    processes = [
        start("--batch-size=2", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outcomes = [finish(process) for process in processes]
    assert [(code, error) for code, _, error in outcomes] == [(0, "")] * 2
    assert sum(json.loads(out)["expired"] for _, out, _ in outcomes) == 300
    assert not Session.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_pipe_gets_the_outcome_and_no_progress_bar() -> None:
    make(3)
    code, out, error = piped()
    assert (code, error) == (0, "")
    assert re.fullmatch(r"Removed 3 expired sessions .*\n", out)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "has_bar"), [([], True), (["--json"], False), (["--verbosity=0"], False)]
)
def test_a_terminal_gets_a_progress_bar_in_one_line(arguments: list[str], has_bar: bool) -> None:
    make(30)
    shown = on_a_terminal("--batch-size=5", *arguments)
    assert ("Removing: 100%" in shown) == has_bar
    assert ("30/30" in shown) == has_bar
    # The states of a bar overwrite each other.
    assert shown.count("\n") <= 2
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_the_extra_there_is_no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_sessionkit.management.commands.clearsessions.progress_bar", None)
    make(3)
    error = StringIO()
    error.isatty = lambda: True  # type: ignore[method-assign]
    assert run(stderr=error).startswith("Removed 3")
    assert error.getvalue() == ""


def on_a_terminal(*arguments: str) -> str:
    """Run the command on a terminal of its own and return what that shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = start(*arguments, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux: nobody has the other end open any more.
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


@pytest.mark.django_db
def test_another_engine_is_cleared_as_django_does(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.file"
    # What it makes of SESSION_FILE_PATH, once in a process.
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    for age in (3600, -3600):
        store = FileStore()
        store["mine"] = True
        store.set_expiry(age)
        store.save()
    make(1)
    assert len(list(tmp_path.iterdir())) == 2
    assert run() == ""
    assert len(list(tmp_path.iterdir())) == 1
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_an_engine_that_has_nothing_to_clear_is_no_error(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert run() == ""


@pytest.mark.django_db
@pytest.mark.parametrize("argument", ["--dry-run", "--json"])
def test_another_engine_can_not_be_counted(settings: Any, argument: str) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(CommandError, match="is not one of django_sessionkit"):
        run(argument)


@pytest.mark.django_db
def test_an_engine_that_can_not_be_cleared_is_a_clear_error(settings: Any) -> None:
    # This module is the engine: a bare subclass of the base of all engines.
    settings.SESSION_ENGINE = __name__
    with pytest.raises(CommandError, match="doesn't support clearing"):
        run()


class SessionStore(SessionBase):
    """A store that leaves everything to its base."""
