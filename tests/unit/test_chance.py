"""`random` and `noise`: another value at each position, the same one on a replay, within what the rule says."""

from __future__ import annotations

import base64
import re
import uuid
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import Column, Context, Contextual, Unmaskable, numbers, times
from cdc_masker.methods.fresh import Random
from cdc_masker.methods.noise import Noise
from cdc_masker.methods.numbers import NUMERIC
from cdc_masker.policies import Rule
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, change, described, envelope_schema, masker, payload, record, rule
from tests.unit.columns import big_endian, by_kind, values
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, problem

UUID, BOOLEAN = from_postgres("uuid"), from_postgres("boolean")
INT2, INT4, INT8, FLOAT8 = (from_postgres(name) for name in ("smallint", "integer", "bigint", "float8"))
RANDOM_TYPES = by_kind(*Random.kinds)
NOISY_TYPES = by_kind(*Noise.kinds - {Kind.TEXT})
DISTRIBUTIONS: list[dict[str, Any]] = [{"distribution": "uniform"}, {"distribution": "laplace", "scale": 0.5}]
BOUNDS: dict[str, Any] = {"min": -5, "max": 100, "digits": 2}


def drawn(method: str, value: Any, type_: Type | None = None, *, offset: int = 1, own: str = "own", **params: Any) -> Any:
    """What becomes of a value at that offset."""
    transform = methods.build(rule("c", method, **params)).compile(Column(place="c", type=type_, domain=own), KEYS)
    assert isinstance(transform, Contextual)
    return transform.function(value, Context("t", 0, offset, place="after"))


def many(method: str, value: Any, type_: Type | None = None, *, count: int = 300, **params: Any) -> list[Any]:
    return [drawn(method, value, type_, offset=offset, **params) for offset in range(count)]


def test_a_text_becomes_32_hex_digits_and_a_uuid_one_of_version_8() -> None:
    for token in many("random", "anything", TEXT):
        assert re.fullmatch("[0-9a-f]{32}", token)
    for text in many("random", "93370f70-9f20-4a82-89ba-0f80e2dd4f58", UUID):
        assert uuid.UUID(text).version == 8
        assert uuid.UUID(text).variant == uuid.RFC_4122
        assert str(uuid.UUID(text)) == text
    assert len(set(many("random", "anything", TEXT))) == len(set(many("random", str(uuid.UUID(int=1)), UUID))) == 300


