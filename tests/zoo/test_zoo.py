"""Everything that Debezium writes of the zoo, in every mode, with and without schemas, masked under both policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.methods import UNCHANGED
from cdc_masker.pipeline import Masker
from cdc_masker.schemas import Type, from_connect
from tests.property.cores import Both
from tests.unit.building import KEYS, compact, payload
from tests.unit.connect_json import misfits
from tests.zoo.animals import ANIMALS, LABELS, seed
from tests.zoo.capture import MODES, PLAIN, Capture, undescribed
from tests.zoo.policies import HINT, KEPT, POLICIES
from tests.zoo.representations import represented
from tests.zoo.search import Haystack, forms, leaves, texts_of
from tests.zoo.tables import CANARIES, LARGE

pytestmark = pytest.mark.stack

Zoo = dict[str, Capture]
Masked = Callable[[Capture, str], list[tuple[Record, Outcome]]]

_CAPTURES = [*((mode, described) for mode in MODES for described in (True, False)), (PLAIN, False)]

# Columns of these types the connector leaves out, whatever its options say.
_LEFT_OUT = {"money_array", "interval_array", "xml_array", "point_array"}


@pytest.fixture(params=_CAPTURES, ids=lambda each: each[0] + (" with schema" if each[1] else ""))
def capture(request: pytest.FixtureRequest, zoo: Zoo) -> Capture:
    mode, described = request.param
    return zoo[mode] if described == zoo[mode].described else undescribed(zoo[mode])


@pytest.fixture(params=MODES)
def described(request: pytest.FixtureRequest, zoo: Zoo) -> Capture:
    return zoo[request.param]


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def masked() -> Masked:
    """Masks a capture under a policy, once for all tests."""
    done: dict[tuple[str, bool, str], list[tuple[Record, Outcome]]] = {}

    def mask(capture: Capture, policy: str) -> list[tuple[Record, Outcome]]:
        identity = (capture.mode, capture.described, policy)
        if identity not in done:
            masker = Masker(POLICIES[policy], KEYS, max_record_bytes=8_000_000)
            done[identity] = [(record, masker.mask(record)) for record in capture.records()]
        return done[identity]

    return mask


def columns(text: bytes | None, place: str) -> dict[str, dict[str, Any]]:
    """The schemas of the columns of one row image, by name."""
    assert text is not None
    (row,) = (field for field in json.loads(text)["schema"]["fields"] if field["field"] == place)
    return {field["field"]: field for field in row["fields"]}


def test_what_is_written_without_schemas_is_the_payload_of_what_is_written_with_them(zoo: Zoo) -> None:
    plain, stripped = zoo[PLAIN], undescribed(zoo["adaptive"])
    for topic in sorted(each for each in plain.topics if each.startswith("zoo.") and each != "zoo.signals"):
        if topic != "zoo.drift":  # Debezium looks its primary key up when it reads a change: the table may be renamed by then
            assert [record.key for record in plain.topics[topic]] == [record.key for record in stripped.topics[topic]]
        for one, other in zip(plain.values(topic), stripped.values(topic), strict=True):
            assert list(one) == list(other)
            for place in ("op", "before", "after"):
                if topic != "zoo.Type_Zoo":  # it holds an array of arrays, of which Debezium writes Java's object ids
                    assert compact(one.get(place)) == compact(other.get(place))


def test_the_connector_represents_each_type_as_the_page_says(described: Capture) -> None:
    first = next(record for record in described.topics["zoo.Type_Zoo"] if record.value)
    real = columns(first.value, "after")
    assert {animal.name for animal in ANIMALS if animal.name not in real} == _LEFT_OUT
    for animal in ANIMALS:
        if animal.written:
            expected = replace(represented(animal, MODES[described.mode]), optional=True)
            assert from_connect(real[animal.name]) == expected, animal.name


def test_both_cores_mask_each_record_alike(capture: Capture, policy: str) -> None:
    both = Both(POLICIES[policy], max_record_bytes=8_000_000)
    for record in capture.records():
        both.mask(record)
    rows = [record for record in capture.records() if record.topic == "zoo.Type_Zoo" and record.value]
    assert any(both.own(rows))


def test_each_record_has_the_outcome_that_its_kind_has(capture: Capture, policy: str, masked: Masked) -> None:
    for record, outcome in masked(capture, policy):
        expected = Fate.MASKED
        if "heartbeat" in record.topic or record.topic.endswith(".transaction") or b'"op":"t"' in (record.value or b""):
            expected = Fate.CONTROL
        elif record.topic.endswith(".notifications"):
            expected = Fate.DROPPED
        elif capture.mode == "connect" and record.topic.endswith(".keys") and b"debezium.newkey" in _names(record):
            # Connect writes Kafka Connect's own times into a header as it shows them to people: that is no JSON.
            expected = Fate.QUARANTINED
            assert outcome.reason is Reason.NOT_JSON
        assert outcome.fate is expected, record


def _names(record: Record) -> bytes:
    return b" ".join(name.encode().replace(b"oldkey", b"newkey") for name, _ in record.headers)


def test_what_is_masked_fits_its_schema_and_the_schema_says_nothing(described: Capture, policy: str, masked: Masked) -> None:
    for record, outcome in masked(described, policy):
        for text in (record.key, record.value, outcome.key, outcome.value):
            assert text is None or misfits(text) == [], (record, text is record.key or text is record.value)
        if outcome.fate is Fate.MASKED and outcome.value is not None:
            for place in ("before", "after", "message"):
                if b'"field":"' + place.encode() + b'"' in outcome.value:
                    for name, schema in columns(outcome.value, place).items():
                        assert name in KEPT or not _tells(schema), (record, name)


def _tells(schema: dict[str, Any]) -> set[str]:
    """What in a schema could hold data."""
    found = {"default", "doc"} & set(schema) | set(schema.get("parameters", {})) - {
        "scale",
        "connect.decimal.precision",
        "length",
    }
    for nested in (schema.get("items"), schema.get("keys"), schema.get("values"), *schema.get("fields", ())):
        if nested is not None:
            found |= _tells(nested)
    return found


def test_rules_for_a_prefix_hold_for_messages_that_have_it(capture: Capture, policy: str, masked: Masked) -> None:
    seen = [
        (payload(record.value)["message"]["prefix"], payload(outcome.value)["message"], payload(outcome.key))
        for record, outcome in masked(capture, policy)
        if record.topic.endswith(".message")
    ]
    assert len(seen) == 3
    for prefix, message, key in seen:
        kept = policy == "rules" and prefix == HINT
        assert (message["prefix"] == key["prefix"] == HINT) is kept
        assert message["content"] in (None, "")


def test_by_default_each_column_is_null_or_says_nothing(described: Capture, masked: Masked) -> None:
    for table, optional in (("Type_Zoo", True), ("required", False)):
        seen = set()
        for record, outcome in masked(described, "empty"):
            if record.topic.endswith(f".zoo.{table}") and outcome.value is not None:
                row = json.loads(outcome.value)["payload"]["after"] or {}
                row.pop("id", None)
                seen.add(compact(row))
                assert not optional or set(row.values()) <= {None}
        assert len(seen - {"{}"}) == 1  # whatever the row was


def test_an_enum_becomes_a_plain_text(described: Capture, policy: str, masked: Masked) -> None:
    for record, outcome in masked(described, policy):
        if record.topic.endswith(("Type_Zoo", "required")) and outcome.value is not None:
            for name in ("enum", "enum_quoted", "domain_enum"):
                schema = columns(outcome.value, "after")[name]
                assert from_connect(schema) == Type(base="string", optional=schema["optional"])
        if record.topic.endswith("Type_Zoo") and outcome.value is not None:
            items = columns(outcome.value, "after")["enum_array"]["items"]
            assert from_connect(items) == Type(base="string", optional=items["optional"])


def test_a_large_value_that_did_not_change_stays_a_marker_or_is_redacted(capture: Capture, policy: str, masked: Masked) -> None:
    (raw, new), *_ = [
        (_row(record.value), _row(outcome.value))
        for record, outcome in masked(capture, policy)
        if record.topic.endswith(".toast") and b'"op":"u"' in (record.value or b"")
    ]
    markers = {animal.name for animal in LARGE if compact(raw[animal.name]).encode() in UNCHANGED}
    assert {animal.name for animal in LARGE} - markers == _CHANGED_ANYWAY[capture.mode]
    rules = {rule.column: rule.method for rule in POLICIES[policy].rules if rule.table == "toast"}
    for name in markers:
        computed = rules.get(name) in ("tokenize", "partial", "truncate") and name in ("text", "varchar", "citext", "domain")
        assert new[name] == raw[name] if computed else new[name] in (None, "gone", raw[name]), name


# Columns for which the connector has no marker: it takes another value for one (`numeric` in full), or writes null.
_LOST = {"numeric", "numeric_array", "timestamp_array"}
_CHANGED_ANYWAY = {
    **dict.fromkeys(("adaptive", "microseconds", PLAIN), _LOST),
    **dict.fromkeys(("adaptive_time_microseconds", "nanoseconds"), _LOST | {"bytea", "bytea_array"}),
    "isostring": _LOST | {"bytea", "bytea_array", "date_array"},
    **dict.fromkeys(("connect", "structured"), _LOST | {"bytea_array", "date_array"}),
}


def _row(text: bytes | None) -> dict[str, Any]:
    assert text is not None
    value = json.loads(text)
    row: dict[str, Any] = value.get("payload", value)["after"]
    return row


def test_what_was_planted_is_in_the_raw_records(capture: Capture) -> None:
    """Else the search below would prove nothing."""
    haystack = Haystack(texts_of(capture.records()))
    for place, planted in CANARIES.items():
        table, _, rest = place.partition("/")
        if table in _TEXTS or (rest.endswith(_SHOWN) and "default" not in rest):
            assert any(form in haystack for form in forms(place, planted)), place
    if capture.described:
        assert all(label.encode() in haystack for label in LABELS)
        assert seed("zoo.required", "default", "text").hex().encode() in haystack


# Tables that hold nothing but text.
_TEXTS = ("message", "signal", "size", "nokey", "indexed", "parts")
# Types in which each representation shows the seed itself, or the value as PostgreSQL writes it.
_SHOWN = tuple(
    f"/{name}"
    for name in (
        "text", "varchar", "bpchar", "name", "citext", "bytea", "uuid", "json", "jsonb", "xml", "hstore", "ltree", "tsvector",
        "inet", "cidr", "macaddr", "integer", "bigint", "oid", "int4range", "int8range", "domain", "domain_of_domain",
        "domain_bigint", "composite", "text_range", "tsquery", "jsonpath", "text_array", "varchar_array", "citext_array",
        "bytea_array", "uuid_array",
    )
)  # fmt: skip


def test_nothing_that_was_planted_comes_out(capture: Capture, policy: str, masked: Masked) -> None:
    needles = set[bytes]().union(*(forms(place, planted) for place, planted in CANARIES.items()))
    if policy != "fitting":  # its methods round numbers and cut or move dates, to what others may be
        needles |= leaves(capture, KEPT if policy == "rules" else frozenset())
    assert len(needles) > 10_000
    haystack = Haystack(_published(masked(capture, policy)))
    found = [needle for needle in needles if needle in haystack]
    assert not found, len(found)


def _published(masked: list[tuple[Record, Outcome]]) -> Iterator[bytes]:
    yield from texts_of(outcome for _, outcome in masked)
    yield from (repr(outcome).encode() for _, outcome in masked)
