"""Events with an embedded schema: the schema that comes out describes what comes out, and holds no data of a masked column."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.policies import Rule
from tests.unit.building import (
    accepting,
    change,
    compact,
    described,
    envelope_schema,
    masker,
    payload,
    record,
    row_schema,
    rule,
    source,
)
from tests.unit.connect_json import misfits

CANARY = "canary8c1f2e"
DEBEZIUM = "io.debezium.data"
COLUMNS: dict[str, tuple[dict[str, Any], Any]] = {
    "id": ({"type": "int64", "default": 0}, 7),
    "no": ({"type": "int32"}, -7),
    "small": ({"type": "int16"}, 7),
    "mail": ({"type": "string", "default": CANARY, "doc": CANARY}, CANARY),
    "name": ({"type": "string", "optional": True}, CANARY),
    "ref": ({"type": "string", "name": f"{DEBEZIUM}.Uuid", "version": 1}, "93370f70-9f20-4a82-89ba-0f80e2dd4f58"),
    "tier": (
        {"type": "string", "name": f"{DEBEZIUM}.Enum", "version": 1, "parameters": {"allowed": f"free,{CANARY}"}},
        CANARY,
    ),
    "profile": ({"type": "string", "optional": True, "name": f"{DEBEZIUM}.Json", "version": 1}, f'{{"{CANARY}":1}}'),
    "avatar": ({"type": "bytes"}, "3q2+7w=="),
    "active": ({"type": "boolean", "default": True}, True),
    "score": ({"type": "double"}, 1.5),
    "born": ({"type": "int32", "name": "io.debezium.time.Date", "version": 1}, 5661),
    "seen": ({"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1}, "2026-11-21T06:21:11.4Z"),
    "total": (
        {
            "type": "struct",
            "name": f"{DEBEZIUM}.VariableScaleDecimal",
            "version": 1,
            "fields": [
                {"type": "int32", "optional": False, "field": "scale"},
                {"type": "bytes", "optional": False, "field": "value"},
            ],
        },
        {"scale": 1, "value": "DTrJ"},
    ),
    "balance": (
        {
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "version": 1,
            "parameters": {"scale": "2", "connect.decimal.precision": "12"},
        },
        "DTrJ",
    ),
    "tags": ({"type": "array", "items": {"type": "string", "optional": True, "doc": CANARY}}, [CANARY, None]),
    "more": (
        {
            "type": "map",
            "keys": {"type": "string", "optional": False},
            "values": {"type": "string", "optional": True},
        },
        {CANARY: CANARY},
    ),
}
TYPES = {name: {"optional": False, **schema} for name, (schema, _) in COLUMNS.items()}
ROW = {name: value for name, (_, value) in COLUMNS.items()}

KEEP_ALL = [rule(name, "keep") for name in COLUMNS]
METHODS = {
    "nothing decided": [],
    "keep": KEEP_ALL,
    "null": [rule(name, "null") for name in COLUMNS],
    "redact": [rule(name, "redact") for name in COLUMNS],
    "tokenize": [rule(name, "tokenize") for name in COLUMNS],
    "partial": [rule(name, "partial", last=1) for name in COLUMNS],
    "truncate": [rule(name, "truncate", length=1) for name in COLUMNS],
    "fixed text": [rule(name, "fixed", value="x") for name in COLUMNS],
    "fixed number": [rule(name, "fixed", value=3) for name in COLUMNS],
    "fixed boolean": [rule(name, "fixed", value=True) for name in COLUMNS],
}


def event(op: str = "u", *, types: Any = None, key: dict[str, Any] | None = None, **images: Any) -> Record:
    types = types or TYPES
    key_text = None
    if key is not None:
        key_text = described(row_schema({name: types[name] for name in key}, "Key"), key)
    return record(described(envelope_schema(types), change(op, **images)), key_text)


def fields_of(outcome: Outcome, place: str) -> dict[str, dict[str, Any]]:
    assert outcome.value is not None
    schema = json.loads(outcome.value)["schema"]
    (row,) = (field for field in schema["fields"] if field["field"] == place)
    return {field["field"]: field for field in row["fields"]}


@pytest.mark.parametrize("rules", METHODS.values(), ids=METHODS.keys())
def test_the_output_fits_its_schema(rules: list[Rule]) -> None:
    raw = event(before=ROW, after=ROW, key={"id": 7, "small": 7, "mail": CANARY, "ref": ROW["ref"]})
    assert misfits(raw.value) == misfits(raw.key) == []
    outcome = masker(*accepting(*rules)).mask(raw)
    assert outcome.fate is Fate.MASKED
    assert misfits(outcome.value) == misfits(outcome.key) == []
    assert payload(outcome.value)["before"] == payload(outcome.value)["after"]
    assert (CANARY in str(outcome.value) + str(outcome.key)) == (rules == KEEP_ALL)


@pytest.mark.parametrize("rules", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("marker", ["__debezium_unavailable_value"])
def test_a_marker_fits_the_schema_of_a_text(rules: list[Rule], marker: str) -> None:
    outcome = masker(*rules).mask(event(types={"mail": TYPES["mail"]}, after={"mail": marker}))
    assert misfits(outcome.value) == []


def test_kept_columns_keep_their_schema_whole_and_their_bytes() -> None:
    raw = event(after=ROW, key={"mail": CANARY})
    outcome = masker(*KEEP_ALL).mask(raw)
    assert fields_of(outcome, "after") == {name: {**schema, "field": name} for name, schema in TYPES.items()}
    assert payload(outcome.value) == payload(raw.value)
    assert outcome.key is not None
    assert json.loads(outcome.key) == json.loads(raw.key or b"")


def test_masked_columns_lose_default_comment_and_labels() -> None:
    fields = fields_of(masker().mask(event(after=ROW)), "after")
    for field in fields.values():
        assert not {"default", "doc"} & set(field)
        assert "allowed" not in field.get("parameters", {})
    assert fields["mail"] == {"type": "string", "optional": False, "field": "mail"}
    assert fields["tier"] == {"type": "string", "optional": False, "field": "tier"}
    assert fields["tags"]["items"] == {"type": "string", "optional": True}
    assert fields["balance"]["parameters"] == TYPES["balance"]["parameters"]


def test_a_nulled_column_becomes_optional() -> None:
    outcome = masker(rule("mail", "null"), rule("ref", "null"), rule("id", "null")).mask(event(after=ROW))
    for name in ("mail", "ref", "id"):
        assert fields_of(outcome, "after")[name]["optional"] is True
        assert payload(outcome.value)["after"][name] is None


def test_a_redacted_column_has_the_neutral_value_of_its_type() -> None:
    row = payload(masker().mask(event(after=ROW)).value)["after"]
    assert (row["id"], row["name"], row["mail"], row["active"], row["tags"]) == (0, None, "", False, [])
    assert row["ref"] == "00000000-0000-0000-0000-000000000000"
    assert row["seen"].startswith("1970-01-01")


def test_the_type_of_the_event_goes_before_the_type_of_the_rule() -> None:
    outcome = masker(rule("mail", "redact", type="integer")).mask(event(after=ROW))
    assert payload(outcome.value)["after"]["mail"] == ""
    assert misfits(outcome.value) == []


def test_a_method_that_cannot_take_the_real_type_redacts() -> None:
    outcome = masker(rule("mail", "fixed", value=5), rule("small", "tokenize"), rule("born", "truncate", length=2)).mask(
        event(after=ROW)
    )
    row = payload(outcome.value)["after"]
    assert (row["mail"], row["small"], row["born"]) == ("", 0, 0)


def test_fields_that_nobody_knows_leave_value_and_schema() -> None:
    text = {"type": "string", "optional": True, "default": CANARY}
    schema = envelope_schema(TYPES)
    schema["fields"].append({**text, "field": "query"})
    schema["fields"][2]["fields"].append({**text, "field": "query"})
    schema["doc"] = CANARY
    schema["parameters"] = {"__debezium.source": CANARY}
    body = change(after=ROW, query=CANARY, source=source(query=CANARY))
    raw = record({**described(schema, body), CANARY: CANARY})
    outcome = masker().mask(raw)
    assert outcome.value is not None
    assert CANARY.encode() not in outcome.value
    assert b"query" not in outcome.value
    assert misfits(outcome.value) == []


def test_metadata_of_known_fields_leaves_the_schema() -> None:
    schema = envelope_schema(TYPES)
    for block in (schema["fields"], schema["fields"][2]["fields"], schema["fields"][3]["fields"]):
        for field in block:
            field |= {"default": None, "doc": CANARY}
            if field["type"] == "string":
                field["parameters"] = {"allowed": CANARY}
    outcome = masker().mask(record(described(schema, change(after=ROW))))
    assert outcome.value is not None
    assert CANARY.encode() not in outcome.value
    assert b'"default"' not in outcome.value


def test_images_that_are_null_are_no_rows() -> None:
    outcome = masker(*KEEP_ALL).mask(event(before=None, after=None))
    assert payload(outcome.value)["after"] is None
    assert misfits(outcome.value) == []


def test_a_logical_message_fits_its_schema() -> None:
    schema = envelope_schema({})
    prefix, content = (
        {"type": kind, "optional": False, "field": name} for kind, name in [("string", "prefix"), ("bytes", "content")]
    )
    message = {"type": "struct", "fields": [prefix, content], "optional": False, "name": "Message", "field": "message"}
    schema["fields"] = [*schema["fields"][2:], message]
    body = change("m", table="", message={"prefix": CANARY, "content": "aGVsbG8="})
    del body["before"], body["after"]
    outcome = masker().mask(record(described(schema, body), topic="shop.message"))
    assert misfits(outcome.value) == []
    assert payload(outcome.value)["message"] == {"prefix": "", "content": ""}


def broken(**changes: Any) -> str:
    schema = envelope_schema({"id": {"type": "int64"}})
    row = schema["fields"][1]
    row |= changes
    return compact(described(schema, change(after={"id": 7})))


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": [{"type": "int64", "optional": False, "field": "no"}]},
        {"fields": []},
        {"fields": [{"type": "int64", "field": "id"}, {"type": "int64", "field": "no"}]},
        {"fields": [{"type": "int64", "field": "id"}, {"type": "string", "field": "id"}]},
        {"fields": [{"type": ["int64"], "field": "id"}]},
        {"fields": [{"type": "int65", "field": "id"}]},
        {"fields": {"id": {"type": "int64"}}},
        {"type": "string"},
        {"field": "later"},
        {"name": 5},
    ],
    ids=str,
)
def test_a_row_that_its_schema_does_not_describe_is_refused(changes: dict[str, Any]) -> None:
    outcome = masker(rule("id", "keep")).mask(record(broken(**changes)))
    assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.SCHEMA_MISMATCH)


@pytest.mark.parametrize("number", ["1e400", "9" * 400])
def test_a_number_in_a_schema_that_no_double_holds_is_refused(number: str) -> None:
    text = broken(default=4711).replace("4711", number)
    assert masker(*KEEP_ALL).mask(record(text)).reason in (Reason.SCHEMA_MISMATCH, None)


@pytest.mark.parametrize("schema", ['{"type":"string"}', '{"type":["struct"]}', "{}", '{"type":"struct"}'])
def test_a_schema_that_is_no_struct_is_refused(schema: str) -> None:
    good = f'{{"schema":{compact(row_schema({"id": {"type": "int64"}}, "Key"))},"payload":{{"id":1}}}}'
    bad = f'{{"schema":{schema},"payload":{{"id":1}}}}'
    assert masker().mask(record(None, good)).reason is None
    assert masker().mask(record(None, bad)).reason is Reason.SCHEMA_MISMATCH
    event_text = f'{{"schema":{schema},"payload":{compact(change(after={"id": 7}))}}}'
    assert masker().mask(record(event_text)).reason is Reason.SCHEMA_MISMATCH


def test_a_column_that_is_added_is_redacted_at_once() -> None:
    known = masker(rule("id", "keep"))
    types = {"id": {"type": "int64"}}
    one = known.mask(event(types=types, after={"id": 7}))
    other = known.mask(event(types={**types, "ssn": {"type": "string", "default": CANARY}}, after={"id": 8, "ssn": CANARY}))
    assert payload(one.value)["after"] == {"id": 7}
    assert payload(other.value)["after"] == {"id": 8, "ssn": ""}
    assert CANARY not in str(other.value)
