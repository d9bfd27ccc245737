"""What becomes of the rows of a change event: every column decided, kept ones untouched, the rest gone."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_masker.events import Fate
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Rule
from tests.unit.building import KEYS, TOPIC, change, described, envelope_schema, masker, payload, record, rule

CANARY = "canary-8c1f2e"
RULES = [
    rule("id", "keep", type="bigint"),
    rule("mail", "tokenize", domain="email"),
    rule("name", "null"),
    rule("note", "fixed", value="[removed]"),
    rule("phone", "partial", last=2),
    rule("iban", "truncate", length=2),
    rule("age", "redact", type="integer"),
]
ROW = {
    "id": 7,
    "mail": "ana@example.com",
    "name": "Ana",
    "note": CANARY,
    "phone": "555-1234",
    "iban": "DE89370400440532013000",
    "age": 44,
    "new": CANARY,
}


def masked_row(row: dict[str, Any], op: str = "c", image: str = "after") -> Any:
    images: dict[str, Any] = {image: row}
    return payload(masker(*RULES).mask(record(change(op, **images))).value)[image]


@pytest.mark.parametrize("image", ["before", "after"])
@pytest.mark.parametrize("op", ["c", "u", "d", "r"])
def test_each_column_is_masked_as_its_rule_says_in_each_image_of_each_operation(op: str, image: str) -> None:
    row = masked_row(ROW, op, image)
    token = row.pop("mail")
    assert row == {
        "id": 7,
        "name": None,
        "note": "[removed]",
        "phone": "******34",
        "iban": "DE",
        "age": 0,
        "new": None,
    }
    assert len(token) == 32
    assert token == masked_row({"mail": "ana@example.com"})["mail"]


def test_both_images_go_through_one_plan() -> None:
    result = payload(masker(*RULES).mask(record(change("u", before=ROW, after={**ROW, "mail": "b@c.d"}))).value)
    assert {**result["after"], "mail": result["before"]["mail"]} == result["before"]
    assert result["after"]["mail"] != result["before"]["mail"]


def test_without_any_rule_nothing_of_a_row_is_left() -> None:
    result = payload(Masker(EMPTY, KEYS).mask(record(change(after=ROW))).value)
    assert result["after"] == dict.fromkeys(ROW)


@pytest.mark.parametrize("value", [1, 1.5, True, False, "", "x", [], ["x"], {}, {CANARY: CANARY}, None])
def test_a_column_nobody_decided_on_is_redacted_whatever_it_holds(value: Any) -> None:
    assert masked_row({"new": value}) == {"new": None}


def test_constants_say_nothing_about_what_was_there_not_even_null() -> None:
    for value in (None, "x", 5, "__debezium_unavailable_value"):
        assert masked_row({"name": value, "note": value, "age": value}) == {"name": None, "note": "[removed]", "age": 0}


def test_null_stays_null_where_a_value_is_computed() -> None:
    assert masked_row({"mail": None, "phone": None, "iban": None}) == {"mail": None, "phone": None, "iban": None}


@pytest.mark.parametrize("value", [True, 1.5, ["a"], {"a": "b"}])
def test_a_value_that_a_method_cannot_take_is_redacted(value: Any) -> None:
    assert masked_row({"mail": value, "phone": value, "iban": value}) == {"mail": None, "phone": None, "iban": None}


def test_rules_of_another_table_do_not_apply() -> None:
    event = change(table="orders", after={"id": 7, "mail": "ana@example.com"})
    result = payload(masker(*RULES).mask(record(event, topic="shop.crm.orders")).value)
    assert result["after"] == {"id": None, "mail": None}


def test_the_table_is_the_one_that_the_event_names_whatever_its_topic() -> None:
    result = payload(masker(*RULES).mask(record(change(after={"id": 7}), topic="routed")).value)
    assert result["after"] == {"id": 7}


MARKERS: list[Any] = [
    "__debezium_unavailable_value",
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    ["__debezium_unavailable_value"],
    {"__debezium_unavailable_value": "__debezium_unavailable_value"},
]


@pytest.mark.parametrize("marker", MARKERS, ids=str)
def test_an_unchanged_large_value_stays_marked_as_such(marker: Any) -> None:
    row = masked_row({"mail": marker, "phone": marker, "iban": marker, "id": marker})
    assert row == {"mail": marker, "phone": marker, "iban": marker, "id": marker}


@pytest.mark.parametrize(
    "value",
    [
        f"__debezium_unavailable_value {CANARY}",
        f"{CANARY}__debezium_unavailable_value",
        "__DEBEZIUM_UNAVAILABLE_VALUE",
        ["__debezium_unavailable_value", CANARY],
        {"__debezium_unavailable_value": CANARY},
        {CANARY: "__debezium_unavailable_value"},
        [["__debezium_unavailable_value"]],
    ],
    ids=str,
)
def test_a_marker_within_a_value_does_not_carry_it_past_the_mask(value: Any) -> None:
    outcome = masker(*RULES).mask(record(change(after={"mail": value, "phone": value, "new": value})))
    assert outcome.value is not None
    assert CANARY.encode() not in outcome.value
    row = payload(outcome.value)["after"]
    assert row["mail"] != value
    assert row["phone"] != value


def test_fields_that_nobody_knows_are_not_in_the_output() -> None:
    event = change("c", after={"id": 7}, query=f"insert {CANARY}", extra={CANARY: 1})
    event["source"] |= {"query": CANARY, "thread": 4, "file": CANARY}
    event["transaction"] = {"id": "9:8", "total_order": 1, "data_collection_order": 2, "user": CANARY}
    outcome = masker(*RULES).mask(record(event))
    assert outcome.value is not None
    assert CANARY.encode() not in outcome.value
    expected = change("c", after={"id": 7})
    expected["transaction"] = {"id": "9:8", "total_order": 1, "data_collection_order": 2}
    assert payload(outcome.value) == expected


@pytest.mark.parametrize("op", ["c", "u", "d", "r"])
def test_what_is_not_masked_comes_out_byte_by_byte(op: str) -> None:
    masked = masker(*RULES).mask(record(raw := record(change(op, before={"id": 7}, after={"id": 8})).value))
    assert masked.value == raw
    assert masked.fate is Fate.MASKED


def test_a_logical_message_is_redacted() -> None:
    message = {"prefix": CANARY, "content": "aGVsbG8gYW5hQGV4YW1wbGUuY29t"}
    event = change("m", table="", message=message)
    del event["before"], event["after"]
    event["source"]["schema"] = ""
    outcome = masker(*RULES).mask(record(event, {"prefix": CANARY}, topic="shop.message"))
    assert outcome.fate is Fate.MASKED
    result, key = payload(outcome.value), payload(outcome.key)
    assert result["message"] == {"prefix": key["prefix"], "content": None}
    assert len(key["prefix"]) == 32


def test_a_truncation_has_no_rows_and_passes() -> None:
    raw = record(change("t"))
    outcome = masker(*RULES).mask(raw)
    assert (outcome.fate, outcome.key, outcome.value) == (Fate.CONTROL, None, raw.value)


def test_a_truncation_that_holds_a_row_after_all_is_masked() -> None:
    outcome = masker(*RULES).mask(record(change("t", before=ROW)))
    assert payload(outcome.value)["before"]["note"] == "[removed]"


def test_the_outcome_says_where_the_record_came_from_and_goes_to() -> None:
    outcome = masker(*RULES).mask(record(change(after=ROW), partition=3, offset=99))
    assert (outcome.topic, outcome.partition, outcome.offset, outcome.timestamp) == (TOPIC, 3, 99, 1795242089117)
    assert outcome.target == f"masked.{TOPIC}"
    assert outcome.published
    assert outcome.headers == (("cdc-masker", b"v=1;p=3;o=99;g=1;pv=7;ke=1"),)


def test_target_and_header_follow_generation_and_prefix() -> None:
    outcome = Masker(EMPTY, KEYS, generation=4, output_prefix="safe-").mask(record(change(after=ROW)))
    assert outcome.target == f"safe-{TOPIC}.g4"
    assert outcome.headers == (("cdc-masker", b"v=1;p=2;o=41;g=4;pv=0;ke=1"),)


def test_a_new_masker_gives_the_same_bytes() -> None:
    records = [record(change(op, before=ROW, after=ROW), {"mail": "x", "k": 1}, offset=n) for n, op in enumerate("cudr")]
    once = masker(*RULES)
    assert [once.mask(each) for each in records] == [masker(*RULES).mask(each) for each in reversed(records)][::-1]


def test_no_repr_shows_a_value() -> None:
    raw = record(change(after=ROW), {"mail": CANARY}, headers=(("h", CANARY.encode()),))
    outcome = masker(rule("note", "keep"), headers=["h"]).mask(raw)
    assert outcome.value is not None
    assert CANARY.encode() in outcome.value
    shown = repr(raw) + str(raw) + repr(outcome) + str(outcome)
    assert CANARY not in shown
    assert "ana@" not in shown
    assert TOPIC in shown


@pytest.mark.parametrize("method", [rule("a", "truncate", length=100), rule("a", "partial", first=2, last=2)])
def test_a_method_that_may_give_back_its_input_is_no_finding_of_the_guard(method: Rule) -> None:
    """A text that is short enough stays whole, and two stars stay two stars."""
    assert masker(method).mask(record(change(after={"a": "**"}))).reason is None


def test_a_value_that_a_method_cannot_take_is_redacted_by_its_type() -> None:
    schema = envelope_schema({"a": {"type": "int64", "optional": False}})
    outcome = masker(rule("a", "tokenize")).mask(record(described(schema, change(after={"a": 1.5}))))
    assert payload(outcome.value)["after"] == {"a": 0}


def test_columns_that_no_rule_decides_are_told_by_topic() -> None:
    """A column is added before any rule knows it, another one is retyped under its rule: both are redacted, and shown."""
    watched = masker(rule("a", "truncate", length=3), rule("id", "keep"))
    watched.mask(record(change(after={"id": 1, "a": "abcd"})))
    assert watched.undecided() == {}
    watched.mask(record(change(after={"id": 1, "a": "abcd", "passport": "P-1"})))
    retyped = envelope_schema({"id": {"type": "int64", "optional": True}, "a": {"type": "int32", "optional": True}})
    outcome = watched.mask(record(described(retyped, change(after={"id": 1, "a": 7}))))
    assert payload(outcome.value)["after"] == {"id": 1, "a": None}
    assert watched.undecided() == {TOPIC: {"passport", "a"}}
