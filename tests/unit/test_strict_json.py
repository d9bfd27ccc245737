"""What is not plainly JSON is refused, with the right reason; what is kept keeps its exact text."""

from __future__ import annotations

import json

import pytest

from cdc_masker.codecs.json import MAX_DEPTH, check_text, members, refuse_duplicates
from cdc_masker.errors import InputError, Reason
from cdc_masker.events import Fate, Outcome
from tests.unit.building import change, compact, described, envelope_schema, masker, record, row_schema, rule

KEEP = rule("a", "keep")


def outcome(value: str | bytes, key: str | bytes | None = None) -> Outcome:
    return masker(KEEP, rule("n", "tokenize")).mask(record(value, key))


def reason_of(value: str | bytes, key: str | bytes | None = None) -> Reason | None:
    result = outcome(value, key)
    assert (result.fate is Fate.QUARANTINED) == (result.reason is not None)
    return result.reason


def event(row: str, **members_: str) -> str:
    """A change event with that text as `after`, and members replaced or added as text."""
    texts = {name: compact(value) for name, value in change().items()} | {"after": row} | members_
    return "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "123456789012345678901234567890",
        "1e5",
        "-0",
        "1E+400",
        "0.1000000000000000055511151231257827",
        '"\\u00e9 \\/ \\n"',
        '"é 😀 \x7f"',
        '"\\ud83d\\ude00"',
        "[1.0, 2.00,  {}]",
        '{"b":1.10,"a":[]}',
        "true",
        '""',
        "null",
    ],
)
def test_a_kept_value_keeps_its_text(text: str) -> None:
    result = outcome(event('{"a":' + text + "}"))
    assert result.value is not None
    assert b'"after":{"a":' + text.encode() + b"}," in result.value


@pytest.mark.parametrize(
    "bad",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "0x10",
        "'a'",
        "tru",
        "[1,]",
        "[1 2]",
        '{"b":1,}',
        '"\\x"',
        '"\\u12"',
        '"a\nb"',
        '"\\ud800"',
        '"\\udc00"',
        '"\\udc00\\ud800"',
        '"\\ud800\\u0041"',
        "",
        "//",
    ],
)
@pytest.mark.parametrize("column", ["a", "undecided", "n"])
def test_a_value_that_is_no_json_is_refused_whatever_is_done_to_its_column(column: str, bad: str) -> None:
    assert reason_of(event(f'{{"{column}":{bad}}}')) is Reason.NOT_JSON


@pytest.mark.parametrize("column", ["a", "undecided", "n"])
def test_invalid_utf8_is_refused_whatever_is_done_to_its_column(column: str) -> None:
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"):
        text = event(f'{{"{column}":"?"}}').encode().replace(b"?", bad)
        assert reason_of(text) is Reason.NOT_UTF8
        assert reason_of(event("{}"), b'{"' + column.encode() + b'":"' + bad + b'"}') is Reason.NOT_UTF8


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 400, "1" + "0" * 400 + ".5"])
def test_a_number_that_no_method_can_take_is_redacted(number: str) -> None:
    result = outcome(event(f'{{"n":{number},"a":{number}}}'))
    assert result.value is not None
    assert f'"after":{{"n":null,"a":{number}}}'.encode() in result.value


@pytest.mark.parametrize("around", ["\ufeff{}", "{} x", "{}{}", "{},", "\x00{}", "{}\x00"])
def test_nothing_may_stand_around_a_document(around: str) -> None:
    assert reason_of(around.replace("{}", event('{"a":1}'))) is Reason.NOT_JSON
    assert reason_of(event('{"a":1}'), around.replace("{}", '{"a":1}')) is Reason.NOT_JSON


def test_spaces_around_a_document_are_allowed() -> None:
    assert reason_of(" \t\r\n" + event('{"a":1}') + "\n ", ' {"a":1} ') is None


@pytest.mark.parametrize("text", ["", " ", "{", '{"op"', '"'])
def test_a_text_that_ends_too_early_is_refused(text: str) -> None:
    assert reason_of(text) is Reason.NOT_JSON


SOURCE = compact(change()["source"])
TWICE = {
    "top": event('{"a":1}')[:-1] + ',"op":"c"}',
    "top, an image": event('{"a":1}')[:-1] + ',"after":{"a":2}}',
    "top, a field nobody knows": event('{"a":1}')[:-1] + ',"x":1,"x":1}',
    "row": event('{"a":1,"a":2}'),
    "row, equal values": event('{"a":1,"a":1}'),
    "row, undecided": event('{"u":"x","u":"y"}'),
    "row, written in two ways": event('{"a":1,"\\u0061":2}'),
    "row, with spaces": event('{ "a" : 1 , "a" : 2 }'),
    "row, not ASCII": event('{"é":1,"é":2}'),
    "row, not ASCII written in two ways": event('{"é":1,"\\u00e9":2}'),
    "before": event('{"a":1}', before='{"a":1,"a":1}'),
    "kept object": event('{"a":{"x":1,"x":2}}'),
    "kept object, deep inside": event('{"a":[1,{"b":[{"x":1,"y":2,"x":1}]}]}'),
    "kept object, written in two ways": event('{"a":{"x":1,"\\u0078":2}}'),
    "object that is redacted": event('{"u":{"x":1,"x":2}}'),
    "object that is tokenized": event('{"n":[{"x":1,"x":2}]}'),
    "object in before": event('{"a":1}', before='{"a":{"x":{},"x":{}}}'),
    "source": event('{"a":1}', source=SOURCE[:-1] + ',"table":"people"}'),
    "source, another table": event('{"a":1}', source='{"table":"other",' + SOURCE[1:]),
    "source, a field nobody knows": event('{"a":1}', source=SOURCE[:-1] + ',"x":1,"x":2}'),
    "transaction": event('{"a":1}', transaction='{"id":"1:2","id":"1:3","total_order":1,"data_collection_order":1}'),
}


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE.keys())
def test_a_name_that_stands_twice_is_refused(text: str) -> None:
    json.loads(text)
    assert reason_of(text) is Reason.AMBIGUOUS_JSON