@pytest.mark.parametrize(("type_", "half"), [(INT2, 1 << 15), (INT4, 1 << 31), (INT8, 1 << 63), (None, 1 << 63)])
def test_an_integer_is_any_of_its_type(type_: Type | None, half: int) -> None:
    found = many("random", 5, type_)
    assert all(type(number) is int and -half <= number < half for number in found)
    quarters = Counter((number + half) * 4 // (2 * half) for number in found)
    assert min(quarters[part] for part in range(4)) > 40


@pytest.mark.parametrize(
    ("type_", "value", "params", "expected"),
    [
        (INT2, 7, {"min": 1, "max": 3}, {1, 2, 3}),
        (INT2, 7, {"min": 0.5, "max": 3.9}, {1, 2, 3}),
        (INT2, 7, {"min": 32766}, {32766, 32767}),
        (INT2, 7, {"max": -32767}, {-32768, -32767}),
        (None, 7, {"min": 1, "max": 3, "digits": 5}, {1, 2, 3}),
        (None, 7.5, {"min": 1, "max": 2, "digits": 1}, {n / 10 for n in range(10, 21)}),
        (FLOAT8, 7.5, {"min": -1, "max": 1}, {-1.0, 0.0, 1.0}),
        (from_postgres("numeric(4,1)"), "AQ==", {"min": 0, "max": 0.2}, {big_endian(n) for n in (0, 1, 2)}),
        (from_postgres("numeric(2,1)"), "AQ==", {"min": 9.8, "max": 100}, {big_endian(n) for n in (98, 99)}),
        (BOOLEAN, True, {}, {True, False}),
        (None, False, {}, {True, False}),
    ],
)
def test_each_number_between_the_bounds_comes_up(type_: Type | None, value: Any, params: dict[str, Any], expected: Any) -> None:
    found = Counter(many("random", value, type_, **params))
    assert set(found) == expected
    assert min(found.values()) > 300 / len(expected) / 3


def test_a_decimal_of_variable_scale_has_the_digits_of_the_rule() -> None:
    found = many("random", {"scale": 0, "value": "AQ=="}, from_postgres("numeric"), min=0, max=1, digits=1)
    assert {each["scale"] for each in found} == {1}
    assert {each["value"] for each in found} == {big_endian(n) for n in range(11)}


@pytest.mark.parametrize("name", NOISY_TYPES)
@given(st.data())
def test_noise_stays_within_its_bound_and_the_type(name: str, data: st.DataObject) -> None:
    type_ = NOISY_TYPES[name]
    value, offset = data.draw(values(type_)), data.draw(st.integers(0, 2**40))
    params: dict[str, Any] = data.draw(
        st.sampled_from([{"distribution": "uniform"}, {"distribution": "laplace", "scale": 0.5}])
    )
    bound = 2.0
    before = _measure(type_, value)
    if kind_of(type_) is Kind.FLOAT and abs(before) > Decimal(bound) * (1 << (16 if type_.base == "float" else 45)):
        with pytest.raises(Unmaskable):
            drawn("noise", value, type_, offset=offset, bound=bound, **params)
        return
    found = drawn("noise", value, type_, offset=offset, bound=bound, **params)
    after = _measure(type_, found)
    slack = Decimal(1) if kind_of(type_) in (Kind.TIME, Kind.TIMESTAMP) else Decimal(0)  # what is below its last digit
    assert abs(after - before) <= Decimal(repr(bound)) + slack
    assert drawn("noise", value, type_, offset=offset, bound=bound, **params) == found


def _measure(type_: Type, value: Any) -> Decimal:
    """In units of the bound, by the readers that are tested elsewhere."""
    seen: list[Any] = []

    def look(given: Any) -> Any:
        seen.append(given)
        return given

    if kind_of(type_) in NUMERIC:
        numbers.rewriting(type_)(value, look)
        return Decimal(seen[0])
    times.rewriting(type_)(value, look)
    return Decimal(seen[0]) / (times.DAY if kind_of(type_) is Kind.DATE else times.SECOND)


@pytest.mark.parametrize("bound", [1, 2.6, 10])
@pytest.mark.parametrize("params", [{"distribution": "uniform"}, {"distribution": "laplace", "scale": 0.9}])
def test_noise_goes_both_ways_and_reaches_no_further(bound: float, params: dict[str, Any]) -> None:
    found = Counter(many("noise", 1000, INT4, bound=bound, count=1000, **params))
    assert {999, 1000, 1001} <= set(found)
    assert all(abs(number - 1000) <= bound for number in found)
    assert abs(sum((number - 1000) * count for number, count in found.items())) < 400 * bound
    if bound == 10:
        assert len(found) == 21 if params["distribution"] == "uniform" else found[1000] > 300 > found[1003]


def test_noise_on_a_fraction_has_digits_enough_to_move_it() -> None:
    assert len(set(many("noise", 47.5, FLOAT8, distribution="uniform", bound=0.01))) > 50
    assert len(set(many("noise", "47", TEXT, distribution="uniform", bound=0.01))) > 50
    assert all(re.fullmatch(r"4[67]\.\d{4}", each) for each in many("noise", "47", TEXT, distribution="uniform", bound=0.01))
    assert all(re.fullmatch(r"-?\d+", each) for each in many("noise", "4700", TEXT, distribution="uniform", bound=5000))


@pytest.mark.parametrize(
    ("type_", "value"),
    [(INT2, 32767), (INT2, -32768), (from_postgres("numeric(3,1)"), big_endian(999)), (from_postgres("date"), 2932896)],
)
def test_noise_at_the_end_of_a_type_is_clipped(type_: Type, value: Any) -> None:
    found = Counter(many("noise", value, type_, distribution="uniform", bound=5))
    assert found[value] > 100
    assert len(found) > 4


def test_a_draw_depends_on_column_topic_partition_offset_place_and_count() -> None:
    transform = methods.build(rule("c", "random")).compile(Column(place="c", type=TEXT, domain="own"), KEYS)
    assert isinstance(transform, Contextual)
    places = [("t", 0, 1, "after"), ("u", 0, 1, "after"), ("t", 1, 1, "after"), ("t", 0, 2, "after"), ("t", 0, 1, "before")]
    contexts = [Context(topic, partition, offset, place=place) for topic, partition, offset, place in places]
    found = [transform.function("x", context) for context in contexts]
    again = transform.function("x", contexts[0])
    assert len({*found, again, drawn("random", "x", TEXT, own="other")}) == 7
    assert found[0] == drawn("random", "y", TEXT)


@pytest.mark.parametrize("name", RANDOM_TYPES)
@given(st.data())
def test_what_was_there_decides_nothing(name: str, data: st.DataObject) -> None:
    type_ = RANDOM_TYPES[name]
    one, other = data.draw(values(type_)), data.draw(values(type_))
    assert drawn("random", one, type_, **BOUNDS) == drawn("random", other, type_, **BOUNDS)


@pytest.mark.parametrize(
    ("method", "params"), [("random", BOUNDS), ("random", {}), ("noise", {"distribution": "uniform", "bound": 5})]
)
@pytest.mark.parametrize("value", [None, [1], {"value": 1}, {"scale": 0, "value": "canary"}])
def test_what_is_no_value_of_the_type_is_refused(method: str, params: dict[str, Any], value: Any) -> None:
    types = [None, INT2, FLOAT8, TEXT, *([UUID, BOOLEAN] if method == "random" else NOISY_TYPES.values())]
    for type_ in types:
        with pytest.raises(Unmaskable):
            drawn(method, value, type_, **params)


def test_another_scalar_than_the_type_s_is_refused() -> None:
    for type_, value in ((TEXT, 5), (UUID, 5), (BOOLEAN, 1), (INT2, "5"), (INT2, True), (FLOAT8, "5"), (None, 1.5)):
        with pytest.raises(Unmaskable):
            drawn("random", value, type_)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (rule("c", "random", min=5, max=5), "params.min has to be below params.max"),
        (rule("c", "random", type="numeric"), "params.min and params.max"),
        (rule("c", "random", type="real", min=1), "params.min and params.max"),
        (rule("c", "random", type="smallint", min=40000), "params.min and params.max"),
        (rule("c", "random", type="integer", min=1.2, max=1.8), "params.min and params.max"),
        (rule("c", "random", type="float8", min=-1e300, max=1e300), "at most 2^128"),
        (rule("c", "random", type="numeric", min=0, max=1e10, digits=30), "at most 2^128"),
        (rule("c", "random", type="date"), "can't be used on a column of this type"),
        (rule("c", "random", digits=31), "digits"),
        (rule("c", "random", distribution="uniform"), "distribution"),
        (rule("c", "noise", distribution="uniform", bound=5), "needs the column's type"),
        (rule("c", "noise", type="integer", bound=5), "distribution"),
        (rule("c", "noise", type="integer", distribution="normal", bound=5), "distribution"),
        (rule("c", "noise", type="integer", distribution="uniform"), "bound"),
        (rule("c", "noise", type="integer", distribution="uniform", bound=0), "bound"),
        (rule("c", "noise", type="integer", distribution="uniform", bound=5, scale=1), "params.scale"),
        (rule("c", "noise", type="integer", distribution="laplace", bound=5), "params.scale"),
        (rule("c", "noise", type="integer", distribution="laplace", bound=5, scale=5), "params.scale"),
        (rule("c", "noise", type="integer", distribution="uniform", bound=0.5), "params.bound"),
        (rule("c", "noise", type="date", distribution="uniform", bound=0.5), "params.bound"),
        (rule("c", "noise", type="interval", distribution="uniform", bound=5), "can't be used on a column of this type"),
        (rule("c", "noise", type="boolean", distribution="uniform", bound=5), "can't be used on a column of this type"),
    ],
)
def test_what_would_not_work_is_refused_by_name(stated: Any, said: str) -> None:
    assert said in problem(stated)


