"""Dates and times are read exactly in each representation; what Debezium can't tell apart is refused."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import Misfit, Unmaskable
from cdc_masker.methods.times import DAY, SECOND, Change, day_of, limits, rewriting, start_of
from cdc_masker.schemas import Type
from tests.unit.columns import TYPES, by_kind, values

TEXT = Type(base="string")
TEMPORAL = by_kind(Kind.DATE, Kind.TIME, Kind.TIMESTAMP)
NOON = start_of(date(2024, 2, 29)) + (12 * 3600 + 34 * 60 + 56) * SECOND
MICROS = NOON + 123_456_000
TEN = NOON - 2 * 3600 * SECOND + 123_456_000  # the same in UTC, of a zone two hours east

_DATE = {"year": 2024, "month": 2, "day": 29}
_CLOCK = {"hour": 12, "minute": 34, "second": 56, "nanos": 123456000}
_UTC = {"offsetSeconds": 0, "zoneId": "Z"}
_END = {"specialValue": None, "precision": 6}
_INFINITY = {"specialValue": "POSITIVE_INFINITY"}

# What Debezium 3.7.0 wrote of 2024-02-29 12:34:56.123456, as a date, a time, a timestamp, one of milliseconds, and one at +02.
WRITTEN: list[tuple[str, Any, int]] = [
    ("date", 19782, start_of(date(2024, 2, 29))),
    ("date as connect", 19782, start_of(date(2024, 2, 29))),
    ("date as isostring", "2024-02-29Z", start_of(date(2024, 2, 29))),
    ("date as structured", {**_DATE, "specialValue": None}, start_of(date(2024, 2, 29))),
    ("timestamp", 1709210096123456, MICROS),
    ("timestamp_millis", 1709210096123, NOON + 123_000_000),
    ("timestamp as connect", 1709210096123, NOON + 123_000_000),
    ("timestamp as nanoseconds", 1709210096123456000, MICROS),
    ("timestamp as isostring", "2024-02-29T12:34:56.123456Z", MICROS),
    ("timestamp as structured", {**_DATE, **_CLOCK, **_END}, MICROS),
    ("timestamptz", "2024-02-29T10:34:56.123456Z", TEN),
    ("timestamptz as structured", {**_DATE, **_CLOCK, "hour": 10, **_UTC, **_END}, TEN),
    ("time", 45296123456, MICROS % DAY),
    ("time_millis", 45296123, NOON % DAY + 123_000_000),
    ("time as connect", 45296123, NOON % DAY + 123_000_000),
    ("time as nanoseconds", 45296123456000, MICROS % DAY),
    ("time as isostring", "12:34:56.123456Z", MICROS % DAY),
    ("time as structured", {**_CLOCK, "precision": 6}, MICROS % DAY),
    ("timetz", "10:34:56.5Z", TEN % DAY - 123_456_000 + 500_000_000),
    ("timetz as structured", {**_CLOCK, "offsetSeconds": 7200, "precision": 6}, MICROS % DAY),
]

# What it wrote of infinity, -infinity, 44 BC, and of years past 9999, in snapshots and in the stream.
BEYOND: list[tuple[str, list[Any]]] = [
    ("date", [-622191234, 2146033979, -625821272, -2147472691, -735160, 3672274, 2145042905]),
    ("date as isostring", ["+292278994-08-16Z", "+5877611-06-21Z", "-5877611-06-22Z", "-0043-03-15Z", "+12024-05-06Z"]),
    ("date as structured", [{**dict.fromkeys(_DATE), **_INFINITY}, {**_DATE, "year": -43, "specialValue": None}]),
    ("timestamp", [9223372036854775807, -9223372036854775808, -63517824000000000, 317284499280000000]),
    ("timestamp_millis", [9223372036825200000, -9223372036832400000, -63517824000000, 9224317929600000]),
    ("timestamp as nanoseconds", [9223372036854775807, -9223372036854775808]),
    ("timestamp as isostring", ["+292278994-08-16T23:00:00Z", "-292275055-05-16T23:00:00Z", "-0043-03-15T00:00:00Z"]),
    ("timestamp as structured", [{**dict.fromkeys((*_DATE, *_CLOCK)), **_INFINITY, "precision": 6}]),
    ("timestamptz", ["infinity", "-infinity", "-0043-03-15T12:00:00.000000Z", "+12024-05-06T07:08:00.000000Z"]),
    ("time", [86400000000]),
    ("time as nanoseconds", [86400000000000]),
]  # fmt: skip


def refused(type_: Type | None, value: Any, change: Change = lambda moment: moment, **options: bool) -> Misfit:
    with pytest.raises(Unmaskable) as caught:
        rewriting(type_, **options)(value, change)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.reason


def moment_of(type_: Type | None, value: Any) -> int:
    seen: list[int] = []

    def look(moment: int) -> int:
        seen.append(moment)
        return moment

    assert rewriting(type_)(value, look) == value
    (moment,) = seen
    return moment


def test_each_representation_is_looked_at() -> None:
    assert {name for name, _, _ in WRITTEN} == set(TEMPORAL)


@pytest.mark.parametrize(("name", "value", "moment"), WRITTEN, ids=[name for name, _, _ in WRITTEN])
def test_a_moment_is_read_exactly(name: str, value: Any, moment: int) -> None:
    assert moment_of(TYPES[name], value) == moment


@pytest.mark.parametrize(("name", "written"), BEYOND, ids=[name for name, _ in BEYOND])
def test_infinities_and_years_that_nobody_can_tell_are_out_of_range(name: str, written: list[Any]) -> None:
    for value in written:
        assert refused(TYPES[name], value) is Misfit.RANGE


@pytest.mark.parametrize("name", TEMPORAL)
@given(st.data())
def test_what_is_not_changed_stays_the_same_and_is_within_the_limits(name: str, data: st.DataObject) -> None:
    value = data.draw(values(TEMPORAL[name]))
    first, last = limits(TEMPORAL[name])
    assert first <= moment_of(TEMPORAL[name], value) <= last


@pytest.mark.parametrize(
    ("value", "moment", "written"),
    [
        ("2024-02-29", MICROS, "2024-02-29"),
        ("1999-01-01+05:30", MICROS, "2024-02-29+05:30"),
        ("1999-01-01T00:00", MICROS, "2024-02-29T12:34"),
        ("1999-01-01 00:00:00", MICROS, "2024-02-29 12:34:56"),
        ("1999-01-01 00:00:00.0+02", MICROS, "2024-02-29 12:34:56.1+02"),
        ("1999-01-01T00:00:00.000000000-0330", MICROS, "2024-02-29T12:34:56.123456000-0330"),
        ("1999-01-01T00:00:00Z", start_of(date(1, 1, 1)), "0001-01-01T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("type_", [TEXT, None])
def test_a_text_keeps_its_form(type_: Type | None, value: str, moment: int, written: str) -> None:
    assert rewriting(type_)(value, lambda _: moment) == written


@pytest.mark.parametrize(
    ("name", "value", "moment", "written"),
    [
        ("date", 0, MICROS, 19782),
        ("date", 0, -1, -1),
        ("timestamp_millis", 0, -1, -1),
        ("timestamp", 0, MICROS + 999, 1709210096123456),
        ("timestamp as structured", {**_DATE, **_CLOCK, **_END, "precision": 3}, MICROS, {"nanos": 123000000}),
        ("timestamp as structured", {**_DATE, **_CLOCK, **_END, "precision": 0}, MICROS, {"nanos": 0}),
        ("timestamp as structured", {**_DATE, **_CLOCK, **_END, "precision": None}, MICROS + 1, {"nanos": 123456001}),
    ],
)
def test_a_new_moment_is_rounded_down_to_what_the_form_can_say(name: str, value: Any, moment: int, written: Any) -> None:
    result = rewriting(TYPES[name])(value, lambda _: moment)
    assert result == ({**value, **written} if isinstance(written, dict) else written)


@pytest.mark.parametrize("name", TEMPORAL)
def test_a_new_moment_past_the_limits_is_refused(name: str) -> None:
    value = next(value for known, value, _ in WRITTEN if known == name)
    first, last = limits(TYPES[name])
    for moment in (first - 1, last + 1):
        assert refused(TYPES[name], value, lambda _, moment=moment: moment) is Misfit.RANGE  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("date", "2024-02-29", Misfit.TYPE),
        ("date", 1.5, Misfit.TYPE),
        ("date", True, Misfit.TYPE),
        ("timestamp", None, Misfit.TYPE),
        ("time", -1, Misfit.RANGE),
        ("date as isostring", 19782, Misfit.TYPE),
        ("date as isostring", "2023-02-29Z", Misfit.FORMAT),
        ("date as isostring", "2024-13-01Z", Misfit.FORMAT),
        ("date as isostring", "29.02.2024", Misfit.FORMAT),
        ("timestamptz", "2024-02-29T24:00:00Z", Misfit.FORMAT),
        ("timestamptz", "2024-02-29T12:60:00Z", Misfit.FORMAT),
        ("timestamptz", "2024-02-29T12:34:60Z", Misfit.FORMAT),
        ("timestamptz", "2024-02-29T12:34:56.1234567890Z", Misfit.FORMAT),
        ("timestamptz", "0000-01-01T00:00:00Z", Misfit.RANGE),
        ("timestamptz", "2024-02-29T12:34:56Z canary", Misfit.FORMAT),
        ("timestamptz", "\uff12024-02-29T12:34:56Z", Misfit.FORMAT),
        ("timetz", "24:00:00Z", Misfit.FORMAT),
        ("timetz", "canary", Misfit.FORMAT),
        ("timetz", 5, Misfit.TYPE),
        ("date as structured", 19782, Misfit.TYPE),
        ("date as structured", {**_DATE}, Misfit.TYPE),
        ("date as structured", {**_DATE, "specialValue": None, "more": "canary"}, Misfit.TYPE),
        ("date as structured", {**_DATE, "month": "2", "specialValue": None}, Misfit.TYPE),
        ("date as structured", {**_DATE, "month": None, "specialValue": None}, Misfit.TYPE),
        ("date as structured", {**_DATE, "day": 30, "specialValue": None}, Misfit.FORMAT),
        ("date as structured", {**_DATE, "year": 10**30, "specialValue": None}, Misfit.RANGE),
        ("date as structured", {**_DATE, "day": 10**30, "specialValue": None}, Misfit.FORMAT),
        ("date as structured", {**_DATE, "specialValue": "canary"}, Misfit.RANGE),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "zoneId": "canary"}, Misfit.FORMAT),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "zoneId": 5}, Misfit.FORMAT),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "precision": 10}, Misfit.TYPE),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "offsetSeconds": 64801}, Misfit.TYPE),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "offsetSeconds": "0"}, Misfit.TYPE),
        ("timestamptz as structured", {**_DATE, **_CLOCK, **_UTC, **_END, "hour": 24}, Misfit.FORMAT),
        ("integer", 19782, Misfit.TYPE),
        ("interval", 5, Misfit.TYPE),
        ("boolean", True, Misfit.TYPE),
    ],
)
def test_what_is_no_moment_of_the_type_is_refused(name: str, value: Any, reason: Misfit) -> None:
    assert refused(TYPES[name], value) is reason


@pytest.mark.parametrize("value", [19782, 1.5, True, [], {}])
def test_without_a_type_only_text_tells_a_moment(value: Any) -> None:
    assert refused(None, value) is Misfit.TYPE


def test_a_text_without_a_time_of_day_is_refused_where_one_is_needed() -> None:
    assert rewriting(TEXT, with_clock=True)("2024-02-29T12:34", lambda moment: moment - moment % DAY) == "2024-02-29T00:00"
    for value in ("2024-02-29", "2024-02-29Z", "2024-02-29+02:00"):
        assert refused(TEXT, value, with_clock=True) is Misfit.FORMAT


@given(st.dates())
def test_a_day_is_the_day_with_which_it_starts(day: date) -> None:
    assert day_of(start_of(day)) == day_of(start_of(day) + DAY - 1) == day


@given(st.datetimes(), st.sampled_from(["auto", "minutes", "seconds", "milliseconds"]))
def test_what_python_writes_is_read(moment: datetime, form: str) -> None:
    text = moment.isoformat(timespec=form)
    expected = datetime.fromisoformat(text)
    seconds = (expected - datetime(1970, 1, 1)).total_seconds() if expected.year > 1 else None
    found = moment_of(None, text)
    assert seconds is None or abs(found / SECOND - seconds) < 1e-3


@given(st.text())
def test_no_text_is_read_that_is_no_moment(text: str) -> None:
    assert refused(TEXT, text) is Misfit.FORMAT


def test_the_kinds_agree_with_what_can_be_read() -> None:
    for name, type_ in TYPES.items():
        readable = rewriting(type_).__name__ != "_nothing"
        assert readable == (name in TEMPORAL or kind_of(type_) is Kind.TEXT)
