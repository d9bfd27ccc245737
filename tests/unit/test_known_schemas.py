"""A schema that stood in the record before is not read again, and nobody can tell by what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cdc_masker.codecs.json import MAX_DEPTH
from cdc_masker.events import Fate, Record
from tests.unit.building import change, compact, described, envelope_schema, masker, record, row_schema, rule

COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"type": "int64"},
    "b": {"type": "string"},
    "c": {"type": "string", "optional": True},
}
KEY = compact(described(row_schema({"id": {"type": "int64"}}, "Key"), {"id": 1}))
SCHEMA = compact(envelope_schema(COLUMNS))
PAYLOAD = compact(change("u", before={"id": 1, "b": "é\\", "c": None}, after={"id": 1, "b": "}},{{", "c": '","payload":{'}))
GOOD = f'{{"schema":{SCHEMA},"payload":{PAYLOAD}}}'
OTHER = record(compact(described(envelope_schema({**COLUMNS, "d": {"type": "string"}}), change("c"))), KEY)

MASKER = masker(rule("id", "keep"), rule("b", "tokenize"), rule("c", "partial", type="text", last=2))


def nested(depth: int) -> str:
    """An event that nests so deep in all, in a field that nobody knows."""
    return GOOD.replace('"op":', f'"deep":{"[" * (depth - 2)}{"]" * (depth - 2)},"op":')


def odd() -> Iterator[str]:
    """Texts that begin with the same schema."""
    yield from (f"{GOOD} ", f"{GOOD[:-1]} }}")
    yield from (GOOD.replace('"payload":', spaced) for spaced in ('"payload": ', '"payload" :'))
    yield f'{{"schema":{SCHEMA},"payload":{PAYLOAD},"payload":{PAYLOAD}}}'
    yield f'{{"schema":{SCHEMA},"payload":{PAYLOAD},"schema":{SCHEMA}}}'
    yield f'{{"schema":{SCHEMA},"payload":{PAYLOAD}}}{{}}'
    yield from (f'{{"schema":{SCHEMA},"payload":{payload}}}' for payload in ("null", "{}", "[]", "1", '"{}"', "", "{", "{}}"))
    yield f'{{"schema":{SCHEMA}}}'
    yield from (nested(depth) for depth in (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1))
    yield GOOD.replace('"op":"u"', '"op":"u","op":"u"')
    yield GOOD.replace('"op":"u"', '"op":"x"')
    yield GOOD.replace(PAYLOAD, compact({"op": "m", "source": {}, "message": {}}))


def broken() -> Iterator[bytes]:
    """The good one with each byte of its payload changed or taken out, and cut off there."""
    good = GOOD.encode()
    for position in range(len(SCHEMA), len(good)):
        for byte in (b"", b'"', b"}", b"\xff"):
            yield good[:position] + byte + good[position + 1 :]
        yield good[:position]


def test_what_begins_with_a_known_schema_comes_out_as_if_it_was_new() -> None:
    known, texts = record(GOOD, KEY), [*(text.encode() for text in odd()), *broken()]
    assert MASKER.mask(known).fate is Fate.MASKED
    for text in texts:
        raw = record(text, KEY)
        outcomes = []
        for before in (OTHER, known):
            MASKER.mask(before)
            outcomes.append(MASKER.mask(raw))
        new, seen = outcomes
        assert seen == new, text


@pytest.mark.parametrize(("depth", "fate"), [(MAX_DEPTH, Fate.MASKED), (MAX_DEPTH + 1, Fate.QUARANTINED)])
def test_the_schema_around_counts_for_the_depth(depth: int, fate: Fate) -> None:
    MASKER.mask(record(GOOD, KEY))
    assert MASKER.mask(record(nested(depth), KEY)).fate is fate


def test_keys_are_recognised_likewise() -> None:
    def key(text: str) -> Record:
        return record(GOOD, text)

    other = compact(described(row_schema({"id": {"type": "int32"}}, "Key"), {"id": 1}))
    ends = ("1}}", "1}} ", "1,1}}", '1,"id":1}}', "1}", "}}")
    for text in (KEY.replace("1}}", end) for end in ends):
        outcomes = []
        for before in (other, KEY):
            MASKER.mask(key(before))
            outcomes.append(MASKER.mask(key(text)))
        assert outcomes[0] == outcomes[1], text
