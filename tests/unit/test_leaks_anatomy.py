"""Which values of a raw record are searched for, by column, and what counts as kept."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cdc_masker.leaks.anatomy import Anatomy
from cdc_masker.leaks.needles import Needles
from cdc_masker.leaks.search import Searcher
from cdc_masker.policies import Policy, Rule
from tests.unit.building import TOPIC, change, compact, described, envelope_schema, record, row_schema, rule, source

KEEP_ID = rule("id", "keep")


def dissect(
    *records: Any, rules: tuple[Rule, ...] = (), headers: tuple[str, ...] = ()
) -> tuple[set[tuple[str, str]], list[str]]:
    """Values by column, and what is kept, of the last record."""
    anatomy = Anatomy(Policy.of(1, rules=rules, headers=headers))
    for one in records:
        found = anatomy.dissect(one)
    return {(column, value.decode()) for column, value in found.values}, [text.decode() for text in found.kept]


def test_images_and_key_give_values_of_columns_that_are_not_kept() -> None:
    event = change("u", before={"id": 1, "name": "Ann"}, after={"id": 1, "name": "Anne", "age": 1.50})
    values, kept = dissect(record(event, {"id": 1, "mail": "a@b"}), rules=(KEEP_ID,))
    assert values == {
        ("crm.people.name", "Ann"),
        ("crm.people.name", "Anne"),
        ("crm.people.age", "1.5"),
        ("crm.people.mail", "a@b"),
    }
    assert {"id", "name", "mail", "1", "people", "46767384", TOPIC} <= set(kept)
    assert "Ann" not in kept


def test_a_rule_for_one_server_comes_before_one_for_all() -> None:
    other = Rule(server="shop", schema="crm", table="people", column="id", method="redact")
    values, _ = dissect(record(change(after={"id": 123})), rules=(KEEP_ID, other))
    assert values == {("crm.people.id", "123")}


def test_values_inside_values() -> None:
    inner = {"a@b.example": ["x", {"plain_word": "y", "n": 10.50}], "deep": compact({"z": "w"})}
    values, _ = dissect(record(change(after={"json": compact(inner), "list": ["p", None, True], "struct": {"scale": 3}})))
    assert values == {
        *(("crm.people.json", text) for text in ("a@b.example", "x", "y", "10.5", "w")),
        ("crm.people.list", "p"),
        ("crm.people.struct", "3"),
    }


def test_numbers_are_as_they_were_written() -> None:
    values, _ = dissect(record('{"op":"c","source":' + compact(source()) + ',"after":{"n":1234567890123456789012.10}}'))
    assert values == {("crm.people.n", "1234567890123456789012.10")}


def test_base64_is_looked_into() -> None:
    content = base64.b64encode(b"hello ana@example.com").decode()
    message = {"op": "m", "source": source(""), "message": {"prefix": "note", "content": content}}
    values, _ = dissect(record(message, {"prefix": "note"}))
    assert values == {
        (f"{TOPIC} prefix", "note"),
        (f"{TOPIC} content", content),
        (f"{TOPIC} content", "hello ana@example.com"),
    }


def test_a_name_that_stands_twice_hides_nothing() -> None:
    values, _ = dissect(
        record('{"op":"c","source":' + compact(source()) + ',"after":{"a":"one","a":"two"},"after":{"a":"three"}}')
    )
    assert {value for _, value in values} == {"one", "two", "three"}


def test_key_change_headers_are_keys_and_others_are_values() -> None:
    headers = (("__debezium.newkey", b'{"id":5,"mail":"new@b"}'), ("trace", b"kept"), ("x-user", b"Ivan Okafor"))
    values, kept = dissect(record(change(), {"id": 5}, headers=headers), rules=(KEEP_ID,), headers=("trace",))
    assert values == {("crm.people.mail", "new@b"), (f"{TOPIC} headers", "x-user"), (f"{TOPIC} headers", "Ivan Okafor")}
    assert "kept" in kept


def test_header_bytes_that_are_no_text() -> None:
    anatomy = Anatomy(Policy.of(1))
    assert (f"{TOPIC} headers", b"\xff\xfe") in anatomy.dissect(record(change(), headers=(("h", b"\xff\xfe"),))).values


@pytest.mark.parametrize("topic", [TOPIC, "elsewhere.crm.people"])
def test_a_tombstone_s_table_is_known_from_its_topic(topic: str) -> None:
    values, _ = dissect(record(None, {"id": 77}, topic=topic), rules=(KEEP_ID,))
    assert values == set()


def test_a_tombstone_s_table_is_known_from_the_events_before() -> None:
    values, _ = dissect(record(change(), {"id": 7}, topic="t"), record(None, {"id": 7}, topic="t"), rules=(KEEP_ID,))
    assert values == set()


def test_a_tombstone_of_no_known_table_has_nothing_kept() -> None:
    values, _ = dissect(record(None, {"id": 77}, topic="unknown"), rules=(KEEP_ID,))
    assert values == {("unknown key", "77")}


def test_other_fields_than_debezium_s_own_are_values() -> None:
    event = change(extra="Ann", source={**source(), "query": "insert 'Bob'"}, transaction={"id": "5:6", "note": "Cid"})
    values, kept = dissect(record(event))
    assert values == {(f"{TOPIC} value", "Ann"), (f"{TOPIC} source", "insert 'Bob'"), (f"{TOPIC} transaction", "Cid")}
    assert "5:6" in kept


def test_boundaries_and_heartbeats_hold_nothing_of_a_row() -> None:
    boundary = {
        "status": "END",
        "id": "9:9",
        "event_count": 1,
        "data_collections": [{"data_collection": "a", "event_count": 1}],
    }
    assert dissect(record(boundary, {"id": "9:9"}, topic="shop.transaction"))[0] == set()
    assert dissect(record({"ts_ms": 1}, {"serverName": "shop"}, topic="__debezium-heartbeat.shop"))[0] == set()
    assert dissect(record({**boundary, "status": "Ann"}, topic="shop.transaction"))[0] != set()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": 5, "name": "Ann"}, {"5", "Ann"}),
        ("Ann's mail: <a@b.c>", {"Ann", "s", "mail", "a@b.c"}),
        ("[" * 100_000, set()),
    ],
)
def test_of_an_unknown_shape_everything_is_a_value(value: Any, expected: set[str]) -> None:
    values, _ = dissect(record(value))
    assert {text for _, text in values} == expected


def test_what_a_rule_shows_is_kept() -> None:
    rules = (
        rule("a", "partial", first=2, last=3),
        rule("b", "truncate", length=4),
        rule("c", "fixed", value="[removed]"),
        rule("d", "partial", first=2, last=3),
    )
    _, kept = dissect(record(change(after={"a": "abcdefghij", "b": "abcdefghij", "c": "secret", "d": "short"})), rules=rules)
    assert {"ab", "hij", "abcd", "[removed]"} <= set(kept)
    assert not {"abcdefghij", "secret", "short", "sh", "ort"} & set(kept)


def test_comments_defaults_and_labels_go_with_their_column() -> None:
    about = {"type": "string", "doc": "of Ann", "default": "Bob", "parameters": {"allowed": "Cid,Dan", "length": "9"}}
    columns = {"id": about, "name": about}
    schema, key_schema = envelope_schema(columns), row_schema({"id": about}, "Key")
    schema["doc"] = "of all"
    value = described(schema, change(after={"id": "x", "name": "y"}))
    values, kept = dissect(record(value, described(key_schema, {"id": "x"})), rules=(KEEP_ID,))
    assert values == {
        ("crm.people.name", "y"),
        (f"{TOPIC} schema", "of all"),
        *(("crm.people.name schema", text) for text in ("of Ann", "Bob", "Cid,Dan")),
    }
    assert {"of Ann", "Cid,Dan", "9", "string", f"{TOPIC}.Envelope"} <= set(kept)


def test_needles_are_counted_by_column_and_neutral_values_are_none() -> None:
    needles = Needles()
    for column, value in [
        ("a", b"Ivan Okafor"),
        ("a", b"Ivan Okafor"),
        ("b", b"Ivan Okafor"),
        ("b", b"short"),
        ("b", b"short"),
        ("c", b"__debezium_unavailable_value"),
        ("c", base64.b64encode(b"__debezium_unavailable_value")),
        ("c", b"1970-01-01T00:00:00.000000Z"),
        ("c", b""),
    ]:
        needles.add(column, value)
    assert needles.columns == {b"Ivan Okafor": ("a", "b")}
    assert needles.unsearched == {"b": 2}
    assert [dict(batch) for batch in needles.batches()] == [needles.columns]


def test_a_needle_in_a_kept_field_is_ambiguous() -> None:
    event = change(after={"id": "Okafor, Ivan", "name": "Okafor", "city": "Lagos City"})
    found = Anatomy(Policy.of(1, rules=[KEEP_ID])).dissect(record(event))
    searcher = Searcher({value: (column,) for column, value in found.values})
    searcher.learn(b"\n".join(found.kept))
    assert searcher.ambiguous() == [("crm.people.name",)]
    hits = {(one.columns, one.ambiguous) for one in searcher.find([json.dumps(event).encode()])}
    assert hits == {(("crm.people.name",), True), (("crm.people.city",), False)}


def part(path: str, method: str, **params: Any) -> Rule:
    return Rule(schema="crm", table="people", column="profile", path=path, method=method, params=params)


CARD = "4601815908301662"
PROFILE = {
    "mail": "ivan@example.com",
    "phones": ["+44 20 7946 0000"],
    "by name": {"Ann Lee": "note"},
    "card": CARD,
}


@pytest.mark.parametrize("as_text", [True, False])
def test_parts_that_paths_keep_are_kept_and_no_others(as_text: bool) -> None:
    rules = (part("$.phones[*]", "keep"), part("$.card", "partial", first=6, last=4))
    values, kept = dissect(record(change(after={"profile": compact(PROFILE) if as_text else PROFILE})), rules=rules)
    assert values == {("crm.people.profile", text) for text in (PROFILE["mail"], "by name", "Ann Lee", "note", CARD)}
    assert {"+44 20 7946 0000", "460181", "1662"} <= set(kept)


def test_parts_that_paths_mask_are_not_kept_with_the_rest() -> None:
    rules = (rule("profile", "keep"), part("$..mail", "redact"), part("$['by name'].*~", "tokenize"))
    values, kept = dissect(record(change(after={"profile": {**PROFILE, "deep": [compact(PROFILE)]}})), rules=rules)
    assert ("crm.people.profile", PROFILE["mail"]) in values
    assert ("crm.people.profile", "Ann Lee") in values
    assert {"note", CARD} <= set(kept)


def test_flattened_rows_are_rows_where_the_policy_says_so() -> None:
    policy = Policy.from_document(
        {
            "envelopes": [{"topic": "flat", "shape": "flattened", "schema": "crm", "table": "people"}],
            "rules": [{"schema": "crm", "table": "people", "column": "id", "method": "keep"}],
        }
    )
    row = {"id": "Okafor-1", "name": "Ann Lee", "__deleted": "false", "__source_lsn": 5, "__other": "Bob Ray"}
    found = Anatomy(policy).dissect(record(row, {"id": "Okafor-1", "name": "Ann Lee"}, topic="flat"))
    assert set(found.values) == {("crm.people.name", b"Ann Lee"), ("crm.people.__other", b"Bob Ray")}
    assert {b"Okafor-1", b"false", b"5"} <= set(found.kept)
    elsewhere = Anatomy(policy).dissect(record(row, topic="else"))
    assert ("else value", b"Okafor-1") in elsewhere.values
