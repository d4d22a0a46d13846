"""Tests of cases.py: of many cases in one test, each that fails is told."""

from __future__ import annotations

import pytest

from tests.cases import for_each, looped


def is_small(number: int) -> None:
    assert number < 3


def test_each_case_that_fails_is_told_with_its_value() -> None:
    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases fail") as raised:
        for_each([1, 5, 2, 7], is_small)
    notes = [error.__notes__[0] for error in raised.value.exceptions]
    assert notes == ["The case: 5", "The case: 7"]


def test_an_error_that_was_not_raised_is_a_failure_too() -> None:
    def divides(number: int) -> None:
        with pytest.raises(ZeroDivisionError):
            _ = 1 / number

    with pytest.raises(BaseExceptionGroup, match="1 of 2 cases fail"):
        for_each([0, 1], divides)


def test_no_case_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="no case"):
        for_each([], is_small)


@pytest.mark.parametrize("other", ["fixture"])
def test_a_looped_test_takes_its_cases_and_leaves_the_rest(other: str) -> None:
    seen: list[tuple[str, int, int]] = []

    @looped(("one", "two"), [(1, 2), (3, 4)])
    def test(other: str, one: int, two: int) -> None:
        seen.append((other, one, two))
        assert one > 1

    with pytest.raises(BaseExceptionGroup, match="1 of 2 cases fail"):
        test(other=other)
    assert seen == [("fixture", 1, 2), ("fixture", 3, 4)]
