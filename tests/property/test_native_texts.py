"""However a record is written or damaged, both cores say the same about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cdc_masker.guard import EgressGuard
from tests.property.cores import PEOPLE, ROW, SELDOM, SHORT, Both
from tests.property.events import Case, cases
from tests.unit.building import change, compact, described, envelope_schema, record, row_schema, source

many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

_TROUBLE = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u00e9", b"\\ud800", b"\xff", b"\xc3\xa9", b"1e999", b"null", b"\x00",
    b"\x1f", b"\x7f", b" ", b"-", b"0", b'"":0,', b'"a":{"b":1,"b":2},', b"1.0", b"-0", b"{}", b"[[]]", b"e", b"true",
]  # fmt: skip


@many
@given(cases(), st.data())
def test_a_damaged_event_comes_out_the_same(case: Case, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["key", "value", "value"]))
    text: bytes | None = getattr(case.record, part)
    if text is None:
        return
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    damaged = text[:start] + data.draw(st.sampled_from(_TROUBLE) | st.binary(max_size=4)) + text[end:]
    both = Both(case.policy, guard=SELDOM)
    both.mask(case.record)
    both.mask(structs.replace(case.record, key=damaged) if part == "key" else structs.replace(case.record, value=damaged))


@pytest.mark.parametrize("start", range(0, len(SHORT.value or b""), 100))
def test_every_byte_changed_comes_out_the_same(start: int) -> None:
    both, text = Both(PEOPLE, guard=SELDOM), SHORT.value or b""
    both.mask(SHORT)
    for place in range(start, min(start + 100, len(text))):
        for byte in b'"\\{}[],:0 9a-.\x00\xff':
            both.mask(structs.replace(SHORT, value=text[:place] + bytes([byte]) + text[place + 1 :]))
        both.mask(structs.replace(SHORT, value=text[:place]))
        both.mask(structs.replace(SHORT, value=text[:place] + text[place + 1 :]))
        both.mask(structs.replace(SHORT, value=text[:place] + text[place : place + 1] + text[place:]))


@pytest.mark.parametrize("tail", [b"x", b" ", b"}", b"{}", b",", b'"', b"\xff", b"\x00", b"\n"])
@pytest.mark.parametrize("with_schema", [True, False])
def test_what_stands_around_a_text_comes_out_the_same(tail: bytes, with_schema: bool) -> None:
    event: Any = change("u", after={"id": 7})
    key: Any = {"id": 7}
    if with_schema:
        schemas = {"id": {"type": "int32"}}
        event, key = described(envelope_schema(schemas), event), described(row_schema(schemas, "Key"), key)
    both, whole = Both(PEOPLE, guard=SELDOM), record(event, key)
    both.mask(whole)
    for part in ("key", "value"):
        text: bytes = getattr(whole, part)
        for changed in (text + tail, tail + text, text[:-1] + tail + text[-1:], text[:1] + tail + text[1:]):
            both.mask(record(changed if part == "value" else event, changed if part == "key" else key))


@pytest.mark.parametrize("depth", [1, 28, 29, 30, 31, 32, 33, 97, 98, 99, 100, 101])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_values_come_out_the_same(depth: int, opening: str, closing: str) -> None:
    nested = opening * depth + "1" + closing * depth
    event = compact(change("u", after={**ROW, "place": "?"})).replace('"?"', nested)
    Both(PEOPLE).mask(record(event, {"id": 7}))


_TWICE = [
    '{"x":1,"x":2}',
    '[[{"x":1,"y":2,"x":1}]]',
    '{"a":{"b":{"c":1,"c":1}}}',
    '{"\\u0078":1,"x":2}',
    '{"x":1,"y":{"x":1}}',
    '{"":1,"":1}',
]


@pytest.mark.parametrize("text", _TWICE)
def test_names_that_stand_twice_come_out_the_same(text: str) -> None:
    both = Both(PEOPLE, guard=SELDOM)
    event = compact(change("u", after={**ROW, "place": "?"}))
    both.mask(record(event.replace('"?"', text), {"id": 7}))
    both.mask(record(event.replace('"?"', '1,"place":2'), {"id": 7}))
    both.mask(record(event, f'{{"id":7,"other":{text}}}'))
    both.mask(record(event, '{"id":7,"id":7}'))


_TEXTS = [
    *(b'"%s"' % text for text in (
        b"\\ud800", b"\\uDC00", b"\\ud83d\\ude00", b"\\ude00\\ud83d", b"\\u00zz", b"\\u12", b"\\x", b"\\",
        b"\\u0000", b"\\/",
        b"\\b\\f\\n\\r\\t", b"\\u00E9", b"\x00", b"\x1f", b"\x7f", b"\xc3\xa9", b"\xc3", b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80", b"a\nb",
    )),
    *b"01 -01 1. .5 1e 1E+5 1e- +1 - -a 0x1 1e999 -0 -0.0 00 0e0 1_0".split(),
    *b"tru nulll nul True NaN Infinity -Infinity ' /**/1 1//".split(),
    b"", b"[1,]", b"[,1]", b"[1 ,2]", b'{"a":1,}', b'{a:1}', b'{"a" :1}', b'{"a"}', b'{"a":}',
    b"[", b"]", b"9" * 400, b"[" + b"1," * 400 + b"1]",
]  # fmt: skip


@pytest.mark.parametrize("column", ["place", "other", "gone", "email", "number"])
@pytest.mark.parametrize("guard", [SELDOM, EgressGuard()], ids=["unguarded", "guarded"])
def test_any_text_of_a_value_comes_out_the_same(column: str, guard: EgressGuard) -> None:
    both = Both(PEOPLE, guard=guard)
    event = compact(change("u", after={**ROW, column: "?"})).encode()
    for text in _TEXTS:
        both.mask(record(event.replace(b'"?"', text), {"id": 7}))
        both.mask(record(event, b'{"id":%s}' % text))


@pytest.mark.parametrize("text", [b'"\xc3\xa9"', b'"\xc3"', b'"\xff"', b'"\xed\xa0\x80"', b'{"\xc3":1}'])
def test_bytes_beside_a_schema_come_out_the_same(text: bytes) -> None:
    schema = envelope_schema({"id": {"type": "int32"}, "place": {"type": "string"}})
    event = compact(described(schema, change("u", after={"id": 7, "place": "?"}))).encode()
    changed = event.replace(b'"?"', text), event.replace(b'"version":2', b'"doc":%s' % text)
    Both(PEOPLE, guard=SELDOM).mask(*(record(each, offset=2 * number + 1) for number, each in enumerate((event, *changed))))


def test_many_members_come_out_the_same() -> None:
    both = Both(PEOPLE)
    for count in (31, 32, 33, 200):
        place = {f"a{number}": number for number in range(count)}
        both.mask(record(change("u", after={**ROW, "place": place}), {"id": 7}))


_MEMBERS = ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns", "query"]
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "x", "é", '"', "\\", "\x7f", "\n"])
)


@many
@given(
    st.dictionaries(st.sampled_from([*source()]), _scalars, max_size=2),
    st.dictionaries(st.sampled_from(_MEMBERS), _scalars | st.just({}), max_size=1),
    st.sampled_from([None, {"id": "571:1", "total_order": 1, "data_collection_order": 2}, {"id": "a\\", "total_order": 1}]),
    st.permutations(_MEMBERS),
    st.booleans(),
)
def test_any_metadata_come_out_the_same(
    block: dict[str, Any], members: dict[str, Any], transaction: Any, order: list[str], shuffled: bool
) -> None:
    event = change("u", after=ROW, source=source(**block), transaction=transaction) | members
    if shuffled:
        event = {name: event[name] for name in order if name in event}
    Both(PEOPLE).mask(record(event, {"id": 7}))
