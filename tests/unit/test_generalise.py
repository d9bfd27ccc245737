"""`bucket`, `round`, `age`: one coarser number for all numbers around it, in each representation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Misfit
from cdc_masker.methods.generalise import Age, Bucket, Round, exact
from cdc_masker.methods.numbers import NUMERIC, rewriting
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.columns import big_endian, by_kind, values
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal

NUMERIC_TYPES = by_kind(*NUMERIC)
INT2, NUMERIC_10_2 = from_postgres("smallint"), from_postgres("numeric(10,2)")


@pytest.mark.parametrize(
    ("params", "number", "bound"),
    [
        ({"size": 10}, 0, 0),
        ({"size": 10}, 9, 0),
        ({"size": 10}, 10, 10),
        ({"size": 10}, -1, -10),
        ({"size": 10}, -10, -10),
        ({"size": 10, "offset": 5}, 14, 5),
        ({"size": 10, "offset": 5}, 4, -5),
        ({"size": 0.25}, 0.6, 0.5),
        ({"size": 0.1}, 0.3, 0.3),
        ({"size": 2.5}, 1e16, 1e16),
        ({"size": 10, "min": 18, "max": 65, "offset": 8}, 3, 18),
        ({"size": 10, "min": 18, "max": 65, "offset": 8}, 99, 58),
        ({"size": 10, "max": 60}, 60, 60),
        ({"size": 10, "max": 60}, 10**15, 60),
    ],
)
def test_a_number_becomes_the_lower_bound_of_its_bucket(params: dict[str, Any], number: float, bound: float) -> None:
    found = masking("bucket", **params)(number)
    assert found == bound
    assert type(found) is type(number)


@pytest.mark.parametrize(("method", "params"), [("round", {"digits": 0}), ("geo", {"degrees": 1}), ("age", {})])
@pytest.mark.parametrize("type_", [None, from_postgres("float8")])
def test_zero_does_not_tell_from_which_side(method: str, params: dict[str, Any], type_: Type | None) -> None:
    for number in (-0.0, 0.0) if method == "age" else (-0.3, -0.0, 0.3):
        assert str(masking(method, type_, **params)(number)) == "0.0"


@pytest.mark.parametrize(
    ("digits", "number", "rounded"),
    [(0, 2.5, 2.0), (0, 3.5, 4.0), (0, -2.5, -2.0), (1, 0.15, 0.2), (1, 0.25, 0.2), (3, 1.5, 1.5), (-2, 149, 100)],
)
def test_ties_are_rounded_to_even_digits_as_people_see_them(digits: int, number: float, rounded: float) -> None:
    assert masking("round", digits=digits)(number) == rounded


@pytest.mark.parametrize(
    ("params", "age", "pooled"),
    [({}, 0, 0), ({}, 89, 89), ({}, 89.9, 89.0), ({}, 90, 90), ({}, 107, 90), ({}, 10**18, 90), ({"pooled_above": 64}, 65, 65)],
)
def test_high_ages_are_pooled(params: dict[str, Any], age: float, pooled: float) -> None:
    assert masking("age", **params)(age) == pooled


@pytest.mark.parametrize("age", [-1, -0.5])
def test_nobody_is_of_a_negative_age(age: float) -> None:
    assert refusal(masking("age"), age) is Misfit.RANGE


@pytest.mark.parametrize(
    ("method", "params", "type_", "value", "expected"),
    [
        ("bucket", {"size": 1000}, from_postgres("numeric(12,2)"), big_endian(-1), big_endian(-100000)),
        ("bucket", {"size": 0.5}, from_postgres("numeric"), {"scale": 2, "value": big_endian(12345)},
         {"scale": 1, "value": big_endian(1230)}),
        ("bucket", {"size": 0.5}, TEXT, "123.450", "123.0"),
        ("round", {"digits": -1}, TEXT, "-4.5", "0"),
        ("round", {"digits": 1}, NUMERIC_10_2, big_endian(1225), big_endian(1220)),
        ("round", {"digits": -3}, from_postgres("numeric"), {"scale": 0, "value": big_endian(10**40 + 501)},
         {"scale": 0, "value": big_endian(10**40 + 1000)}),
        ("age", {}, from_postgres("real"), 33.7, 33.0),
        ("age", {}, TEXT, "101", "90"),
    ],
)  # fmt: skip
def test_the_representation_stays(method: str, params: dict[str, Any], type_: Type, value: Any, expected: Any) -> None:
    assert masking(method, type_, **params)(value) == expected


SAMPLES: dict[str, dict[str, Any]] = {"bucket": {"size": 7, "offset": -3}, "round": {"digits": -2}, "age": {"pooled_above": 50}}


@pytest.mark.parametrize("name", NUMERIC_TYPES)
@given(st.data())
def test_what_comes_out_is_one_for_all_around_it(name: str, data: st.DataObject) -> None:
    """Done twice, nothing changes; and the distance is less than a step."""
    type_ = NUMERIC_TYPES[name]
    value = data.draw(values(type_))
    number = _number(type_, value)
    for method, step in (("bucket", 7), ("round", 100)):
        function = masking(method, type_, **SAMPLES[method])
        try:
            once = function(value)
        except methods.Unmaskable as error:
            assert error.reason is Misfit.RANGE  # at the very edge of the type
            continue
        distance = number - _number(type_, once)
        if type_.base in ("float", "double") and abs(number) > 10**15:
            continue  # a double has no digits left for steps of that size
        assert function(once) == once
        assert 0 <= distance < step if method == "bucket" else abs(distance) <= step / 2


def _number(type_: Type, value: Any) -> Decimal:
    seen: list[Decimal] = []

    def look(number: Decimal) -> Decimal:
        seen.append(number)
        return number

    rewriting(type_)(value, look)
    return seen[0]


@pytest.mark.parametrize(("method", "params"), SAMPLES.items())
@pytest.mark.parametrize("value", ["canary", "NaN", True, [1], {"value": 1}])
def test_what_is_no_number_is_refused(method: str, params: dict[str, Any], value: Any) -> None:
    for type_ in (None, TEXT, INT2, NUMERIC_10_2):
        assert refusal(masking(method, type_, **params), value) in (Misfit.TYPE, Misfit.FORMAT, Misfit.RANGE)


def test_a_bound_past_the_type_is_out_of_range() -> None:
    assert refusal(masking("bucket", INT2, size=1000), -32768) is Misfit.RANGE
    assert refusal(masking("round", INT2, digits=-3), 32767) is Misfit.RANGE
    assert masking("bucket", INT2, size=1000, min=-32000)(-32768) == -32000


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("bucket", {}, "size"),
        ("bucket", {"size": 0}, "size"),
        ("bucket", {"size": -1}, "size"),
        ("bucket", {"size": "10"}, "size"),
        ("bucket", {"size": 10, "min": 5, "max": 5}, "params.min has to be below params.max"),
        ("bucket", {"size": float("inf")}, "size"),
        ("bucket", {"size": 10, "bounds": []}, "bounds"),
        ("round", {}, "digits"),
        ("round", {"digits": 1.5}, "digits"),
        ("round", {"digits": 31}, "digits"),
        ("age", {"pooled_above": 90}, "pooled_above"),
        ("age", {"pooled_above": -1}, "pooled_above"),
    ],
)
def test_parameters_are_refused_by_name(method: str, params: dict[str, Any], said: str) -> None:
    found = problem(rule("c", method, **params))
    assert said in found
    assert "rule crm.people.c" in found


@pytest.mark.parametrize("method", SAMPLES)
@pytest.mark.parametrize("type_", ["date", "timestamp", "interval", "boolean", "uuid", "point", "text[]"])
def test_columns_that_hold_no_number_are_refused(method: str, type_: str) -> None:
    assert "can't be used on a column of this type" in problem(rule("c", method, type=type_, **SAMPLES[method]))


@given(st.floats(-1e12, 1e12))
def test_a_parameter_is_the_number_that_the_policy_shows(number: float) -> None:
    assert exact(number) == Decimal(repr(number))


def test_what_shows_less_is_known() -> None:
    assert Bucket(size=100).no_weaker_than(Bucket(size=10))
    assert not Bucket(size=15).no_weaker_than(Bucket(size=10))
    assert not Bucket(size=100).no_weaker_than(Bucket(size=10, max=60))
    assert Round(digits=-1).no_weaker_than(Round(digits=2))
    assert not Round(digits=2).no_weaker_than(Round(digits=1))
    assert Age(pooled_above=64).no_weaker_than(Age())
    assert not Age().no_weaker_than(Age(pooled_above=64))


def test_a_row_is_generalised_and_fits_its_schema() -> None:
    """Through a whole masker, with an embedded schema and without."""
    row = {"salary": "BNI=", "years": 93, "score": 1.2345, "none": None}
    decimal = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}
    types: dict[str, dict[str, Any]] = {"salary": decimal, "years": {"type": "int16"}, "score": {"type": "double"}}
    schema = envelope_schema({**types, "none": {"type": "double", "optional": True}})
    rules = (
        rule("salary", "bucket", size=10, type="numeric(10,2)"),
        rule("years", "age"),
        rule("score", "round", digits=1),
        rule("none", "round", digits=1),
    )
    expected = {"salary": big_endian(1000), "years": 90, "score": 1.2, "none": None}
    plain = masker(*rules).mask(record(change(after=row)))
    assert payload(plain.value)["after"] == expected
    with_schema = masker(*rules).mask(record(described(schema, change(after=row))))
    assert misfits(with_schema.value) == []
    assert payload(with_schema.value)["after"] == expected


def test_nothing_of_a_parameter_is_told() -> None:
    with pytest.raises(PolicyError) as caught:
        methods.build(rule("c", "bucket", size="canary"))
    assert "canary" not in str(caught.value)
