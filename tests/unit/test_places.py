"""`postcode` and `geo`: roughly where, and nothing that tells more."""

from __future__ import annotations

import base64
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.methods import Misfit
from cdc_masker.methods.places import Geo, Postcode
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.columns import TYPES, big_endian, point, values
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal

POINT = from_postgres("point")


@pytest.mark.parametrize(
    ("params", "code", "beginning"),
    [
        ({"country": "US"}, "10001", "100"),
        ({"country": "US"}, "02139-4307", "021"),
        ({"country": "US"}, "02139 4307", "021"),
        ({"country": "US"}, "03601", "000"),
        ({"country": "US"}, "83199-1234", "000"),
        ({"country": "US", "length": 2}, "03601", "03"),
        ({"country": "US", "sparse": ["100"]}, "10001", "000"),
        ({"country": "US", "sparse": ["100"]}, "03601", "036"),
        ({"sparse": []}, "SW1A 1AA", "SW1"),
        ({"sparse": ["SW1"]}, "sw1a1aa", "000"),
        ({"sparse": [], "length": 2}, "8001", "80"),
        ({"sparse": ["80"], "length": 2}, "8001", "00"),
        ({"sparse": [], "length": 4}, "1012-AB", "1012"),
    ],
)
@pytest.mark.parametrize("type_", [None, TEXT])
def test_a_postcode_becomes_its_beginning(type_: Type | None, params: dict[str, Any], code: str, beginning: str) -> None:
    assert masking("postcode", type_, **params)(code) == beginning


@pytest.mark.parametrize("code", ["", "1", "100", "1000", "100011", "10001-", "10001-12", "1O001", "10001 ", "１0001", "ABCDE"])  # noqa: RUF001
def test_what_is_no_zip_code_is_refused(code: str) -> None:
    assert refusal(masking("postcode", country="US"), code) is Misfit.FORMAT


@pytest.mark.parametrize("code", ["", "SW1", "S-W 1", "SW1A 1AA 99999", "Straße 5", "ßß1234", "12.345", "١٢٣٤٥"])
def test_what_has_no_more_than_its_beginning_or_is_none_is_refused(code: str) -> None:
    assert refusal(masking("postcode", sparse=[]), code) is Misfit.FORMAT


@pytest.mark.parametrize("value", [10001, 1.5, True, ["10001"], {}])
def test_what_is_no_text_is_refused(value: Any) -> None:
    for function in (masking("postcode", country="US"), masking("postcode", sparse=[])):
        assert refusal(function, value) is Misfit.TYPE


@given(st.from_regex(r"[0-9]{5}(-[0-9]{4})?", fullmatch=True))
def test_no_more_than_three_digits_come_out(code: str) -> None:
    found = masking("postcode", country="US")(code)
    assert found in (code[:3], "000")
    assert (found == "000") == (code[:3] in SPARSE or code[:3] == "000")


# The guidance's own list of 17, in its order.
SPARSE = ["036", "692", "878", "059", "790", "879", "063", "821", "884", "102", "823", "890", "203", "830", "893", "556", "831"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (rule("c", "postcode"), "params.sparse has to list"),
        (rule("c", "postcode", length=2), "params.sparse has to list"),
        (rule("c", "postcode", country="US", length=4), "params.length is at most 3"),
        (rule("c", "postcode", country="DE"), "country"),
        (rule("c", "postcode", sparse=["80"]), "params.sparse holds"),
        (rule("c", "postcode", sparse=["sw1"]), "params.sparse holds"),
        (rule("c", "postcode", sparse=[801]), "sparse"),
        (rule("c", "postcode", sparse=[], length=0), "length"),
        (rule("c", "postcode", country="US", type="integer"), "can't be used on a column of this type"),
        (rule("c", "geo"), "degrees"),
        (rule("c", "geo", degrees=0), "degrees"),
        (rule("c", "geo", degrees=46), "degrees"),
        (rule("c", "geo", degrees=7), "params.degrees has to divide 90"),
        (rule("c", "geo", degrees=0.1, type="box"), "can't be used on a column of this type"),
        (rule("c", "geo", degrees=0.1, type="date"), "can't be used on a column of this type"),
    ],
)
def test_what_would_not_work_is_refused_by_name(stated: Any, said: str) -> None:
    assert said in problem(stated)


@pytest.mark.parametrize(
    ("degrees", "type_", "value", "expected"),
    [
        (0.1, from_postgres("float8"), 47.3769, 47.4),
        (0.1, from_postgres("float8"), -0.04, 0.0),
        (0.5, from_postgres("numeric(9,6)"), big_endian(8541694), big_endian(8500000)),
        (0.5, from_postgres("numeric"), {"scale": 4, "value": big_endian(473769)}, {"scale": 1, "value": big_endian(475)}),
        (0.01, TEXT, "-8.541694", "-8.54"),
        (10, from_postgres("smallint"), 47, 50),
        (0.1, None, 47.3769, 47.4),
        (0.1, None, point(47.3769, -8.5417), point(47.4, -8.5)),
        (0.1, POINT, point(47.3769, -8.5417), point(47.4, -8.5)),
        (45, POINT, point(90, -180), point(90, -180)),
        (0.1, POINT, {**point(47.3769, -8.5417), "wkb": None, "srid": 4326}, {**point(47.4, -8.5), "wkb": None, "srid": 4326}),
    ],
)
def test_a_place_becomes_the_nearest_of_the_grid(degrees: float, type_: Type | None, value: Any, expected: Any) -> None:
    assert masking("geo", type_, degrees=degrees)(value) == expected


