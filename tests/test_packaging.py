"""The wheel: what is in it, and that it works beside nothing but Django."""

import email
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import django
import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ["devices", "encrypted-cookies", "progress", "redis", "signed-cookies"]
SMOKE_TEST = str(Path(__file__).with_name("smoke.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "django_sessionkit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert packed == source
    assert licences
    assert {"django_sessionkit/py.typed", "django_sessionkit/migrations/0001_initial.py"} <= packed
    assert any(name.startswith("django_sessionkit/templates/") for name in packed)


def test_the_wheel_needs_django_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    needed = map(Requirement, metadata.get_all("Requires-Dist", []))
    assert [each.name.lower() for each in needed if each.marker is None] == ["django"]
    assert metadata.get_all("Provides-Extra") == EXTRAS


def test_the_wheel_works_beside_nothing_but_django(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    wanted = [str(wheel), f"Django=={django.get_version()}"]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *wanted], check=True)
    command = [python, "-I", "-W", "error", SMOKE_TEST, str(tmp_path / "db.sqlite3")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    packages = {"asgiref", "django", "django-sessionkit", "sqlparse", "tzdata"}
    assert set(done.stdout.split("works beside ")[1].strip().split(", ")) <= packages
