"""Rows keep the shape in which their generation began, and show no more than the newest policy lets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_masker import steady
from cdc_masker.comparison import compare
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.events import Fate, Outcome
from cdc_masker.keys.bundles import needed
from cdc_masker.methods import Constant, Drop, Keep
from cdc_masker.pipeline import HEADER, Masker
from cdc_masker.policies import EMPTY, Policy, Rule, TableDefault
from cdc_masker.schemas import from_postgres
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, rule

TYPES: dict[str, dict[str, Any]] = {
    "id": {"type": "int64"},
    "a": {"type": "string"},
    "b": {"type": "int32", "optional": True},
    "c": {"type": "string", "name": "io.debezium.data.Uuid", "version": 1},
}
ROW = {"id": 7, "a": "Wilhelmina", "b": 41, "c": "5e2b0f1c-3a53-4f8e-9f0f-0d6a3c1c7b11"}
STATED = {"id": "int8", "a": "text", "b": "int4", "c": "uuid"}


def masked(row: dict[str, Any], policy: Policy, began: Policy | None = None, *, schema: bool = True) -> Outcome:
    event: Any = change(after=row)
    if schema:
        event = described(envelope_schema({name: TYPES[name] for name in row}), event)
    return Masker(policy, KEYS, began=began).mask(record(event))


def after(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = payload(outcome.value)["after"]
    return found


def of(version: int, *rules: Rule, default: str = "redact") -> Policy:
    tables = [] if default == "redact" else [TableDefault(schema="crm", table="people", default=default)]  # type: ignore[arg-type]
    return Policy.of(version, rules=rules, tables=tables)


def test_a_column_that_leaves_the_rows_stays_and_is_redacted() -> None:
    began, now = of(1, rule("a", "keep"), rule("b", "keep")), of(3, rule("a", "drop"), rule("b", "drop"))
    assert after(masked(ROW, began)) == {"id": 0, "a": "Wilhelmina", "b": 41, "c": "00000000-0000-0000-0000-000000000000"}
    assert after(masked(ROW, now, began)) == {"id": 0, "a": "", "b": None, "c": "00000000-0000-0000-0000-000000000000"}
    assert after(masked(ROW, now)) == {"id": 0, "c": "00000000-0000-0000-0000-000000000000"}
    assert after(masked(ROW, now, began, schema=False)) == dict.fromkeys(ROW)  # no type is known


def test_a_column_that_comes_back_stays_away() -> None:
    began, now = of(1, rule("a", "drop")), of(2, rule("a", "keep"))
    for schema in (True, False):
        assert "a" not in after(masked(ROW, now, began, schema=schema))
        assert after(masked(ROW, now, schema=schema))["a"] == "Wilhelmina"


def test_a_column_that_gets_another_type_is_redacted_in_its_own() -> None:
    began, now = of(1, rule("c", "keep")), of(2, rule("c", "encrypt"))
    assert after(masked(ROW, now, began))["c"] == "00000000-0000-0000-0000-000000000000"
    began, now = of(1, rule("b", "encrypt", type="int4")), of(2, rule("b", "keep", type="int4"))
    assert after(masked(ROW, now, began, schema=False))["b"] == ""  # a number stood there as text


def test_what_keeps_the_shape_is_masked_as_the_new_version_says() -> None:
    began, now = of(1, rule("a", "keep"), rule("b", "keep")), of(2, rule("a", "tokenize"), rule("b", "drop"))
    assert after(masked(ROW, now, began))["a"] == after(masked(ROW, now))["a"] != "Wilhelmina"
    # That the source restates a type is not the policy's doing.
    began, now = of(1, rule("b", "keep", type="int2")), of(2, rule("b", "keep", type="int4"))
    assert after(masked(ROW, now, began, schema=False))["b"] == 41


def test_a_column_whose_records_were_quarantined_had_no_shape() -> None:
    began, now = of(1, default="quarantine"), of(2, *(rule(name, "keep") for name in ROW))
    assert masked(ROW, began).fate is Fate.QUARANTINED
    assert after(masked(ROW, now, began)) == ROW


def test_a_key_column_without_its_shape_quarantines_the_record() -> None:
    began, now = of(1, rule("id", "keep", type="int8")), of(2, rule("id", "encrypt", type="int8"))
    for later, fate in ((now, Fate.QUARANTINED), (of(2, rule("id", "tokenize", type="int8")), Fate.MASKED)):
        outcome = Masker(later, KEYS, began=began).mask(record(change(after=ROW), {"id": 7}))
        assert (outcome.fate, outcome.place) == (fate, "key.id" if fate is Fate.QUARANTINED else None)
    # Where the first decision could not stand in a key, nothing was published that had a shape.
    unfit = of(1, rule("id", "drop"))
    assert Masker(now, KEYS, began=unfit).mask(record(change(after=ROW), {"id": 7})).fate is Fate.MASKED


def test_a_record_tells_whose_shape_it_has() -> None:
    header = dict(masked(ROW, of(3), of(1)).headers)[HEADER]
    assert header == b"v=1;p=2;o=41;g=1;pv=3;ke=1;sv=1"
    for began in (None, of(3)):
        assert dict(masked(ROW, of(3), began).headers)[HEADER] == b"v=1;p=2;o=41;g=1;pv=3;ke=1"


def test_columns_that_are_withheld_are_told_by_topic() -> None:
    masker = Masker(of(2, rule("a", "drop"), rule("b", "keep")), KEYS, began=of(1, rule("b", "drop")))
    assert masker.withheld() == {}
    masker.mask(record(change(after=ROW)))
    assert masker.withheld() == {"shop.crm.people": {"a", "b"}}


def test_a_shape_takes_no_keys() -> None:
    began, now = of(1, rule("a", "tokenize")), of(2, rule("a", "keep"))
    bundle = needed(now)

    class Only:
        def derive(self, method: str, domain: str, epoch: int) -> bytes:
            assert (epoch, method, domain) in bundle
            return bytes(32)

    Masker(now, Only(), began=began)


@pytest.mark.parametrize(
    ("began", "wanted", "held"),
    [
        (Drop(), Keep(), Drop()),
        (Keep(), Drop(), Constant(None, None)),
        (Keep(), Constant(None, from_postgres("text")), Constant(None, from_postgres("text"))),
    ],
)
def test_without_a_type_only_presence_is_known(began: Any, wanted: Any, held: Any) -> None:
    assert steady.in_shape_of(began, wanted, None) == held


_METHODS = st.sampled_from(["keep", "redact", "null", "drop", "tokenize", "encrypt"])


@st.composite
def policies(draw: st.DrawFn, version: int) -> Policy:
    rules = [
        rule(name, method, type=draw(st.sampled_from([None, STATED[name]])))
        for name in ROW
        if (method := draw(st.none() | _METHODS)) is not None
    ]
    policy = of(version, *rules, default=draw(st.sampled_from(["redact", "drop"])))
    try:
        check(policy)
    except PolicyError:
        return EMPTY
    return policy


@settings(max_examples=300, deadline=None)
@given(policies(1), policies(2), st.booleans())
def test_every_value_is_as_decided_or_says_nothing_and_readers_see_one_shape(one: Policy, two: Policy, schema: bool) -> None:
    first, plain = (masked(ROW, policy, schema=schema) for policy in (one, two))
    held = masked(ROW, two, one, schema=schema)
    assert after(held).keys() == after(first).keys()
    other = masked(ROW | {"id": 8, "a": "Tom", "b": 42, "c": "00000000-0000-4000-8000-000000000000"}, two, one, schema=schema)
    for name, value in after(held).items():
        assert value == after(plain).get(name, value) or value == after(other)[name]  # as decided, or whatever came in
    if schema:
        assert _types(held) == _types(first)
    if two.version > one.version and not any(each.breaks_schema for each in compare(one, two)):
        assert schema or after(held) == after(plain)


def _types(outcome: Outcome) -> dict[str, tuple[str, str | None]]:
    (image,) = (field for field in json.loads(outcome.value or b"")["schema"]["fields"] if field["field"] == "after")
    return {field["field"]: (field["type"], field.get("name")) for field in image["fields"]}
