"""A fault that an engineer could make: where, and what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NotApplicableError(Exception):
    """The code that a mutant changes is not there any more, or is there more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A fault in one file.

    ``name``: a sentence that says which promise is broken. ``file``: below ``django_sessionkit``.
    ``old``: the text that ``new`` replaces; it occurs once in the file. ``tests``: the arguments
    of pytest that run the tests which are expected to find it.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path of the file in the repository."""
        return f"django_sessionkit/{self.file}"

    def applied_to(self, source: str) -> str:
        """Return the source of the file with the fault.

        Raises:
            NotApplicableError: the text to replace does not occur exactly once.
        """
        if (count := source.count(self.old)) != 1:
            raise NotApplicableError(
                f"The mutant {self.name!r} no longer applies: the text that it changes occurs "
                f"{count} times in {self.path}, not once. Bring the mutant up to date."
            )
        return source.replace(self.old, self.new)

    def check(self, root: Path) -> None:
        """Raise NotApplicableError if the mutant does not apply to the code below ``root``."""
        self.applied_to((root / self.path).read_text())
