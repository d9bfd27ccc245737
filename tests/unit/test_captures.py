"""Every record that Debezium really wrote for the example shop, under the example policy and under none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from tests.unit.building import KEYS, payload
from tests.unit.connect_json import misfits

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
POLICIES = {"none": EMPTY, "shop": Policy.from_document((EXAMPLES / "shop-policy.json").read_bytes())}
MARKER = "__debezium_unavailable_value"
# The marker, and what Debezium writes for NOT NULL columns of an old image that the replica identity leaves out.
TELLS_NOTHING = {MARKER, "1970-01-01T00:00:00.000000Z", "00000000-0000-0000-0000-000000000000"}

Masked = list[tuple[Record, Outcome]]


def capture(name: str) -> list[Record]:
    return [decode_line(line) for line in (EXAMPLES / f"{name}.jsonl").read_bytes().splitlines()]


@pytest.fixture(params=["shop", "shop-schemas"])
def records(request: pytest.FixtureRequest) -> list[Record]:
    return capture(request.param)


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Policy:
    return POLICIES[request.param]


@pytest.fixture
def masked(records: list[Record], policy: Policy) -> Masked:
    masker = Masker(policy, KEYS)
    return [(record, masker.mask(record)) for record in records]


def test_every_record_is_published_in_its_place(masked: Masked) -> None:
    fates = Counter(outcome.fate for _, outcome in masked)
    assert set(fates) == {Fate.MASKED, Fate.CONTROL}
    for raw, outcome in masked:
        assert (outcome.topic, outcome.partition, outcome.offset) == (raw.topic, raw.partition, raw.offset)
        assert (outcome.timestamp, outcome.target) == (raw.timestamp, f"masked.{raw.topic}")
        assert (outcome.fate is Fate.CONTROL) == ("heartbeat" in raw.topic or raw.topic == "shop.transaction")


def test_what_came_with_a_schema_goes_with_one_that_describes_it(masked: Masked) -> None:
    found = 0
    for raw, outcome in masked:
        for before, after in ((raw.key, outcome.key), (raw.value, outcome.value)):
            assert (before is None) == (after is None)
            if before is not None and before.startswith(b'{"schema"'):
                found += 1
                assert misfits(before) == misfits(after) == []
    assert found in (0, sum((raw.key is not None) + (raw.value is not None) for raw, _ in masked))


def test_everything_but_rows_comes_out_as_it_went_in(masked: Masked) -> None:
    for raw, outcome in masked:
        if raw.value is None:
            assert outcome.value is None
            continue
        before, after = payload(raw.value), payload(outcome.value)
        assert list(before) == list(after)
        for name, value in before.items():
            if name not in ("before", "after", "message"):
                assert after[name] == value
            elif value is not None:
                assert list(after[name]) == list(value)


def test_rows_are_matched_by_their_keys_as_before(masked: Masked) -> None:
    """Key, image, tombstone and key-change headers agree: distinct keys stay distinct, equal ones equal."""
    raw_to_masked: dict[tuple[str, str], str] = {}
    for raw, outcome in masked:
        if raw.key is None or outcome.fate is Fate.CONTROL:
            continue
        key = payload(outcome.key)
        pairs = [(payload(raw.key), key)]
        headers = dict(outcome.headers)
        pairs += [
            (json.loads(value or b""), json.loads(headers[name] or b"")) for name, value in raw.headers if name in _KEY_HEADERS
        ]
        for one, other in pairs:
            spelling = json.dumps(other)
            assert raw_to_masked.setdefault((raw.topic, json.dumps(one)), spelling) == spelling
        if raw.value is not None:
            event = payload(outcome.value)
            if event["op"] != "m":
                row = event["before"] if event["op"] == "d" else event["after"]
                assert {name: row[name] for name in key} == key
    tokens = Counter((topic, spelling) for (topic, _), spelling in raw_to_masked.items())
    assert len(tokens) > 60
    assert set(tokens.values()) == {1}


_KEY_HEADERS = ("__debezium.newkey", "__debezium.oldkey")


def test_nothing_raw_of_a_masked_column_is_anywhere_in_the_output(masked: Masked, policy: Policy) -> None:
    kept = {(rule.table, rule.column) for rule in policy.rules if rule.method == "keep"}
    raw_values: set[str] = set()
    for raw, _ in masked:
        event = payload(raw.value) if raw.value is not None else {}
        for image in ("before", "after", "message"):
            for column, value in (event.get(image) or {}).items():
                if (event["source"]["table"], column) not in kept:
                    raw_values |= {text for text in _texts(value) if len(text) > 5 and text not in TELLS_NOTHING}
    assert len(raw_values) > 150
    for _, outcome in masked:
        text = _everything(outcome)
        assert [value for value in raw_values if value in text] == []


def test_an_unchanged_large_value_stays_marked(policy: Policy) -> None:
    found = 0
    for name in ("shop", "shop-schemas"):
        masker = Masker(policy, KEYS)
        for raw in capture(name):
            outcome = masker.mask(raw)
            row = (payload(raw.value) if raw.value is not None else {}).get("after") or {}
            for column, value in row.items():
                if value == MARKER:
                    found += 1
                    assert payload(outcome.value)["after"][column] in (MARKER, None, "[removed]", "", "{}")
    assert found


def _texts(value: Any) -> set[str]:
    """All texts within a JSON value, and within JSON that stands in a text."""
    match value:
        case dict():
            return set().union(*(_texts(each) for pair in value.items() for each in pair))
        case list():
            return set().union(*(_texts(each) for each in value))
        case str() if value.startswith(("{", "[")):
            return {value, *_texts(json.loads(value))}
        case str():
            return {value}
    return set()


def _everything(outcome: Outcome) -> str:
    parts = [outcome.key, outcome.value, *(value for _, value in outcome.headers)]
    return "\n".join((part or b"").decode() for part in parts)
