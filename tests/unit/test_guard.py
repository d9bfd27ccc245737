"""The egress guard finds what a broken masker would let out, and nothing in what a right one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from cdc_masker.codecs.capture import decode_line
from cdc_masker.codecs.connect import Layout
from cdc_masker.engine import Engine, RowPlan
from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.guard import EgressGuard
from cdc_masker.keys import new_keyring
from cdc_masker.lookup import Table
from cdc_masker.methods import Keep
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, EnvelopeShape, Policy
from tests.unit import building

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
POLICY = Policy.from_document((EXAMPLES / "shop-policy.json").read_bytes())


def captured(name: str = "shop.jsonl") -> Iterator[Record]:
    with (EXAMPLES / name).open("rb") as lines:
        for line in lines:
            yield decode_line(line)


def changed_rows(name: str = "shop.jsonl") -> list[Record]:
    """Records with a new image; the old one of a delete holds type defaults, which say nothing."""
    return [each for each in captured(name) if each.topic == "shop.crm.customers" and b'"after":{' in (each.value or b"")]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose plans say that they mask, but let one column pass: what a bug in the inner loop would do."""
    compile_ = Engine.compile

    def compile_badly(self: Engine, table: Table, layout: Layout, *names: frozenset[str]) -> RowPlan:
        plan = compile_(self, table, layout, *names)
        cells = tuple((name, head, None if name == "email" else cell) for name, head, cell in plan.cells)
        return replace(plan, cells=cells)

    monkeypatch.setattr(Engine, "compile", compile_badly)


@pytest.mark.parametrize("name", ["shop.jsonl", "shop-schemas.jsonl"])
def test_a_masked_column_that_passes_unchanged_is_quarantined(broken: None, name: str) -> None:
    mask = Masker(POLICY, new_keyring()).mask
    outcomes = [mask(record) for record in changed_rows(name)]
    assert {outcome.reason for outcome in outcomes} == {Reason.EGRESS_GUARD}
    assert all(outcome.value is None and outcome.key is None for outcome in outcomes)


def test_a_masked_column_of_a_flattened_row_that_passes_unchanged_is_quarantined(broken: None) -> None:
    flattened = EnvelopeShape(topic="shop.crm.customers", shape="flattened")
    masker = Masker(Policy.of(1, rules=POLICY.rules, envelopes=[flattened]), new_keyring())
    for record in changed_rows():
        after = json.loads(record.value or b"")["after"]
        assert masker.mask(structs.replace(record, value=json.dumps(after).encode())).reason is Reason.EGRESS_GUARD


def test_the_guard_knows_it_too_where_a_short_value_passes(broken: None) -> None:
    record = changed_rows()[0]
    short = structs.replace(record, value=(record.value or b"").replace(b"farah.tanaka0@example.com", b"f@x.y"))
    assert Masker(POLICY, new_keyring()).mask(short).reason is Reason.EGRESS_GUARD


def test_a_raw_text_in_another_column_is_found() -> None:
    """A value that is masked where it belongs, and stands in a text that a partial mask leaves whole but for one letter."""
    record = changed_rows()[0]
    masker = Masker(POLICY, new_keyring())
    right = masker.mask(record)
    leaked = replace(right, value=(right.value or b"").replace(b'"[removed]"', b'"call farah.tanaka0@example.com now"'))
    with pytest.raises(Exception, match=r"egress_guard at after\.email") as caught:
        check(masker, record, leaked)
    assert "farah" not in str(caught.value)


@pytest.mark.parametrize("place", ["key", "header"])
def test_a_raw_text_in_key_or_header_is_found(place: str) -> None:
    record = changed_rows()[0]
    masker = Masker(POLICY, new_keyring())
    right = masker.mask(record)
    raw = b"farah.tanaka0@example.com"
    leaked = replace(right, key=b'{"id":"' + raw + b'"}') if place == "key" else replace(right, headers=(("h", raw),))
    with pytest.raises(Exception, match="egress_guard"):
        check(masker, record, leaked)


def test_sampling_looks_at_the_same_offsets_each_time(broken: None) -> None:
    records = [structs.replace(record, offset=number) for number, record in enumerate(changed_rows())]
    masker = Masker(POLICY, new_keyring(), guard=EgressGuard(every=4))
    found = [record.offset for record in records if masker.mask(record).reason is Reason.EGRESS_GUARD]
    assert found == list(range(0, len(records), 4))


@pytest.mark.parametrize("name", ["shop.jsonl", "shop-schemas.jsonl"])
@pytest.mark.parametrize("policy", [POLICY, EMPTY], ids=["policy", "default"])
def test_nothing_is_found_in_what_is_masked_rightly(name: str, policy: Policy) -> None:
    masker = Masker(policy, new_keyring())
    assert {masker.mask(record).fate for record in captured(name)} == {Fate.MASKED, Fate.CONTROL}


def test_a_value_that_a_kept_column_shows_is_no_finding() -> None:
    """Two columns with the same time, of which one is kept: the time was decided to be seen."""
    record = changed_rows()[0]
    value = (record.value or b"").replace(b'"notes":"no remarks"', b'"notes":"2026-11-21T06:21:11.496231Z"')
    assert Masker(POLICY, new_keyring()).mask(structs.replace(record, value=value)).fate is Fate.MASKED


def check(masker: Masker, record: Record, outcome: Outcome) -> None:
    """Has the guard look at an outcome that the masker would not have made."""
    from cdc_masker import envelope
    from cdc_masker.codecs import json

    event = envelope.read(record)
    assert isinstance(event, envelope.Event)
    assert record.key is not None
    key = frozenset(envelope.read_key(record.key, "key").columns)
    table = Table(event.source.name, event.source.schema, event.source.table, record.topic)
    rows = {}
    for place, image in event.images():
        if bytes(image) != b"null":
            row = json.members(bytes(image), Reason.BAD_ENVELOPE, place)
            plan = Engine(POLICY, new_keyring()).compile(table, tuple((name, None) for name in row), key)
            assert any(isinstance(transform, Keep) for transform in plan.transforms.values())
            rows[place] = (row, plan)
    EgressGuard().check(outcome, rows)


@pytest.mark.parametrize("value", ["[removed]", "a constant that is long enough to be told anywhere"])
def test_a_value_that_happens_to_be_the_constant_is_no_finding(value: str) -> None:
    rules = [building.rule(name, "fixed", value=value) for name in ("notes", "other")]
    raw = building.record(building.change(after={"notes": value, "other": "x"}))
    assert building.masker(*rules).mask(raw).fate is Fate.MASKED


def test_a_number_that_a_permutation_maps_to_itself_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of about four billion tokens one is the number itself; a row may not be lost for that. Texts never are."""
    monkeypatch.setattr("cdc_masker.methods.ff1.permutation", lambda *_: lambda number: number)
    row = {"id": 1_234_567_890_123_456_789, "code": "9876543210987654321"}
    masking = building.masker(building.rule("id", "tokenize"), building.rule("code", "tokenize"))
    assert masking.mask(building.record(building.change(after=row), {"id": row["id"]})).fate is Fate.MASKED