@given(values(TYPES["point"]), st.sampled_from([0.001, 0.1, 1, 2.5, 45]))
def test_a_point_says_the_same_in_all_its_members(value: dict[str, Any], degrees: float) -> None:
    found = masking("geo", POINT, degrees=degrees)(value)
    order, kind, x, y = struct.unpack("<BIdd", base64.b64decode(found["wkb"]))
    assert (order, kind) == (1, 1)
    assert (x, y) == (found["x"], found["y"])
    for before, after in ((value["x"], x), (value["y"], y)):
        assert abs(Decimal(repr(before)) - Decimal(repr(after))) <= Decimal(repr(degrees)) / 2
        assert Decimal(repr(after)) % Decimal(repr(degrees)) == 0
    assert masking("geo", POINT, degrees=degrees)(found) == found


@given(st.floats(-90, 90), st.sampled_from([0.01, 0.5, 9, 22.5]))
def test_nothing_leaves_the_world(latitude: float, degrees: float) -> None:
    assert -90 <= masking("geo", degrees=degrees)(latitude) <= 90


@pytest.mark.parametrize(
    "value",
    [
        {"x": 1.5, "y": 2.5},
        {**point(1.5, 2.5), "more": "canary"},
        {**point(1.5, 2.5), "x": "canary"},
        {**point(1.5, 2.5), "y": None},
        {**point(1.5, 2.5), "x": "NaN"},
        {**point(1.5, 2.5), "srid": "canary"},
        {**point(1.5, 2.5), "srid": -1},
        {**point(1.5, 2.5), "srid": True},
        "(1.5,2.5)",
        [1.5, 2.5],
        None,
    ],
)
@pytest.mark.parametrize("type_", [POINT, None])
def test_what_is_no_point_is_refused(type_: Type | None, value: Any) -> None:
    assert refusal(masking("geo", type_, degrees=0.1), value) in (Misfit.TYPE, Misfit.RANGE)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (from_postgres("float8"), 360.5),
        (from_postgres("float8"), -1e300),
        (from_postgres("numeric(30,2)"), big_endian(10**29)),
        (TEXT, "123456789012345"),
        (POINT, point(47.3, 2_600_000.5)),
        (None, point(1_200_000.5, 2.5)),
    ],
)
def test_what_are_no_degrees_is_refused(type_: Type | None, value: Any) -> None:
    """Of a large number the grid would hide its last digits only."""
    assert refusal(masking("geo", type_, degrees=0.5), value) is Misfit.RANGE


def test_the_old_binary_form_is_never_passed() -> None:
    found = masking("geo", POINT, degrees=0.1)({**point(1.5, 2.5), "wkb": "canary"})
    assert found == point(1.5, 2.5)


def test_what_shows_less_is_known() -> None:
    assert Geo(degrees=1).no_weaker_than(Geo(degrees=0.1))
    assert not Geo(degrees=0.1).no_weaker_than(Geo(degrees=1))
    assert Postcode(sparse=("801", "802")).no_weaker_than(Postcode(sparse=("801",)))
    assert not Postcode(sparse=("801",)).no_weaker_than(Postcode(sparse=("801", "802")))
    assert not Postcode(country="US").no_weaker_than(Postcode(country="US", length=2))


def test_a_row_is_masked_and_fits_its_schema() -> None:
    """Through a whole masker, with an embedded schema and without."""
    optional = {"optional": True}
    fields = [
        {"type": "double", "optional": False, "field": "x"},
        {"type": "double", "optional": False, "field": "y"},
        {"type": "bytes", **optional, "field": "wkb"},
        {"type": "int32", **optional, "field": "srid"},
    ]
    types: dict[str, dict[str, Any]] = {
        "at": {"type": "struct", "fields": fields, "name": "io.debezium.data.geometry.Point", "version": 1},
        "zip": {"type": "string"},
        "none": {"type": "string", **optional},
    }
    row = {"at": point(47.3769, -8.5417), "zip": "02139-4307", "none": None}
    rules = (
        rule("at", "geo", degrees=0.1),
        rule("zip", "postcode", country="US"),
        rule("none", "postcode", country="US"),
    )
    for value in (change(after=row), described(envelope_schema(types), change(after=row))):
        outcome = masker(*rules).mask(record(value))
        assert payload(outcome.value)["after"] == {"at": point(47.4, -8.5), "zip": "021", "none": None}
    assert misfits(outcome.value) == []
