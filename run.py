#!/usr/bin/env python3
"""Run the example site or the tests of django-sessionkit, from a fresh clone.

Needs Python 3.11 or newer and nothing else. Makes a virtual environment in .venv beside this
file and installs into it what the command needs; later runs reuse it.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("django-sessionkit needs Python 3.11 or newer; this is " + sys.version.split()[0])

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLD_VENV = ROOT / ".venv.old"
STAMP = VENV / "run.json"  # what is installed, and for which Python
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
DATABASES = ("sqlite", "postgresql", "mysql")
VARIABLES = {
    "postgresql": "SESSIONKIT_TEST_POSTGRESQL",
    "mysql": "SESSIONKIT_TEST_MYSQL",
    "redis": "SESSIONKIT_TEST_REDIS",
}
SERVERS_HELP = """
databases:
  sqlite       always
  postgresql   the server that SESSIONKIT_TEST_POSTGRESQL names
               (postgresql://user:password@host:port/), else one out of a Python wheel, which
               is started for the tests and leaves nothing behind
  mysql        only the MariaDB or MySQL server that SESSIONKIT_TEST_MYSQL names
               (mysql://user:password@host:port/); installing its driver needs a C compiler,
               pkg-config and the client library's headers (Debian: libmariadb-dev)
  SESSIONKIT_TEST_REDIS names a Redis (redis://host:port/0); else a Valkey out of a wheel.
  Where Node and npm are there, npm's iron-session and jose are tested against ours.
"""


def main() -> int:
    """Parse the command line, do what it says, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    example = commands.add_parser("example", help="serve the example site")
    example.add_argument("address", nargs="?", help="port, or address:port (127.0.0.1:8000)")
    tests = commands.add_parser(
        "tests",
        help="run the tests, once per database",
        usage="%(prog)s [-h] [--quick | --db NAME] [--cov] [pytest arguments]",
        description="Run the tests, once per database. Other arguments go to pytest.",
        epilog=SERVERS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --co is pytest's
    )
    which = tests.add_mutually_exclusive_group()
    which.add_argument(
        "--quick",
        action="store_true",
        help="answer within a minute: SQLite alone, no server (whatever the environment names), "
        "no browser, nothing that is marked slow; not enough before a commit",
    )
    which.add_argument("--db", choices=DATABASES, help="test on this database alone")
    tests.add_argument("--cov", action="store_true", help="measure coverage over all the runs")
    arguments, others = parser.parse_known_args()
    if arguments.command == "tests":
        return run_tests(arguments.db, others, quick=arguments.quick, coverage=arguments.cov)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    install("example")
    demo = [PYTHON, str(ROOT / "example_project" / "manage.py"), "demo"]
    return subprocess.call(demo + ([arguments.address] if arguments.address else []))


def install(*groups: str) -> None:
    """Bring .venv up to date with the dependency groups; do nothing when it is.

    Exits with a message when .venv is somebody else's or an installation fails.
    """
    if (VENV / "pyvenv.cfg").exists() and not STAMP.exists():
        sys.exit(f"run.py: {VENV.name} was made by something else; move it away, then try again.")
    stamp: dict[str, str] = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    if stamp.get("python") != sys.version:
        print(f"Making a virtual environment in {VENV.name} ...", flush=True)
        # Whatever interrupts this, the next run finds no .venv or one with our stamp.
        shutil.rmtree(OLD_VENV, ignore_errors=True)
        if VENV.exists():
            VENV.rename(OLD_VENV)
        VENV.mkdir()
        STAMP.write_text("{}")
        shutil.rmtree(OLD_VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError as error:
            sys.exit(f"run.py: no pip for .venv (Debian: install python3-venv). {error}")
        pip("--upgrade", "pip>=25.1")  # the first that knows dependency groups
        stamp = {"python": sys.version}
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    missing = [group for group in groups if stamp.get(group) != digest]
    if missing:
        print(f"Installing into {VENV.name}: {', '.join(missing)} ...", flush=True)
        pip("--editable", ".[devices,progress]", *(f"--group={group}" for group in missing))
        STAMP.write_text(json.dumps(stamp | dict.fromkeys(missing, digest)))


def pip(*arguments: str) -> None:
    """Install with the pip of .venv; exits with a message when that fails."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.call([*command, *arguments], cwd=ROOT):
        sys.exit(f"run.py: could not install: {' '.join(arguments)}")


def run_tests(only: str | None, arguments: list[str], *, quick: bool, coverage: bool) -> int:
    """Run pytest once per database and print what came out; 0 when everything passed."""
    environment = dict(os.environ)
    # Else each worker would rewrite the asserts of all test modules again: 6 s of a minute.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    results: dict[str, str] = {}
    failed = False
    databases = [only] if only else list(DATABASES)
    if quick:
        databases = ["sqlite"]
        arguments = ["-m", "not slow and not redis", *arguments]
        for name in [each for each in environment if each.startswith("SESSIONKIT_TEST_")]:
            del environment[name]
    cores = os.cpu_count() or 1
    # Many tests wait more than they work; those of a quick run do not.
    arguments = [f"--numprocesses={cores if quick else min(2 * cores, 8)}", *arguments]
    if "mysql" in databases and not environment.get(VARIABLES["mysql"]):
        databases.remove("mysql")
        results["mysql"] = f"not tested: no server named ({VARIABLES['mysql']})"
    install("tests", *(["mysql"] if "mysql" in databases else []))
    if coverage:
        subprocess.call([PYTHON, "-m", "coverage", "erase"], cwd=ROOT)
    with ExitStack() as stack:
        for server in () if quick else ("redis", "postgresql"):
            if server == "redis" or server in databases:
                reason = stack.enter_context(served(server, environment))
                if reason:
                    results[server] = f"not tested: {reason}"
        for database in [each for each in databases if each not in results]:
            print(f"\n== {database}", flush=True)
            code, results[database] = run_pytest(database, environment, coverage, arguments)
            failed = failed or code != 0
    print("\nTested:")
    for name in (*DATABASES, "redis"):
        if name in results:
            print(f"  {name:<12} {results[name]}")
    if only and results[only].startswith("not tested"):
        failed = True
    if coverage and not failed:
        program = [PYTHON, "-m", "coverage"]
        return subprocess.call([*program, "combine", "--quiet"], cwd=ROOT) or subprocess.call(
            [*program, "report"], cwd=ROOT
        )
    return int(failed)


@contextmanager
def served(server: str, environment: dict[str, str]) -> Iterator[str | None]:
    """Put the server's URL into the environment, starting one unless the caller has named it.

    Yields None, or the reason why there is no such server.
    """
    if environment.get(VARIABLES[server]):
        yield None
        return
    command = [PYTHON, "-m", "tests.services", server]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        state, _, rest = process.stdout.readline().strip().partition(" ")
        if state == "ready":
            environment[VARIABLES[server]] = rest
        yield None if state == "ready" else rest or "its process died"
        process.stdin.close()


def run_pytest(
    database: str, environment: Mapping[str, str], coverage: bool, arguments: list[str]
) -> tuple[int, str]:
    """Run pytest on one database; return its exit code and the counts in words."""
    with tempfile.TemporaryDirectory(prefix="sessionkit-") as directory:
        report = Path(directory, "report.xml")
        command = [PYTHON, "-m", *(["coverage", "run", "-m"] if coverage else []), "pytest"]
        command += ["--dist=worksteal", f"--junitxml={report}", *arguments]
        code = subprocess.call(command, cwd=ROOT, env={**environment, "TEST_DB": database})
        if not report.exists():
            return code, f"no result (pytest's exit code {code})"
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    bad = count["failures"] + count["errors"]
    passed = count["tests"] - bad - count["skipped"]
    words = f"{passed} passed, {bad} failed, {count['skipped']} skipped"
    # Exit code 5: pytest found no test, which proves nothing.
    return code, words + (f" (pytest's exit code {code})" if code and not bad else "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