def test_what_shows_less_is_known() -> None:
    assert Random().no_weaker_than(Random(min=1, max=2))
    uniform = Noise(distribution="uniform", bound=5)
    assert Noise(distribution="uniform", bound=6).no_weaker_than(uniform)
    assert not uniform.no_weaker_than(Noise(distribution="uniform", bound=6))
    assert not Noise(distribution="laplace", bound=6, scale=5).no_weaker_than(uniform)
    assert not Noise(distribution="laplace", bound=9, scale=1).no_weaker_than(Noise(distribution="laplace", bound=8, scale=2))


@pytest.mark.parametrize("params", DISTRIBUTIONS)
@pytest.mark.parametrize(
    ("type_", "unscaled", "bound", "zeros"),
    [
        (from_postgres("numeric(60,30)"), 53217 * 10**30 + 987654321987654321987654321987, 5000, 22),
        (from_postgres("numeric(38,0)"), 12345678901234567890123456789012345678, 1e30, 19),
        (from_postgres("numeric(38,24)"), 53217 * 10**24, 0.9, 12),
    ],
)
def test_no_digit_shows_of_which_draw_the_noise_was_made(
    type_: Type, unscaled: int, bound: float, zeros: int, params: dict[str, Any]
) -> None:
    """With 24 digits behind the point, one number within the bound is left that a draw of 64 bits can have moved there."""
    for found in many("noise", big_endian(unscaled), type_, bound=bound, count=20, **params):
        seen = int.from_bytes(base64.b64decode(found), "big", signed=True)
        assert seen % 10**zeros == 0
        assert abs(seen - unscaled) <= bound * 10 ** int(dict(type_.parameters)["scale"])


