"""The docs name everything that a site can set, run or be warned of."""

import re
from pathlib import Path

from tests.cases import looped

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_sessionkit"
DOCS = "\n".join(
    page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.exists()
)


def names(modules: str, pattern: str) -> list[str]:
    """Return what the pattern finds in some modules of the package, sorted, each once."""
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.glob(modules)]
    return sorted(set(re.findall(pattern, "\n".join(texts))))


SETTINGS = names("conf.py", r"\bSESSIONKIT_[A-Z_]*[A-Z]\b")
CHECKS = names("checks/*.py", r"\bsessionkit\.[CDEIW]\d{3}\b")
COMMANDS = sorted(
    path.stem for path in (PACKAGE / "management/commands").glob("*.py") if path.stem[0] != "_"
)


def test_there_are_settings_checks_and_commands() -> None:
    assert SETTINGS
    assert CHECKS
    assert COMMANDS


@looped("name", [*SETTINGS, *CHECKS, *COMMANDS])
def test_the_docs_name(name: str) -> None:
    assert re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", DOCS), f"{name} is in no page"
