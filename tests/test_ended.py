"""The result of ending sessions, as a value."""

from __future__ import annotations

import dataclasses

import pytest

from django_sessionkit.ending import Ended
from django_sessionkit.events import InForce

NOW, LATE, OPEN = InForce.NOW, InForce.WITHIN_LEASE, InForce.ON_COMMIT


def test_a_result_is_true_if_a_session_ended() -> None:
    assert Ended(1)
    assert Ended(2, LATE)
    assert not Ended()
    assert not Ended(0, LATE)


def test_results_are_added_and_the_later_state_holds_for_both() -> None:
    for one, other, both in (
        (NOW, NOW, NOW),
        (NOW, LATE, LATE),
        (LATE, NOW, LATE),
        (LATE, OPEN, OPEN),
        (OPEN, NOW, OPEN),
    ):
        assert Ended(1, one) + Ended(2, other) == Ended(3, both), (one, other)
    assert sum([Ended(1), Ended(2, LATE)], Ended()) == Ended(3, LATE)


def test_a_result_that_is_in_force_has_no_commit_to_wait_for() -> None:
    for state in (NOW, LATE):
        told: list[InForce] = []
        Ended(1, state).on_commit(told.append)
        assert told == [state]


def test_a_result_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Ended(1).count = 2  # type: ignore[misc]


def test_a_result_shows_how_many_and_since_when() -> None:
    assert repr(Ended(2, LATE)) == "Ended(count=2, in_force=<InForce.WITHIN_LEASE: 'within_lease'>)"
