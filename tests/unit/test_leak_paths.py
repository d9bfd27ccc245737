"""docs/leak-paths.md names a test for each place; the canaries for places that no other test plants one in are here."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.events import Fate, Outcome
from cdc_masker.policies import Rule
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule, source
from tests.unit.connect_json import misfits

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "leak-paths.md"
CANARY = "canary-5b0e7c4d9a"
ROW = {"id": 7, "mail": CANARY}


def clean(outcome: Outcome) -> Outcome:
    texts = [outcome.key or b"", outcome.value or b"", *(value or b"" for _, value in outcome.headers)]
    assert not any(CANARY.encode() in text for text in [*texts, repr(outcome).encode()])
    return outcome


def rows() -> list[tuple[str, list[str]]]:
    """The number of each place, and the tests that its row names."""
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    return [(line.split("|")[1].strip(), re.findall(r"`(tests/[\w/]+\.py::\w+)`", line)) for line in lines]


def test_every_place_is_held_by_tests() -> None:
    assert [number for number, _ in rows()] == [str(number) for number in range(1, 21)]
    assert [number for number, tests in rows() if not tests] == []


@pytest.mark.parametrize("name", sorted({name for _, tests in rows() for name in tests}))
def test_each_test_that_the_page_names_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("snapshot", ["first", "true", "first_in_data_collection", "last", "incremental", "false"])
def test_a_row_that_a_snapshot_reads_is_masked_as_any_other(snapshot: str) -> None:
    event = change("r", after=ROW, source=source(snapshot=snapshot))
    outcome = clean(masker(rule("id", "keep")).mask(record(event, {"id": 7})))
    assert payload(outcome.value)["after"] == {"id": 7, "mail": None}


def test_metadata_of_the_source_column_leave_the_schema() -> None:
    told = {"__debezium.source.column.name": CANARY, "__debezium.source.column.type": CANARY, "allowed": CANARY}
    column = {"type": "string", "optional": True, "default": CANARY, "doc": CANARY, "parameters": told}
    nested = {"type": "array", "items": {**column, "name": "io.debezium.data.Enum"}, "optional": True}
    event = described(
        envelope_schema({"mail": column, "moods": nested}), change("c", after={"mail": CANARY, "moods": [CANARY]})
    )
    outcome = clean(masker().mask(record(event)))
    assert outcome.fate is Fate.MASKED


def test_the_transaction_block_passes_by_an_allow_list() -> None:
    block = {"id": "921:1", "total_order": 1, "data_collection_order": 1, "user": CANARY}
    outcome = clean(masker().mask(record(change("c", after=ROW, transaction=block), {"id": 7})))
    assert set(payload(outcome.value)["transaction"]) == {"id", "total_order", "data_collection_order"}


def test_the_filter_in_a_signal_is_redacted() -> None:
    data = f'{{"data-collections": ["crm.people"], "additional-conditions": [{{"filter": "ssn=\'{CANARY}\'"}}]}}'
    signal = {"id": "ad-hoc", "type": "execute-snapshot", "data": data}
    outcome = clean(masker().mask(record(change("c", table="signals", after=signal), {"id": "ad-hoc"})))
    assert payload(outcome.value)["after"]["data"] is None


NOTIFICATION = {
    "id": "4d9f",
    "type": "IN_PROGRESS",
    "aggregate_type": "Incremental Snapshot",
    "additional_data": {"current_collection_in_progress": "crm.people", "maximum_key": CANARY},
    "timestamp": 1795242088677,
}


@pytest.mark.parametrize("notification", [NOTIFICATION, {**NOTIFICATION, "additional_data": None}])
def test_a_notification_is_dropped(notification: dict[str, Any]) -> None:
    outcome = clean(masker().mask(record(notification, {"id": "4d9f"}, topic="shop.notifications")))
    assert (outcome.fate, outcome.published) == (Fate.DROPPED, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ({"id": "other"}, NOTIFICATION),
        ({"id": "4d9f", "mail": CANARY}, NOTIFICATION),
        (None, NOTIFICATION),
        ({"id": "4d9f"}, {**NOTIFICATION, "mail": CANARY}),
        ({"id": "4d9f"}, {**NOTIFICATION, "timestamp": "now"}),
        ({"id": "4d9f"}, {name: value for name, value in NOTIFICATION.items() if name != "timestamp"}),
    ],
)
def test_what_only_resembles_a_notification_is_not_lost(key: Any, value: Any) -> None:
    outcome = clean(masker().mask(record(value, key, topic="shop.notifications")))
    assert outcome.fate is Fate.QUARANTINED


def test_a_column_has_its_rule_back_only_under_its_own_name() -> None:
    """A column that was renamed, or whose table was, is another column until somebody decides."""
    rules = (rule("mail", "keep"), rule("mail", "keep", table="People"))
    assert payload(masker(*rules).mask(record(change(after={"mail": "kept"}))).value)["after"] == {"mail": "kept"}
    for table, column in (("people", "e_mail"), ("people", "Mail"), ("persons", "mail"), ("PEOPLE", "mail")):
        outcome = clean(masker(*rules).mask(record(change(table=table, after={column: CANARY}))))
        assert payload(outcome.value)["after"] == {column: None}


@pytest.mark.parametrize("table", ["Type Zoo", "Größe", 'quo"ted', "a.b", "пол"])
def test_a_rule_matches_the_name_in_the_database_not_that_of_the_topic(table: str) -> None:
    topic = "shop.crm." + re.sub(r"[^A-Za-z0-9._-]", "_", table)
    event = change(table=table, after={"mail": CANARY})
    assert payload(clean(masker().mask(record(event, topic=topic))).value)["after"] == {"mail": None}
    sanitised = rule("mail", "keep", table=topic.removeprefix("shop.crm."))
    if sanitised.table != table:
        assert payload(clean(masker(sanitised).mask(record(event, topic=topic))).value)["after"] == {"mail": None}
    kept = masker(rule("mail", "keep", table=table)).mask(record(event, topic=topic))
    assert payload(kept.value)["after"] == {"mail": CANARY}


MARKER = "__debezium_unavailable_value"
MARKERS = [
    MARKER,
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    [MARKER],
    ["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="],
    list(MARKER.encode()),
    ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"],
    {MARKER: MARKER},
    f'{{"{MARKER}":"{MARKER}"}}',
]


@pytest.mark.parametrize("marker", MARKERS, ids=str)
@pytest.mark.parametrize(
    "decided", [rule("mail", "tokenize"), rule("mail", "truncate", length=1)], ids=lambda each: each.method
)
def test_every_marker_of_an_unchanged_value_stays_one(decided: Rule, marker: Any) -> None:
    outcome = masker(decided).mask(record(change("u", after={"mail": marker})))
    assert payload(outcome.value)["after"] == {"mail": marker}


@pytest.mark.parametrize(
    ("marker", "schema"),
    [
        ([MARKER], {"type": "array", "items": {"type": "string", "optional": True}}),
        (list(MARKER.encode()), {"type": "array", "items": {"type": "int32", "optional": True}}),
        ({MARKER: MARKER}, {"type": "map", "keys": {"type": "string"}, "values": {"type": "string", "optional": True}}),
    ],
    ids=str,
)
def test_a_marker_is_a_text_where_a_text_comes_out(marker: Any, schema: dict[str, Any]) -> None:
    event = described(envelope_schema({"mail": {**schema, "optional": True}}), change("u", after={"mail": marker}))
    outcome = masker(rule("mail", "encrypt")).mask(record(event))
    assert payload(outcome.value)["after"] == {"mail": MARKER}
    assert misfits(outcome.value or b"") == []


@pytest.mark.parametrize("beside", [f"{MARKER} {CANARY}", [MARKER, CANARY], {MARKER: CANARY}, {CANARY: MARKER}], ids=str)
def test_a_value_that_contains_a_marker_is_masked(beside: Any) -> None:
    for method in ("tokenize", "redact"):
        outcome = masker(rule("mail", method)).mask(record(change("u", after={"mail": beside})))
        assert clean(outcome).fate is Fate.MASKED


def test_our_connector_configuration_tells_no_message() -> None:
    options = json.loads((ROOT / "connectors" / "postgres-source.json").read_text())
    assert options["errors.log.include.messages"] == "false"
    assert options["errors.tolerance"] == "none"
    assert not any("deadletterqueue" in option for option in options)
