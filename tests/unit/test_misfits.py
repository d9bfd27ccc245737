"""Columns that are dropped, and values that a method can't take: redacted and counted, or quarantined, and never passed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate
from cdc_masker.policies import Rule
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits

CANARY = "canary-5b1f"
TYPES: dict[str, dict[str, Any]] = {
    "id": {"type": "int64"},
    "mail": {"type": "string"},
    "n": {"type": "int32", "optional": True},
}


def strict(each: Rule) -> Rule:
    return msgspec.structs.replace(each, strict=True)


def part(path: str | None, method: str, *, strict: bool = False, **params: Any) -> Rule:
    return Rule(schema="crm", table="people", column="doc", path=path, method=method, params=params, strict=strict)


@pytest.mark.parametrize("with_schema", [False, True])
def test_a_dropped_column_is_neither_in_the_row_nor_in_its_schema(with_schema: bool) -> None:
    row = {"id": 1, "mail": CANARY, "n": 2}
    event: Any = change("u", before=row, after=row)
    outcome = masker(rule("id", "keep"), rule("mail", "drop"), rule("n", "keep")).mask(
        record(described(envelope_schema(TYPES), event) if with_schema else event)
    )
    assert payload(outcome.value)["before"] == payload(outcome.value)["after"] == {"id": 1, "n": 2}
    assert outcome.value is not None
    assert b"mail" not in outcome.value
    if with_schema:
        assert misfits(outcome.value) == []


def test_a_row_that_lacks_a_dropped_column_is_another_layout() -> None:
    dropping = masker(rule("id", "keep"), rule("mail", "drop"))
    assert payload(dropping.mask(record(change(after={"id": 1, "mail": "x"}))).value)["after"] == {"id": 1}
    schema = envelope_schema({name: TYPES[name] for name in ("id", "mail")})
    for row in ({"id": 1}, {"id": 1, "post": CANARY}):
        outcome = dropping.mask(record(described(schema, change(after=row))))
        assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.SCHEMA_MISMATCH)


def test_all_columns_may_be_dropped() -> None:
    outcome = masker(rule("id", "drop"), rule("mail", "drop")).mask(record(change(after={"id": 1, "mail": CANARY})))
    assert payload(outcome.value)["after"] == {}


def test_a_dropped_part_is_gone_where_the_rest_is_kept() -> None:
    raw = record(change(after={"doc": {"a": 1, "secret": CANARY, "list": [{"secret": CANARY, "b": 2}]}}))
    outcome = masker(part(None, "keep"), part("$..secret", "drop")).mask(raw)
    assert payload(outcome.value)["after"] == {"doc": {"a": 1, "list": [{"b": 2}]}}


VALUES = {"an object": {"a": CANARY}, "an array": [CANARY], "a number": 5, "too large": 1 << 70, "a boolean": True}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_a_method_cannot_take_is_redacted_and_told(value: Any) -> None:
    outcome = masker(rule("mail", "truncate", length=3), rule("id", "keep")).mask(
        record(change(after={"mail": value, "id": 1}))
    )
    assert payload(outcome.value)["after"] == {"mail": None, "id": 1}
    assert outcome.fate is Fate.MASKED
    (told,) = outcome.misfits
    assert told[0] == "mail"
    assert CANARY not in str(outcome) + str(outcome.value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_strict_rule_quarantines_the_record_instead(value: Any) -> None:
    raw = record(change(after={"mail": value, "id": 1}))
    outcome = masker(strict(rule("mail", "truncate", length=3)), rule("id", "keep")).mask(raw)
    assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.UNMASKABLE, "after.mail")
    assert CANARY not in str(outcome)


def test_null_and_markers_are_no_misfits_even_for_a_strict_rule() -> None:
    for value in (None, "__debezium_unavailable_value"):
        outcome = masker(strict(rule("mail", "truncate", length=3))).mask(record(change(after={"mail": value})))
        assert (outcome.fate, outcome.misfits) == (Fate.MASKED, ())
        assert payload(outcome.value)["after"] == {"mail": value}


@pytest.mark.parametrize("wrap", [lambda doc: doc, json.dumps], ids=["object", "text"])
def test_a_part_that_does_not_fit_is_told_by_its_path(wrap: Any) -> None:
    doc = wrap({"mails": ["anna@example.com", {"x": CANARY}, 7]})
    raw = record(change(after={"doc": doc}))
    outcome = masker(part("$.mails[*]", "truncate", length=3)).mask(raw)
    assert outcome.misfits == (("doc$.mails[*]", "type"),)
    assert CANARY not in str(outcome.value)
    refused = masker(part("$.mails[*]", "truncate", strict=True, length=3)).mask(raw)
    assert (refused.fate, refused.reason, refused.place) == (Fate.QUARANTINED, Reason.UNMASKABLE, "after.doc$.mails[*]")


def test_a_document_that_cannot_be_walked_is_told() -> None:
    outcome = masker(part("$.a", "keep")).mask(record(change(after={"doc": CANARY})))
    assert outcome.misfits == (("doc", "type"),)
    assert payload(outcome.value)["after"] == {"doc": None}
