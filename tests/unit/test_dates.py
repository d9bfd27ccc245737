"""`year`, `month`, `date`: when it began, in each representation."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.kinds import Kind
from cdc_masker.methods import Misfit, Unmaskable
from cdc_masker.methods.dates import Year
from cdc_masker.methods.times import DAY, day_of, limits, rewriting
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.columns import by_kind, values
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal

CUTS = ("year", "month", "date")
COLUMNS = by_kind(Kind.DATE, Kind.TIMESTAMP)
STRUCTURED = {"year": 2024, "month": 2, "day": 29, "hour": 12, "minute": 34, "second": 56, "nanos": 123456000}
STRUCTURED_END = {"offsetSeconds": 0, "zoneId": "Z", "specialValue": None, "precision": 6}


@pytest.mark.parametrize(
    ("value", "year", "month", "day"),
    [
        ("2024-02-29T12:34:56.123Z", "2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z", "2024-02-29T00:00:00.000Z"),
        ("1999-12-31 23:59:59+02", "1999-01-01 00:00:00+02", "1999-12-01 00:00:00+02", "1999-12-31 00:00:00+02"),
        ("0001-01-01T00:00", "0001-01-01T00:00", "0001-01-01T00:00", "0001-01-01T00:00"),
        ("9999-12-31T23:59Z", "9999-01-01T00:00Z", "9999-12-01T00:00Z", "9999-12-31T00:00Z"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("type_", [None, TEXT, from_postgres("timestamptz")])
def test_a_moment_becomes_the_start(type_: Type | None, value: str, year: str, month: str, day: str) -> None:
    assert [masking(method, type_)(value) for method in CUTS] == [year, month, day]


def test_days_micros_and_structs_are_cut_as_such() -> None:
    micros = int((datetime(2024, 2, 29, 12, 34) - datetime(1970, 1, 1)).total_seconds()) * 10**6
    midnight = micros - micros % (86_400 * 10**6)
    assert masking("date", from_postgres("timestamp"))(micros) == midnight
    assert masking("month", from_postgres("timestamp"))(micros) == midnight - 28 * 86_400 * 10**6
    assert masking("year", from_postgres("date"))(19782) == (date(2024, 1, 1) - date(1970, 1, 1)).days
    assert masking("year", from_postgres("date"))(-1) == -365
    zoned = COLUMNS["timestamptz as structured"]
    start = dict.fromkeys(("hour", "minute", "second", "nanos"), 0)
    expected = {**STRUCTURED, **start, "day": 1, **STRUCTURED_END}
    assert masking("month", zoned)({**STRUCTURED, **STRUCTURED_END}) == expected


def test_years_before_the_earliest_are_pooled() -> None:
    cut = masking("year", from_postgres("date"), earliest=1935)
    pooled = (date(1935, 1, 1) - date(1970, 1, 1)).days
    assert [cut((date(*day) - date(1970, 1, 1)).days) for day in ((1899, 5, 6), (1934, 12, 31), (1935, 7, 8))] == [pooled] * 3
    assert cut(0) == 0


@pytest.mark.parametrize("name", COLUMNS)
@given(st.data())
def test_what_comes_out_is_the_start_of_what_went_in(name: str, data: st.DataObject) -> None:
    type_ = COLUMNS[name]
    value = data.draw(values(type_))
    (day,) = _moments(type_, value)
    for method in ("year", "month"):
        try:
            cut = masking(method, type_)(value)
        except Unmaskable as error:
            assert error.reason is Misfit.RANGE  # the first year that 64 bits of nanoseconds can say begins before that
            assert name == "timestamp as nanoseconds"
            continue
        (start,) = _moments(type_, cut)
        assert start % DAY == 0
        assert day_of(start) == day_of(day).replace(**({"month": 1, "day": 1} if method == "year" else {"day": 1}))
        assert masking(method, type_)(cut) == cut


def _moments(type_: Type, value: Any) -> list[int]:
    seen: list[int] = []

    def look(moment: int) -> int:
        seen.append(moment)
        return moment

    rewriting(type_)(value, look)
    return seen


@pytest.mark.parametrize("method", CUTS)
@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (None, 19782),
        (None, "canary"),
        (None, "infinity"),
        (TEXT, "29.2.2024"),
        (TEXT, 5),
        (from_postgres("timestamp"), "2024-02-29T00:00:00Z"),
        (from_postgres("timestamp"), 9223372036854775807),
        (from_postgres("timestamptz"), "-infinity"),
    ],
)
def test_what_is_no_moment_is_refused(method: str, type_: Type | None, value: Any) -> None:
    assert refusal(masking(method, type_), value) in (Misfit.TYPE, Misfit.FORMAT, Misfit.RANGE)


def test_a_date_alone_has_nothing_to_cut_to_the_day() -> None:
    assert "can't be used on a column of this type" in problem(rule("c", "date", type="date"))
    assert refusal(masking("date", TEXT), "2024-02-29") is Misfit.FORMAT


@pytest.mark.parametrize("method", CUTS)
def test_a_rule_states_the_type(method: str) -> None:
    assert f"method {method} needs the column's type" in problem(rule("c", method))
    for type_ in ("integer", "time", "interval", "boolean"):
        assert "can't be used on a column of this type" in problem(rule("c", method, type=type_))


@pytest.mark.parametrize("earliest", [0, 10_000, "1935", 1935.5])
def test_the_earliest_year_is_a_year(earliest: Any) -> None:
    assert "earliest" in problem(rule("c", "year", type="date", earliest=earliest))


def test_what_shows_less_is_known() -> None:
    assert Year(earliest=1940).no_weaker_than(Year())
    assert Year(earliest=1940).no_weaker_than(Year(earliest=1930))
    assert not Year().no_weaker_than(Year(earliest=1930))
    assert not Year(earliest=1930).no_weaker_than(Year(earliest=1940))


def test_limits_of_nanoseconds_leave_out_the_infinities() -> None:
    assert limits(COLUMNS["timestamp as nanoseconds"]) == (-(2**63) + 1, 2**63 - 2)


def test_a_row_is_cut_and_fits_its_schema() -> None:
    """Through a whole masker, with an embedded schema and without."""
    row = {"born": 19782, "seen": "2024-02-29T12:34:56.5Z", "gone": None}
    types = {
        "born": {"type": "int32", "name": "io.debezium.time.Date", "version": 1},
        "seen": {"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1},
        "gone": {"type": "int32", "name": "io.debezium.time.Date", "version": 1, "optional": True},
    }
    rules = (
        rule("born", "year", type="date"),
        rule("seen", "date", type="timestamptz"),
        rule("gone", "month", type="date"),
    )
    expected = {"born": 19723, "seen": "2024-02-29T00:00:00.0Z", "gone": None}
    for value in (change(after=row), described(envelope_schema(types), change(after=row))):
        outcome = masker(*rules).mask(record(value))
        assert payload(outcome.value)["after"] == expected
    assert misfits(outcome.value) == []
