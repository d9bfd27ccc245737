"""Numbers are read exactly in each representation, and what can't be one is refused without being shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.kinds import Kind
from cdc_masker.methods import Misfit, Unmaskable
from cdc_masker.methods.numbers import NUMERIC, Change, limits, rewriting
from cdc_masker.schemas import Type, from_postgres
from tests.unit.columns import TYPES, big_endian, by_kind, values

TEXT = Type(base="string")
NUMERIC_TYPES = by_kind(*NUMERIC)


def named(name: str) -> Type:
    found = from_postgres(name)
    assert found is not None
    return found


def to(number: str) -> Change:
    return lambda _: Decimal(number)


def refused(type_: Type | None, value: Any, change: Change = lambda number: number) -> Misfit:
    with pytest.raises(Unmaskable) as caught:
        rewriting(type_)(value, change)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.reason


# As Debezium 3.7.0 wrote these numbers.
@pytest.mark.parametrize(
    ("type_", "value", "number"),
    [
        (named("smallint"), -32768, "-32768"),
        (named("bigint"), 9223372036854775807, "9223372036854775807"),
        (named("real"), 1.1, "1.1"),
        (named("double precision"), 5e-324, "5e-324"),
        (named("double precision"), 100.0, "100"),
        (named("numeric(10,2)"), "BNI=", "12.34"),
        (named("money"), "/w==", "-0.01"),
        (named("money"), "nA==", "-1.00"),
        (named("numeric"), {"scale": 2, "value": "MDk="}, "123.45"),
        (named("numeric"), {"scale": 20, "value": "/w=="}, "-1e-20"),
        (named("numeric"), {"scale": 0, "value": "HWMp8cNcpL+rufVhAAAAAAA="}, "1e40"),
        (TEXT, "123.450", "123.450"),
        (TEXT, "-0.00000000000000000001", "-1e-20"),
        (None, 7, "7"),
        (None, 1.5, "1.5"),
    ],
)
def test_a_number_is_read_exactly(type_: Type | None, value: Any, number: str) -> None:
    seen: list[Decimal] = []

    def look(given: Decimal) -> Decimal:
        seen.append(given)
        return given

    assert rewriting(type_)(value, look) == value
    assert seen == [Decimal(number)]


@pytest.mark.parametrize("name", NUMERIC_TYPES)
@given(st.data())
def test_what_is_not_changed_stays_the_same(name: str, data: st.DataObject) -> None:
    type_ = NUMERIC_TYPES[name]
    value = data.draw(values(type_))
    written = rewriting(type_)(value, lambda number: number)
    assert type(written) is type(value)
    assert written == value


@pytest.mark.parametrize(
    ("type_", "value", "number", "written"),
    [
        (named("integer"), 5, "7.5", 8),
        (named("integer"), 5, "6.5", 6),
        (named("numeric(10,2)"), "BNI=", "-1.285", big_endian(-128)),
        (named("numeric(10,2)"), "BNI=", "-1.29", big_endian(-129)),
        (named("numeric"), {"scale": 2, "value": "MDk="}, "12e2", {"scale": 0, "value": big_endian(1200)}),
        (named("numeric"), {"scale": 0, "value": "MDk="}, "0.125", {"scale": 3, "value": big_endian(125)}),
        (TEXT, "1", "12e2", "1200"),
        (TEXT, "1", "-0", "0"),
        (None, 1, "2.5", 2),
        (None, 1.0, "2", 2.0),
    ],
)
def test_a_new_number_is_written_as_the_column_can_hold_it(type_: Type | None, value: Any, number: str, written: Any) -> None:
    result = rewriting(type_)(value, to(number))
    assert result == written
    assert type(result) is type(written)


@pytest.mark.parametrize(
    ("type_", "value", "beyond"),
    [
        (named("smallint"), 1, "32767.5"),
        (named("integer"), 1, "-2147483649"),
        (named("bigint"), 1, "9223372036854775808"),
        (named("real"), 1.0, "3.5e38"),
        (named("double precision"), 1.0, "-1.8e308"),
        (named("numeric(4,2)"), "BNI=", "100"),
        (named("numeric(4,2)"), "BNI=", "99.995"),
        (named("numeric(3,-2)"), "AQ==", "1e5"),
        (None, 1, "1e19"),
        (None, 1.0, "1e309"),
    ],
)
def test_a_new_number_past_the_range_is_refused(type_: Type | None, value: Any, beyond: str) -> None:
    assert refused(type_, value, to(beyond)) is Misfit.RANGE


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (named("smallint"), 32768, Misfit.RANGE),
        (named("integer"), "1", Misfit.TYPE),
        (named("integer"), 1.0, Misfit.TYPE),
        (named("integer"), True, Misfit.TYPE),
        (named("real"), 1e39, Misfit.RANGE),
        (named("real"), "NaN", Misfit.RANGE),
        (named("double precision"), "-Infinity", Misfit.RANGE),
        (named("double precision"), "1.5", Misfit.TYPE),
        (named("double precision"), [1], Misfit.TYPE),
        (named("double precision"), False, Misfit.TYPE),
        (named("numeric(10,2)"), 1.5, Misfit.TYPE),
        (named("numeric(10,2)"), "", Misfit.FORMAT),
        (named("numeric(10,2)"), "BNI", Misfit.FORMAT),
        (named("numeric(10,2)"), "BN*=", Misfit.FORMAT),
        (named("numeric(10,2)"), "ÄÖ==", Misfit.FORMAT),
        (named("numeric"), "BNI=", Misfit.TYPE),
        (named("numeric"), {"scale": "2", "value": "MDk="}, Misfit.TYPE),
        (named("numeric"), {"scale": 2, "value": 12345}, Misfit.TYPE),
        (named("numeric"), {"scale": 2}, Misfit.TYPE),
        (named("numeric"), {"scale": 2, "value": "MDk=", "more": 1}, Misfit.TYPE),
        (named("numeric"), {"scale": 10**9, "value": "MDk="}, Misfit.RANGE),
        (named("numeric"), {"scale": 0, "value": big_endian(10**1000)}, Misfit.RANGE),
        (named("numeric"), {"scale": 0, "value": "A" * 4000}, Misfit.RANGE),
        (TEXT, 5, Misfit.TYPE),
        (TEXT, "", Misfit.FORMAT),
        (TEXT, "1e5", Misfit.FORMAT),
        (TEXT, " 1", Misfit.FORMAT),
        (TEXT, "\u0661", Misfit.FORMAT),
        (TEXT, "1.", Misfit.FORMAT),
        (TEXT, "NAN", Misfit.RANGE),
        (TEXT, "POSITIVE_INFINITY", Misfit.RANGE),
        (TEXT, "9" * 3000, Misfit.RANGE),
        (None, "5", Misfit.TYPE),
        (None, {"scale": 0, "value": "AQ=="}, Misfit.TYPE),
        (None, 2**63, Misfit.RANGE),
        (named("boolean"), True, Misfit.TYPE),
        (named("date"), 5, Misfit.TYPE),
    ],
)
def test_what_is_no_number_of_the_type_is_refused(type_: Type | None, value: Any, reason: Misfit) -> None:
    assert refused(type_, value) is reason


@pytest.mark.parametrize("parameters", [(), (("scale", "9" * 5000),), (("scale", "1001"),)])
def test_a_decimal_whose_schema_states_no_scale_that_can_be_is_refused(parameters: tuple[tuple[str, str], ...]) -> None:
    type_ = Type(base="bytes", name="org.apache.kafka.connect.data.Decimal", parameters=parameters)
    assert refused(type_, "AQ==") is Misfit.TYPE
    assert limits(type_) is None


def test_limits_are_those_of_the_type() -> None:
    assert limits(named("smallint")) == (Decimal(-32768), Decimal(32767))
    assert limits(named("numeric(4,2)")) == (Decimal("-99.99"), Decimal("99.99"))
    assert limits(named("numeric(3,-2)")) == (Decimal(-99900), Decimal(99900))
    assert {limits(type_) for type_ in (None, TEXT, named("numeric"), named("money"), named("date"))} == {None}
    assert all(limits(type_) is None for type_ in TYPES.values() if type_ not in NUMERIC_TYPES.values())


@given(st.one_of(st.none(), st.text(), st.booleans(), st.lists(st.integers()), st.dictionaries(st.text(), st.integers())))
def test_no_value_of_another_kind_comes_through(value: Any) -> None:
    for name in ("integer", "double precision", "numeric"):
        assert refused(named(name), value) in (Misfit.TYPE, Misfit.RANGE)


@given(values(TYPES["numeric_scaled"]))
def test_numbers_that_a_change_gets_are_within_the_limits(value: str) -> None:
    type_ = TYPES["numeric_scaled"]
    least, greatest = limits(type_) or (Decimal(0), Decimal(0))
    assert rewriting(type_)(value, lambda number: min(max(number, least), greatest)) == value


def test_kinds_that_are_numbers_are_not_dates() -> None:
    assert NUMERIC.isdisjoint((Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.INTERVAL))