def test_distances_are_the_same_on_every_machine() -> None:
    """Golden: more digits of a logarithm than every libm has alike."""
    zero = "0." + 26 * "0"
    assert many("noise", zero, TEXT, count=3, distribution="laplace", bound=50, scale=7) == [
        "16.2850345808",
        "1.6477928820",
        "-35.7815469554",
    ]


def test_a_row_is_masked_and_fits_its_schema() -> None:
    """Through a whole masker, with an embedded schema and without; on a replay byte by byte the same."""
    row = {"id": 7, "score": 3.25, "born": 19782, "flag": True, "none": None, "name": "canary"}
    schema = envelope_schema(
        {
            "id": {"type": "int32"},
            "score": {"type": "double"},
            "born": {"type": "int32", "name": "io.debezium.time.Date", "version": 1},
            "flag": {"type": "boolean"},
            "none": {"type": "int32", "optional": True},
            "name": {"type": "string"},
        }
    )
    rules = (
        rule("id", "random"),
        rule("score", "random", min=0, max=9.99, digits=2),
        rule("born", "noise", type="date", distribution="uniform", bound=30),
        rule("flag", "random"),
        rule("none", "random"),
        rule("name", "random"),
    )
    for value in (change(after=row), described(schema, change(before=row, after=row))):
        outcome = masker(*rules).mask(record(value))
        assert outcome == masker(*rules).mask(record(value))
        after = payload(outcome.value)["after"]
        assert after != payload(masker(*rules).mask(record(value, offset=42)).value)["after"]
        assert after["none"] is None
        assert abs(after["born"] - 19782) <= 30
    assert misfits(outcome.value) == []
    both = payload(outcome.value)
    assert both["before"]["name"] != both["after"]["name"]


@pytest.mark.parametrize(("type_name", "value"), [("double precision", 1.2345678e22), ("real", 3.0e9), (None, 1.2345678e22)])
def test_a_number_that_noise_would_leave_as_it_is_is_redacted(type_name: str | None, value: float) -> None:
    raw = record(change(after={"n": {"x": value} if type_name is None else value}))
    decided = Rule(
        schema="crm",
        table="people",
        column="n",
        type=type_name,
        method="noise",
        path="$.x" if type_name is None else None,
        params={"distribution": "uniform", "bound": 1},
    )
    outcome = masker(decided).mask(raw)
    assert str(value) not in str(outcome.value)
    assert outcome.misfits
