"""Many cases in one test: each is checked, and each that fails is told with its error."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

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


Test = Callable[..., None]


def looped(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Take cases as ``pytest.mark.parametrize`` does, and check all of them in one test.

    For what needs no fixture anew, and has nothing to do with what the other parameters vary.
    """
    single = isinstance(names, str)
    taken = (names,) if isinstance(names, str) else names
    every = list(cases)

    def decorate(test: Test) -> Test:
        assert not inspect.iscoroutinefunction(test)

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            def check(case: Any) -> None:
                test(**fixtures, **dict(zip(taken, (case,) if single else case, strict=True)))

            for_each(every, check)

        signature = inspect.signature(test)
        others = [one for name, one in signature.parameters.items() if name not in taken]
        assert len(others) == len(signature.parameters) - len(taken), f"not all of {taken} taken"
        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return run

    return decorate
