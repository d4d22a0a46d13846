"""The command that prepares and serves the example project."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.example_site import PASSWORD, demo, environment, serve

pytestmark = pytest.mark.slow


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_the_demo_fills_in_people_and_sessions_and_keeps_them(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    sessions = "SELECT public_id, version, ip_address, expire_date FROM sessionkit_session"
    with serve(database) as (url, log):
        greeting = log.read_text()
    assert f"{url}/admin/" in greeting
    assert PASSWORD in greeting
    names = [name for (name,) in rows(database, "SELECT username FROM auth_user ORDER BY id")]
    assert len(names) == 7
    assert all(str(name) in greeting for name in names)
    first = rows(database, sessions)
    assert len(first) == 25
    expired = f"{sessions} WHERE expire_date < datetime('now')"
    assert 3 <= len(rows(database, expired)) <= 10

    with serve(database) as (url, log):
        assert "kept" in log.read_text()
    assert rows(database, sessions) == first


def test_the_demo_names_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo(str(port), env=environment(tmp_path / "db.sqlite3"))
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("addrport", ["0", "abc", "0.0.0.0:8000"])
def test_the_demo_serves_this_machine_alone(tmp_path: Path, addrport: str) -> None:
    done = demo(addrport, env=environment(tmp_path / "db.sqlite3"))
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: ")


def test_the_demo_refuses_to_run_without_debug(tmp_path: Path) -> None:
    production = {"HARBOUR_DEBUG": "0", "HARBOUR_SECRET_KEY": "x" * 50, "HARBOUR_HOSTS": "a.test"}
    database = tmp_path / "db.sqlite3"
    done = demo(env=environment(database, **production))
    assert done.returncode == 1
    assert "DEBUG" in done.stderr
    assert not database.exists()