@pytest.mark.parametrize(
    "key",
    ['{"a":{"x":1,"x":2}}', '{"a":1,"a":2}', '{"a":1,"\\u0061":1}', '{ "a":1, "a":1 }', '{"é":1,"é":1}', '{"a":1,"b":2,"a":1}'],
)
def test_a_name_that_stands_twice_in_a_key_is_refused(key: str) -> None:
    assert reason_of(event('{"a":1}'), key) is Reason.AMBIGUOUS_JSON
    tombstone = masker(KEEP).mask(record(None, key))
    assert tombstone.reason is Reason.AMBIGUOUS_JSON
    for name in ("__debezium.newkey", "__debezium.oldkey"):
        changed = masker(KEEP).mask(record(event('{"a":1}'), '{"a":1}', headers=((name, key.encode()),)))
        assert changed.reason is Reason.AMBIGUOUS_JSON


def test_a_name_that_stands_twice_around_or_in_a_schema_is_refused() -> None:
    columns = {"a": {"type": "int64"}}
    value = compact(described(envelope_schema(columns), change(after={"a": 1})))
    key = compact(described(row_schema(columns, "Key"), {"a": 1}))
    assert reason_of(value, key) is None
    for text, duplicate in [
        (value, value[:-1] + ',"payload":null}'),
        (value, value.replace('{"schema":', '{"schema":{},"schema":', 1)),
        (value, value.replace('"optional":', '"optional":true,"optional":', 1)),
        (value, value.replace('"type":"int64"', '"type":"int64","default":1,"default":2', 1)),
        (value, value.replace('"a":1}', '"a":1,"a":1}')),
    ]:
        assert text != duplicate
        assert reason_of(duplicate, key) in (Reason.AMBIGUOUS_JSON, Reason.UNKNOWN_SHAPE)
    for duplicate in (key[:-1] + ',"payload":{"a":1}}', key.replace('"type":"int64"', '"type":"int64","type":"int64"')):
        assert reason_of(value, duplicate) is Reason.AMBIGUOUS_JSON


def test_a_name_may_stand_once_on_each_level() -> None:
    assert reason_of(event('{"a":{"a":{"a":1}},"op":{"op":1}}')) is None
    assert reason_of(event('{"a":[{"a":1},{"a":1}],"n":"{\\"x\\":1,\\"x\\":2}"}')) is None


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 30, "1e3", "1.0", "1e400"])
@pytest.mark.parametrize("name", ["lsn", "ts_ms", "total_order"])
def test_a_typed_field_holds_integers_of_64_bits_only(name: str, number: str) -> None:
    members_ = {
        "lsn": {"source": SOURCE.replace("46767384,", number + ",")},
        "ts_ms": {"ts_ms": number},
        "total_order": {"transaction": f'{{"id":"1:2","total_order":{number},"data_collection_order":1}}'},
    }[name]
    assert number in event("{}", **members_)
    assert reason_of(event('{"a":1}', **members_)) is Reason.UNKNOWN_SHAPE


@pytest.mark.parametrize("number", ["9223372036854775807", "-9223372036854775808", "-0", "0"])
def test_a_typed_field_holds_any_integer_of_64_bits(number: str) -> None:
    assert reason_of(event('{"a":1}', ts_ms=number)) is None


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_nesting_is_limited() -> None:
    # The event and its row are two levels themselves.
    assert reason_of(event('{"a":' + nested(MAX_DEPTH - 2) + "}")) is None
    assert reason_of(event('{"a":' + nested(MAX_DEPTH - 1) + "}")) is Reason.NOT_JSON
    assert reason_of(event("{}"), '{"a":' + nested(MAX_DEPTH) + "}") is Reason.NOT_JSON
    assert reason_of(event('{"a":' + nested(200_000) + "}")) is Reason.NOT_JSON


@pytest.mark.parametrize("text", ["[{" * 300, '\\"[' * 300, "\\\\" + "[" * 300, "[" * 300 + "\\\\"])
def test_brackets_in_texts_nest_nothing(text: str) -> None:
    assert reason_of(event('{"a":"' + text + '"}')) is None


def test_many_shallow_brackets_are_no_depth() -> None:
    assert reason_of(event('{"a":[' + ",".join(["{}"] * 500) + "]}")) is None


def test_depth_is_counted_where_bytes_are_checked() -> None:
    check_text(nested(MAX_DEPTH).encode(), "value")
    with pytest.raises(InputError, match="not_json at value"):
        check_text(nested(MAX_DEPTH + 1).encode(), "value")


def test_an_error_holds_place_and_reason_only() -> None:
    with pytest.raises(InputError) as caught:
        members(b'{"secret":1,"secret":2}', Reason.BAD_KEY, "key")
    assert str(caught.value) == "ambiguous_json at key"
    assert caught.value.__context__ is None
    with pytest.raises(InputError) as caught:
        refuse_duplicates(b'{"x":{"secret":1,"secret":2}}', "before")
    assert str(caught.value) == "ambiguous_json at before"
