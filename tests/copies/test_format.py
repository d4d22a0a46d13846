"""The bytes that lie in a cache: nobody else can write them, move them, or age them."""

from __future__ import annotations

import dataclasses
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_sessionkit.copies.format import (
    Entry,
    Kind,
    new_stamp,
    pack_voucher,
    unpack,
    unpack_voucher,
)
from django_sessionkit.exceptions import BadEntry

PUBLIC_ID, OTHER = uuid.uuid4(), uuid.uuid4()
ENTRY = Entry(
    kind=Kind.COPY,
    stamp=7,
    expire_date=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    secret_hash=bytes(range(32)),
    pk=42,
    user="17",
    data=b'{"cat": "Tom"}',
)

entries = st.builds(
    Entry,
    kind=st.sampled_from([Kind.COPY, Kind.DATA, Kind.VISITOR, Kind.RETIRED]),
    stamp=st.integers(0, 2**63 - 1),
    expire_date=st.datetimes(timezones=st.just(UTC)),
    secret_hash=st.binary(min_size=32, max_size=32),
    pk=st.integers(0, 2**63 - 1),
    user=st.text(max_size=200),
    data=st.binary(max_size=3000),
)


@given(entry=entries)
def test_what_was_packed_is_unpacked(entry: Entry) -> None:
    assert unpack(entry.pack(PUBLIC_ID), PUBLIC_ID) == entry


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("hour", [1, 2, 3])  # 2 o'clock is there twice, or never
def test_naive_times_stay_as_they_are(hour: int) -> None:
    for month in (3, 10):
        moment = datetime(2026, month, 29, hour, 30, 0, 1)  # noqa: DTZ001
        entry = dataclasses.replace(ENTRY, expire_date=moment, written_at=moment)
        assert unpack(entry.pack(PUBLIC_ID), PUBLIC_ID) == entry


def test_a_change_of_any_byte_is_seen() -> None:
    raw = ENTRY.pack(PUBLIC_ID)
    for place in range(len(raw)):
        for bit in (1, 128):
            changed = bytearray(raw)
            changed[place] ^= bit
            with pytest.raises(BadEntry):
                unpack(bytes(changed), PUBLIC_ID)


def test_a_part_of_it_is_nothing() -> None:
    raw = ENTRY.pack(PUBLIC_ID)
    for length in range(len(raw)):
        with pytest.raises(BadEntry):
            unpack(raw[:length], PUBLIC_ID)
    with pytest.raises(BadEntry):
        unpack(raw + b"\0", PUBLIC_ID)


@pytest.mark.parametrize("raw", [None, "", "C\x01", 7, b"", b"\x80\x04N.", b"T" + bytes(16)])
def test_what_others_put_there_is_nothing(raw: object) -> None:
    with pytest.raises(BadEntry):
        unpack(raw, PUBLIC_ID)
    with pytest.raises(BadEntry):
        unpack_voucher(raw, ENTRY, PUBLIC_ID, 60)


def test_the_entry_of_one_session_is_none_of_another() -> None:
    with pytest.raises(BadEntry):
        unpack(ENTRY.pack(PUBLIC_ID), OTHER)


def test_another_secret_key_writes_nothing_that_is_believed_until_it_is_a_fallback() -> None:
    raw = ENTRY.pack(PUBLIC_ID)
    voucher = pack_voucher(ENTRY, PUBLIC_ID, ENTRY.expire_date, 42)
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=["a third"]):
        with pytest.raises(BadEntry):
            unpack(raw, PUBLIC_ID)
        with pytest.raises(BadEntry):
            unpack_voucher(voucher, ENTRY, PUBLIC_ID, 60)
    with override_settings(
        SECRET_KEY="another", SECRET_KEY_FALLBACKS=["a third", "for the tests alone"]
    ):
        assert unpack(raw, PUBLIC_ID) == ENTRY
        assert unpack_voucher(voucher, ENTRY, PUBLIC_ID, 60) == (ENTRY.expire_date, 42)
        assert ENTRY.pack(PUBLIC_ID) != raw


def test_a_voucher_is_good_for_that_session_secret_and_user() -> None:
    later = ENTRY.expire_date + timedelta(days=1)
    voucher = pack_voucher(ENTRY, PUBLIC_ID, later, 42)
    # It is about the row; the data may have moved on.
    moved = dataclasses.replace(ENTRY, stamp=8, data=b"{}")
    assert unpack_voucher(voucher, moved, PUBLIC_ID, 60) == (later, 42)
    for entry in (
        dataclasses.replace(ENTRY, secret_hash=bytes(32)),
        dataclasses.replace(ENTRY, user="1"),
        dataclasses.replace(ENTRY, user=""),
    ):
        with pytest.raises(BadEntry):
            unpack_voucher(voucher, entry, PUBLIC_ID, 60)
    with pytest.raises(BadEntry):
        unpack_voucher(voucher, ENTRY, OTHER, 60)
    for place in range(len(voucher)):
        changed = bytearray(voucher)
        changed[place] ^= 1
        with pytest.raises(BadEntry):
            unpack_voucher(bytes(changed), ENTRY, PUBLIC_ID, 60)


@pytest.mark.parametrize(
    ("seconds", "is_good"), [(-200, False), (-30, True), (0, True), (90, True), (200, False)]
)
def test_what_was_written_long_ago_is_believed_no_more(seconds: int, is_good: bool) -> None:
    moment = timezone.now() - timedelta(seconds=seconds)
    with mock.patch.object(timezone, "now", return_value=moment):
        entry = dataclasses.replace(ENTRY, written_at=timezone.now())
        voucher = pack_voucher(ENTRY, PUBLIC_ID, ENTRY.expire_date, 42)
    assert unpack(entry.pack(PUBLIC_ID), PUBLIC_ID).is_within(60) is is_good
    with nullcontext() if is_good else pytest.raises(BadEntry, match="too old"):
        unpack_voucher(voucher, ENTRY, PUBLIC_ID, 60)


def test_data_that_gain_nothing_by_it_are_not_compressed() -> None:
    assert ENTRY.data in ENTRY.pack(PUBLIC_ID)
    large = dataclasses.replace(ENTRY, data=b'{"cat": "Tom"}' * 100)
    assert len(large.pack(PUBLIC_ID)) < 200


def test_stamps_do_not_repeat() -> None:
    assert len({new_stamp() for _ in range(1000)}) == 1000
