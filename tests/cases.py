"""Many cases in one test: each is checked, and each that fails is told with its error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")


def for_each(cases: Iterable[T], check: Callable[[T], object]) -> None:
    """Call ``check`` with each case; raise all errors in a group, each with its case as a note."""
    errors: list[BaseException] = []
    count = 0
    for case in cases:
        count += 1
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"The case: {case!r:.500}")
            errors.append(error)
    assert count, "no case was checked"
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {count} cases fail", errors)
