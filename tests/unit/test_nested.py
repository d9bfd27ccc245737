"""Columns with rules for their parts: JSON in strings, native arrays, maps and structs, and JSON in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cdc_masker.codecs.json import MAX_DEPTH
from cdc_masker.engine import Engine, check
from cdc_masker.errors import KeyringError, PolicyError
from cdc_masker.events import Fate
from cdc_masker.keys import Keyring
from cdc_masker.lookup import Table
from cdc_masker.methods import Context
from cdc_masker.nested.free import MAX_TEXTS
from cdc_masker.policies import Policy, Rule
from cdc_masker.schemas import Type, from_connect
from tests.unit.building import KEYS, change, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits

CANARY = "canary-51c0de"
TEXT = {"type": "string", "optional": False}
JSON = {**TEXT, "name": "io.debezium.data.Json", "version": 1}
JSON_TYPE = from_connect(JSON)


def part(path: str | None, method: str, *, type: str | None = None, server: str = "*", **params: Any) -> Rule:  # noqa: A002
    return Rule(server=server, schema="crm", table="people", column="doc", path=path, type=type, method=method, params=params)


REST = part(None, "keep")
X: dict[str, Any] = {"value": "X"}


def masked(raw: str, *rules: Rule, type_: Type | None = None, keys: Keyring = KEYS) -> str:
    """The raw JSON text of a column, masked."""
    plan = Engine(Policy.of(1, rules=rules), keys).compile(Table("shop", "crm", "people", "t"), (("doc", type_),), frozenset())
    row = plan.apply({"doc": msgspec.Raw(raw.encode())}, "after", Context("t", 0, 0)).decode()
    assert row.startswith('{"doc":')
    return row[len('{"doc":') : -1]


def inside(text: str, *rules: Rule, type_: Type | None = None) -> str:
    """The same for JSON text in a string, as Debezium writes json, jsonb and hstore."""
    result: str = json.loads(masked(json.dumps(text, ensure_ascii=False), *rules, type_=type_))
    return result


# What is left


def test_what_no_path_names_is_gone_with_its_names() -> None:
    text = f'{{"a": {{"b": "{CANARY}", "c": 1}}, "{CANARY}": 1, "list": [1, "{CANARY}"], "n": {{"{CANARY}": 2}}}}'
    assert inside(text, part("$.a.c", "keep"), part("$.n.x", "keep")) == '{"a": {"c": 1}, "n": {}}'


def test_elements_that_no_path_leads_to_become_null() -> None:
    assert inside('[1, {"a": 2, "b": 3}, [4]]', part("$[*].a", "keep")) == '[null, {"a": 2}, [null]]'


@pytest.mark.parametrize("scalar", ["5", '"x"', "true", "null", "1.10"])
def test_a_scalar_where_a_path_goes_on_becomes_null(scalar: str) -> None:
    assert inside(f'{{"a": {scalar}}}', part("$.a.b", "keep")) == '{"a": null}'
    assert inside(scalar, part("$.a", "keep")) == "null"


def test_a_rule_for_the_whole_column_keeps_the_rest() -> None:
    text = '{"a": {"b": 1, "c": 2}, "d": [1.10], "e": "x"}'
    assert inside(text, part("$.a.b", "redact"), REST) == '{"a": {"b": null, "c": 2}, "d": [1.10], "e": "x"}'


@pytest.mark.parametrize("method", ["redact", "null", "tokenize"])
def test_no_other_method_may_stand_beside_paths(method: str) -> None:
    with pytest.raises(PolicyError, match="can only keep the rest") as caught:
        check(Policy.of(1, rules=[part("$.a", "keep"), part(None, method)]))
    assert caught.value.place == "rule crm.people.doc"


@pytest.mark.parametrize(
    "text",
    [
        '{"b":{"z":1,"a":[1.10,-0.0,1E400,123456789012345678901234567890]},"\\u0061":"\\u00e9\\/","x":null}',
        '{"a": 1, "b": [1, 2]}',
        '{\n\t"a" : [ ] ,\r\n "b" : { } }',
        "[]",
        '"just a text"',
    ],
)
def test_what_is_kept_comes_out_byte_by_byte(text: str) -> None:
    assert inside(text, part("$.absent.part", "redact"), REST) == text
    raw = json.dumps(text).replace("a", "\\u0061")
    assert masked(raw, part("$..absent", "redact"), REST) == raw


def test_kept_parts_keep_their_text_and_their_spaces_beside_masked_ones() -> None:
    text = '{"n": 1.10, "drop": 1, "big": 123456789012345678901234567890 , "e": "\\u00e9"\n}'
    rules = [part("$.n", "keep"), part("$.big", "keep"), part("$.e", "redact")]
    assert inside(text, *rules) == '{"n": 1.10, "big": 123456789012345678901234567890 , "e": null\n}'


def test_the_space_at_the_head_of_an_object_stays_when_its_first_member_goes() -> None:
    assert inside('{"drop": 1, "a": 2}', part("$.a", "keep")) == '{"a": 2}'
    assert inside('{ "drop":1,"a":2 }', part("$.a", "keep")) == '{ "a":2 }'
    assert inside('{ "drop":1 }', part("$.a", "keep")) == "{}"


# What is named


def test_constants_and_keep_take_an_object_whole_and_computed_methods_redact_it() -> None:
    text = '{"a": {"b": [1]}, "c": [{"d": 1.10}], "e": {"f": 1}, "g": ["x"]}'
    rules = [part("$.a", "fixed", **X), part("$.c", "keep"), part("$.e", "tokenize"), part("$.g", "truncate", length=1)]
    assert inside(text, *rules) == '{"a": "X", "c": [{"d": 1.10}], "e": null, "g": null}'


def test_what_a_computed_method_cannot_take_is_redacted() -> None:
    text = '{"a": true, "b": 1.5, "c": 123456789012345678901234567890, "d": 1e999, "e": null}'
    rules = [part(f"$.{name}", "tokenize") for name in "abcde"]
    assert inside(text, *rules) == '{"a": null, "b": null, "c": null, "d": null, "e": null}'


def test_tokens_join_with_those_of_ordinary_columns_of_their_domain() -> None:
    rules = [part("$..mail", "tokenize", domain="email"), rule("mail", "tokenize", type="text", domain="email")]
    row = {"mail": "ana@example.com", "doc": '{"x": [{"mail": "ana@example.com"}]}'}
    after = payload(masker(*rules).mask(record(change(after=row))).value)["after"]
    assert json.loads(after["doc"]) == {"#1": [{"mail": after["mail"]}]}


def test_without_a_domain_equal_values_in_different_parts_do_not_join() -> None:
    result = json.loads(
        inside('{"a": "x", "b": "x", "c": ["x", "x"]}', *(part(p, "tokenize") for p in ("$.a", "$.b", "$.c[*]")))
    )
    assert len({result["a"], result["b"], *result["c"]}) == 3


def test_the_nearest_path_decides_and_masking_holds_against_less_specific_paths_below() -> None:
    text = '{"a": {"ssn": 1, "b": {"ssn": 2}}, "k": {"ssn": 3, "z": 4}}'
    rules = [part("$.a", "redact"), part("$.a.b", "keep"), part("$.k", "keep"), part("$..ssn", "fixed", **X)]
    assert inside(text, *rules) == '{"a": {"b": {"ssn": "X"}}, "k": {"ssn": "X", "z": 4}}'


def test_contradicting_paths_are_refused_when_the_policy_is_made() -> None:
    with pytest.raises(PolicyError, match=r"is about \$\.a\.b, too"):
        check(Policy.of(1, rules=[part("$.a.*", "keep"), part("$.*.b", "redact")]))


# Names


def test_names_are_masked_by_paths_for_names() -> None:
    result = json.loads(inside('{"people": {"ana": 1, "bob": 2}}', part("$.people.*~", "tokenize", domain="n"), REST))
    assert list(result["people"].values()) == [1, 2]
    token = json.loads(inside('{"x": "ana"}', part("$.x", "tokenize", domain="n")))["x"]
    assert next(iter(result["people"])) == token


def test_names_that_a_wildcard_leads_to_become_numbers_unless_a_rule_keeps_them() -> None:
    text = f'{{"people": {{"{CANARY}": {{"age": 4, "x": 1}}, "b": {{"age": 5}}}}}}'
    ages = part("$.people.*.age", "keep")
    assert inside(text, ages) == '{"people": {"#1": {"age": 4}, "#2": {"age": 5}}}'
    assert inside(text, part("$..age", "keep")) == '{"#1": {"#1": {"age": 4}, "#2": {"age": 5}}}'
    assert inside(text, part("$.people.*~", "keep"), ages) == text.replace(', "x": 1', "")
    assert inside(text, part("$.people.*~", "redact"), REST) == text.replace(CANARY, "#1").replace('"b"', '"#2"')


def test_a_path_for_names_alone_leaves_no_value() -> None:
    assert inside('{"a": {"x": 1, "y": {"z": 2}}}', part("$.a.*~", "keep")) == '{"a": {"x": null, "y": null}}'


def test_of_two_members_that_get_one_name_the_first_stays() -> None:
    assert inside('{"ab": 1, "ac": 2, "b": 3}', part("$.*~", "truncate", length=1), REST) == '{"a": 1, "b": 3}'
    assert inside('{"a": 1, "b": 2}', part("$.*~", "fixed", **X), REST) == '{"X": 1}'


@pytest.mark.parametrize(("method", "params"), [("null", {}), ("fixed", {"value": 3})])
def test_a_name_can_only_become_a_text(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        check(Policy.of(1, rules=[part("$.*~", method, **params)]))


def test_names_are_compared_as_what_they_mean() -> None:
    assert inside('{"\\u0061\\"": 1, "\\u0062": 2}', part("$['a\"']", "keep")) == '{"\\u0061\\"": 1}'


# JSON in JSON


def nest(value: str, times: int) -> str:
    """`value` in an object, in a string in an object, and so on: as many texts as said."""
    for _ in range(times - 1):
        value = json.dumps({"in": value})
    return value


def test_strings_that_hold_json_are_opened_where_a_path_goes_on() -> None:
    text = nest(f'{{"ssn": "{CANARY}", "n": 1.10}}', MAX_TEXTS)
    assert inside(text, part("$..ssn", "fixed", **X), REST) == nest('{"ssn": "X", "n": 1.10}', MAX_TEXTS)
    assert inside(text, part("$.in.in.n", "keep")) == nest('{"n": 1.10}', MAX_TEXTS)


def test_strings_are_opened_to_a_set_depth_and_then_the_column_is_redacted() -> None:
    text = json.dumps(nest(f'{{"ssn": "{CANARY}"}}', MAX_TEXTS + 1))
    assert masked(text, part("$..ssn", "fixed", **X), REST) == "null"


def test_strings_that_hold_no_json_are_texts() -> None:
    text = '{"a": "[urgent] call", "b": "{} or so", "c": "plain", "d": "\\"quoted", "e": "17"}'
    assert inside(text, part("$..ssn", "redact"), REST) == text
    assert inside(text, part("$.a.b", "keep"), part("$.c", "truncate", length=2)) == '{"a": null, "c": "pl"}'


@pytest.mark.parametrize(
    "hidden",
    [
        '{"ssn": "c", "ssn": "d"}',
        '{"ssn": "c",}',
        '{"ssn": NaN}',
        '{"ssn": "\\ud800"}',
        '\ufeff{"ssn": "c"}',
        ' [{"ssn": "c"}',
        '{"ssn": "c"} trailing',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
    ],
)
def test_a_string_that_looks_like_json_but_is_doubtful_takes_the_column_with_it(hidden: str) -> None:
    text = json.dumps(json.dumps({"a": hidden}))
    assert masked(text, part("$..ssn", "redact"), REST) == "null"
    assert masked(text, part("$..ssn", "redact"), REST, type_=JSON_TYPE) == '"{}"'


def test_quoted_texts_in_texts_are_opened_too() -> None:
    twice = json.dumps(json.dumps({"ssn": CANARY}))
    assert CANARY not in inside(json.dumps({"a": twice}), part("$..ssn", "redact"), REST)


def test_space_around_json_in_a_string_stays() -> None:
    assert inside(' \n{"a": 1, "b": 2} ', part("$.a", "redact"), REST) == ' \n{"a": null, "b": 2} '


# What can't be read


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps('{"a": 1, "a": 2}'),
        json.dumps('{"a": 1, "b": {"c": 1, "c": 2}}'),
        json.dumps("no json"),
        json.dumps(""),
        json.dumps('{"a": 1} x'),
        json.dumps("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)),
        '{"a":1,"b":[{"c":1,"c":2}]}',
        "7",
        "true",
    ],
)
def test_what_cannot_be_read_is_redacted_whole(raw: str) -> None:
    rules = [part("$.a", "redact"), REST]
    assert masked(raw, *rules) == "null"
    assert masked(raw, *rules, type_=JSON_TYPE) == '"{}"'
    assert masked(raw, part("$.a", "redact", type="jsonb"), REST) == '"{}"'


def test_depth_counts_through_all_texts() -> None:
    deep = "[" * 60 + "1" + "]" * 60
    inner = deep.replace("1", json.dumps(deep))
    assert masked(json.dumps(inner), part("$..ssn", "redact"), REST) == "null"
    assert inside(deep, part("$..ssn", "redact"), REST) == deep


@pytest.mark.parametrize("raw", ["null", '"__debezium_unavailable_value"', '["__debezium_unavailable_value"]'])
def test_null_and_unchanged_large_values_stay_what_they_are(raw: str) -> None:
    assert masked(raw, part("$.a", "fixed", **X)) == raw


def test_the_marker_of_an_unchanged_value_is_no_way_past_a_mask_inside_of_a_document() -> None:
    marker = "__debezium_unavailable_value"
    assert inside(f'{{"a": "{marker}", "{marker}": 1}}', part("$.a", "fixed", **X)) == '{"a": "X"}'


# Native values


def test_native_arrays_and_objects_without_a_schema() -> None:
    assert masked('["555-1234",null,7]', part("$[*]", "partial", last=2)) == '["******34",null,null]'
    assert masked('{"x":1,"y":{"z":2.50}}', part("$.y.z", "keep")) == '{"y":{"z":2.50}}'


def field(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"optional": False, **schema, "field": name}


STRUCT = {"type": "struct", "fields": [field("a", TEXT), field("n", {"type": "int64"}), field("j", JSON)]}
MAP = {"type": "map", "keys": TEXT, "values": {**TEXT, "optional": True}}


@pytest.mark.parametrize(
    ("schema", "value", "rules", "result"),
    [
        ({"type": "array", "items": TEXT}, ["abc", "d"], [part("$[*]", "truncate", length=1)], ["a", "d"]),
        ({"type": "array", "items": TEXT}, ["abc"], [part("$[*]", "null")], [None]),
        ({"type": "array", "items": TEXT}, ["abc", "d"], [part("$.a", "keep")], ["", ""]),
        ({"type": "array", "items": {"type": "int16"}}, [1, 2], [part("$[*]", "tokenize")], [0, 0]),
        ({"type": "array", "items": {"type": "int32"}}, [1, 2], [part("$[*]", "fixed", value=9)], [9, 9]),
        (
            {"type": "array", "items": JSON},
            ['{"a": 1, "b": 2}', "[]"],
            [part("$[*].a", "keep")],
            ['{"a": 1}', "[]"],
        ),
        (
            {"type": "array", "items": {"type": "array", "items": TEXT}},
            [["x"], []],
            [part("$[*][*]", "fixed", **X)],
            [["X"], []],
        ),
        (STRUCT, {"a": "x", "n": 7, "j": '{"k": 1}'}, [part("$.a", "fixed", **X)], {"a": "X", "n": 0, "j": "{}"}),
        (
            STRUCT,
            {"a": "x", "n": 7, "j": '{"k": 1, "l": 2}'},
            [part("$.j.k", "redact"), REST],
            {"a": "x", "n": 7, "j": '{"k": null, "l": 2}'},
        ),
        (STRUCT, {"a": "x", "n": 7, "j": "{}"}, [part("$.n", "null"), REST], {"a": "x", "n": None, "j": "{}"}),
        (STRUCT, {"a": "x", "n": 7, "j": "{}"}, [part("$.z", "keep")], {"a": "", "n": 0, "j": "{}"}),
        (MAP, {"a": "x", "b": None, "c": "z"}, [part("$.a", "fixed", **X), part("$.b", "keep")], {"a": "X", "b": None}),
        (MAP, {"a": "x", "b": "y"}, [part("$.*~", "fixed", **X), REST], {"X": "x"}),
        (
            MAP,
            {"a": '{"ssn": 1, "b": 2}', "b": "y"},
            [part("$..ssn", "redact"), REST],
            {"a": '{"ssn": null, "b": 2}', "b": "y"},
        ),
        ({"type": "map", "keys": {"type": "int32"}, "values": TEXT}, [[1, "x"]], [part("$.a", "redact"), REST], []),
        (TEXT, '{"a": 1, "b": 2}', [part("$.a", "keep")], '{"a": 1}'),
        (TEXT, "no json", [part("$.a", "keep"), REST], ""),
        ({"type": "int64"}, 7, [part("$.a", "keep"), REST], 0),
        (JSON, '{"a": 1, "b": 2}', [part("$.a", "keep")], '{"a": 1}'),
    ],
)
def test_a_described_column_fits_the_schema_that_describes_it(
    schema: dict[str, Any], value: Any, rules: list[Rule], result: Any
) -> None:
    for optional, image in ((False, value), (True, value), (True, None)):
        column = {**schema, "optional": optional, "doc": CANARY, **({"default": value} if schema["type"] == "string" else {})}
        event = described(envelope_schema({"doc": column}), change(after={"doc": image}))
        outcome = masker(*rules).mask(record(event))
        assert outcome.fate is Fate.MASKED
        assert outcome.value is not None
        assert misfits(outcome.value) == []
        assert CANARY.encode() not in outcome.value
        after = payload(outcome.value)["after"]["doc"]
        if image is None:
            assert after is None
        elif not optional:
            assert after == result


def test_a_described_column_that_is_not_what_its_schema_says_is_redacted() -> None:
    array = from_connect({"type": "array", "items": TEXT})
    for raw in ('{"ssn":1}', '"x"', "1"):
        assert masked(raw, part("$..ssn", "redact"), REST, type_=array) == "[]"
    struct = from_connect(STRUCT)
    for raw in ('{"a":"x"}', '{"a":"x","n":1,"j":"{}","more":1}', "[]"):
        assert masked(raw, part("$..ssn", "redact"), REST, type_=struct) == '{"a":"","n":0,"j":"{}"}'


# Policies


@pytest.mark.parametrize("type_", ["integer", "uuid", "bytea", "no such type"])
def test_paths_into_types_without_parts_are_refused(type_: str) -> None:
    with pytest.raises(PolicyError, match="has no parts"):
        check(Policy.of(1, rules=[part("$.a", "keep", type=type_)]))


@pytest.mark.parametrize("type_", ["json", "jsonb", "hstore", "text", "varchar(20)", "text[]", "jsonb[]"])
def test_paths_into_types_with_parts_are_taken(type_: str) -> None:
    check(Policy.of(1, rules=[part("$.a", "keep", type=type_)]))


def test_rules_of_one_column_state_one_type() -> None:
    with pytest.raises(PolicyError, match="all rules of one column have to state the same"):
        check(Policy.of(1, rules=[part("$.a", "keep", type="json"), part("$.b", "keep", type="jsonb")]))


@pytest.mark.parametrize(
    "make", [lambda: part("$.a", "hide"), lambda: part("$.a", "partial"), lambda: part("$.a", "keep", x=1)]
)
def test_methods_of_parts_are_checked_like_any_other(make: Callable[[], Rule]) -> None:
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=[make()]))
    assert caught.value.place == "rule crm.people.doc$.a"


def test_a_key_that_a_part_needs_is_missed_at_the_start() -> None:
    with pytest.raises(KeyringError):
        Engine(Policy.of(1, rules=[part("$.a", "tokenize")]), Keyring.of([]))


def test_rules_for_one_server_stand_in_place_of_those_for_any() -> None:
    rules = [part("$.a", "keep"), part("$.b", "keep", server="shop")]
    assert inside('{"a": 1, "b": 2}', *rules) == '{"b": 2}'
