"""When a session ends: the settings, set_expiry() in all its forms, and what the row says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone as django_timezone

from django_sessionkit.models import Session
from tests.cases import for_each
from tests.conformance.engines import in_sync_code, refused_at_once, with_keys_that_stay
from tests.conformance.faces import Face, Faces

pytestmark = pytest.mark.django_db

SIGNED_IN = {"_auth_user_id": "1"}  # so that every engine has a row
TEN = timedelta(seconds=10)
SLACK = timedelta(seconds=5)  # of a slow machine
AGE = settings.SESSION_COOKIE_AGE


def about(moment: datetime, expected: datetime) -> bool:
    return expected - SLACK <= moment <= expected + SLACK


@in_sync_code
def test_a_session_lives_as_long_as_the_setting_says(session: Face) -> None:
    moment = django_timezone.now()
    assert session.get_expiry_age() == AGE
    assert session.get_expiry_date(modification=moment) == moment + timedelta(seconds=AGE)
    with override_settings(SESSION_COOKIE_AGE=77):
        assert session.get_expiry_age() == 77


@in_sync_code
def test_reading_the_expiry_reads_the_session_and_setting_it_writes(session: Face) -> None:
    session.get_expiry_age()
    assert session.flags == (True, False)
    session.set_expiry(10)
    assert session.flags == (True, True)


@in_sync_code
def test_seconds_count_from_the_last_change(session: Face) -> None:
    def check(seconds: int) -> None:
        session.set_expiry(seconds)
        moment = django_timezone.now()
        assert session.get_expiry_age(modification=moment) == seconds
        assert session.get_expiry_date(modification=moment) == moment + timedelta(seconds=seconds)

    for_each([10, 1, 10**8, -10], check)


@in_sync_code
def test_a_fixed_moment_stays(session: Face) -> None:
    now = django_timezone.now()

    def check(value: Any) -> None:
        session.set_expiry(value)
        assert about(session.get_expiry_date(), now + TEN)
        assert 5 <= session.get_expiry_age(modification=now) <= 15
        # It does not move with later changes.
        assert about(session.get_expiry_date(modification=now + TEN), now + TEN)

    for_each([TEN, now + TEN, (now + TEN).astimezone(timezone(timedelta(hours=9)))], check)


@in_sync_code
def test_an_expiry_given_is_asked_about_without_the_session(session: Face) -> None:
    now = django_timezone.now()
    for expiry in (10, now + TEN, (now + TEN).isoformat()):
        assert session.get_expiry_age(modification=now, expiry=expiry) == 10
        assert session.get_expiry_date(modification=now, expiry=expiry) == now + TEN
    assert session.get_expiry_age(expiry=None) == AGE
    assert session.flags == (False, False)


@in_sync_code
def test_none_takes_the_expiry_back(session: Face) -> None:
    session.set_expiry(None)
    session.set_expiry(10)
    session.set_expiry(None)
    assert session.get_expiry_age() == AGE
    assert dict(session.items()) == {}


@in_sync_code
def test_zero_lasts_until_the_browser_closes(session: Face) -> None:
    session.set_expiry(0)
    assert session.get_expire_at_browser_close()
    assert session.get_expiry_age() == AGE


@in_sync_code
def test_the_setting_decides_unless_the_session_does(faces: Faces) -> None:
    def check(by_default: bool) -> None:
        session = faces.open()
        with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=by_default):
            assert session.get_expire_at_browser_close() is by_default
            for value, expected in ((10, False), (0, True), (TEN, False), (None, by_default)):
                session.set_expiry(value)
                assert session.get_expire_at_browser_close() is expected

    for_each([False, True], check)


def test_the_row_and_the_next_request_know_the_end(faces: Faces) -> None:
    def check(case: tuple[Any, int]) -> None:
        value, seconds = case
        Session.objects.all().delete()
        session = faces.open()
        session.update(SIGNED_IN)
        session.set_expiry(value)
        session.save()
        end = django_timezone.now() + timedelta(seconds=seconds)
        assert about(Session.objects.get().expire_date, end)
        assert about(faces.open(session.session_key).get_expiry_date(), end)

    for_each([(None, AGE), (0, AGE), (3600, 3600), (timedelta(hours=1), 3600)], check)


def test_a_session_that_ends_in_the_past_has_ended(faces: Faces) -> None:
    def check(value: Any) -> None:
        session = faces.open()
        session.update(SIGNED_IN)
        session.set_expiry(value)
        session.save()
        again = faces.open(session.session_key)
        assert again.load() == {}
        assert again.session_key is None

    for_each([-10, -TEN, datetime(2001, 1, 1, tzinfo=UTC)], check)


@refused_at_once
def test_a_session_ends_when_its_time_is_over(faces: Faces) -> None:
    session = faces.saved(SIGNED_IN)
    Session.objects.update(expire_date=django_timezone.now() - timedelta(microseconds=1))
    assert faces.read(session.session_key) == {}


@pytest.mark.slow
@in_sync_code
def test_a_session_that_was_just_read_ends_when_its_time_is_over(faces: Faces) -> None:
    session = faces.open()
    session.update(SIGNED_IN)
    session.set_expiry(timedelta(seconds=1))
    session.save()
    assert faces.read(session.session_key)
    time.sleep(1)
    assert faces.read(session.session_key) == {}


@with_keys_that_stay
def test_saving_moves_the_end(faces: Faces) -> None:
    session = faces.saved(SIGNED_IN)
    Session.objects.update(expire_date=django_timezone.now() + TEN)
    again = faces.open(session.session_key)
    again.set("cat", "Tom")
    again.save()
    end = django_timezone.now() + timedelta(seconds=AGE)
    assert about(Session.objects.get().expire_date, end)


@with_keys_that_stay
@pytest.mark.parametrize("value", [3600, timedelta(days=100)], ids=["earlier", "later"])
def test_an_end_set_by_an_overlapping_request_is_kept(faces: Faces, value: Any) -> None:
    session_key = faces.saved(SIGNED_IN).session_key
    one, other = faces.open(session_key), faces.open(session_key)
    one.set("cat", "Tom")
    other.set_expiry(value)
    other.save()
    one.save()
    end = django_timezone.now() + (timedelta(seconds=value) if isinstance(value, int) else value)
    assert about(Session.objects.get().expire_date, end)
    assert about(faces.open(session_key).get_expiry_date(), end)


def test_clearing_expired_sessions_leaves_the_active_ones(faces: Faces) -> None:
    active, ended = faces.saved(SIGNED_IN), faces.open()
    ended.update({"_auth_user_id": "2"})
    ended.set_expiry(-10)
    ended.save()
    active.clear_expired()
    assert [row.public_id for row in Session.objects.all()] == [active.public_id]


@override_settings(USE_TZ=False)
@in_sync_code
def test_without_time_zones_a_session_ends_when_it_should(faces: Faces) -> None:
    hour = timedelta(hours=1)
    naive = datetime.now() + hour  # noqa: DTZ005
    for_each([3600, hour, naive], partial(ends_without_time_zones, faces))


def ends_without_time_zones(faces: Faces, value: Any) -> None:
    """Let a session end in an hour, and an hour ago."""
    Session.objects.all().delete()
    session = faces.saved(SIGNED_IN)
    session.set_expiry(value)
    session.save()
    again = faces.open(session.session_key)
    assert again.load() == dict(session.items())
    assert 3590 <= again.get_expiry_age() <= 3600
    assert Session.objects.get().is_active
    assert list(Session.objects.expired()) == []
    again.set_expiry(-timedelta(hours=1))
    again.save()
    assert faces.read(again.session_key) == {}
