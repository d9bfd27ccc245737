"""What comparing says of masked records beside their raw ones: each part that differs and why, and nothing that they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from msgspec import structs

from cdc_masker.audit.recomputing import Recomputer
from cdc_masker.audit.records import read_origin
from cdc_masker.events import Fate, Note, Outcome, Record
from cdc_masker.evidence import PROGRAM
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.methods import NO_SUBJECTS
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Domain, EnvelopeShape, Policy, Rule, TableDefault
from cdc_masker.replay.causes import Causes, Made, Why
from cdc_masker.replay.differing import Answer, Comparer, Comparison
from tests.copies import TOPIC as COPIED
from tests.copies import World, masker, policies
from tests.unit.building import TOPIC, change, described, envelope_schema, record, row_schema, rule

CANARY = "canary-8c1f2e"
ROW = {"id": 7, "mail": CANARY, "name": CANARY}
KEYS = Keyring.of(RootKey(id=f"test{epoch}", epoch=epoch, root=bytes([epoch] * 32)) for epoch in (1, 2))

Told = list[tuple[str, str | None, Why, str, int]]


# Whole copies, as verifying goes through them


def compared(world: World, version: int | None) -> Answer:
    """Under a version, or without one each record under its own."""
    comparison = Comparison()

    def causes(before: int) -> Causes:
        after = before if version is None else version
        return Causes(*(Made(policies()[each], policies()[1]) for each in (before, after)))

    recomputer = Recomputer(
        lambda entry: masker(policies()[entry.policy_version if version is None else version]), lambda masker: NO_SUBJECTS
    )
    report = world.find(recompute=Comparer(recomputer, lru_cache(causes), comparison))
    assert report.findings == []
    assert report.summaries[world.chain].recomputed == comparison.compared
    return comparison.answer({})


def test_what_is_masked_as_it_was_is_all_the_same() -> None:
    answer = compared(World.make(), None)
    assert (answer.compared, answer.same, answer.differences) == (54, 54, ())
    assert answer.before == answer.after == {1: 27, 2: 27}


def test_another_version_changes_the_columns_of_its_rules_and_no_other_record() -> None:
    answer = compared(World.make(), 2)
    assert (answer.before, answer.after) == ({1: 27, 2: 27}, {2: 54})
    (found,) = answer.differences
    assert (found.topic, found.table, found.kind, found.name) == (COPIED, "shop.customers", "column", "name")
    assert (found.why, found.words) == (Why.METHOD, 'undecided (redact) → tokenize(type="text")')
    assert answer.compared - answer.same == found.records == 19  # of version 1, and with a row
    assert not answer.unexplained


def test_an_entry_of_another_program_explains_what_nothing_else_does() -> None:
    world = World.make()
    for number in (3, 30):
        world.masked[number] = structs.replace(world.masked[number], timestamp=1)
    world.entries[0] = replace(world.entries[0], program="cdc-masker/0.0.1")
    comparison = Comparison()
    for raw, there, program in zip_published(world):
        causes = Causes(*[Made(policies()[there.policy_version], policies()[1])] * 2)
        comparison.add(raw, there, masker(policies()[there.policy_version]).mask(raw), causes, program)
    answer = comparison.answer({})
    assert [(each.kind, each.why, each.words, each.records) for each in answer.differences] == [
        ("timestamp", Why.PROGRAM, f"cdc-masker/0.0.1 → {PROGRAM}", 1),
        ("timestamp", Why.UNKNOWN, "", 1),
    ]
    assert answer.unexplained


def zip_published(world: World) -> list[tuple[Record, Any, str]]:
    raw = {each.offset: each for each in world.raw}
    made = [read_origin(each) for each in world.masked]
    programs = {each.first_offset // 10: each.program for each in world.entries}
    return [(raw[each.offset], each, programs[each.offset // 10]) for each in made if each is not None]


# Single records


def told(
    before: Policy,
    after: Policy,
    raw: Record,
    *,
    change: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    shapes: tuple[Policy, Policy] | None = None,
    program: str = PROGRAM,
) -> Told:
    """What differs between what a policy made of a record, changed by somebody, and what another one makes of it."""
    shape_before, shape_after = shapes or (before, after)
    there = change(Masker(before, KEYS, began=shape_before).mask(raw))
    if there.published:
        made = Record(there.topic, 0, 0, there.timestamp, there.key, there.value, there.headers)
        one: Any = read_origin(made)
        assert one is not None
    else:
        assert there.reason is not None
        one = Note(there.topic, there.partition, there.offset, there.timestamp, there.fate, there.reason, there.place)
    causes = Causes(Made(before, shape_before), Made(after, shape_after))
    comparison = Comparison()
    comparison.add(raw, one, Masker(after, KEYS, began=shape_after).mask(raw), causes, program)
    answer = comparison.answer({})
    assert answer.same == (not answer.differences)
    assert CANARY not in repr(answer)
    return [(each.kind, each.name, each.why, each.words, each.records) for each in answer.differences]


def policy(*rules: Rule, version: int = 1, **more: Any) -> Policy:
    return Policy.of(version, rules=rules, **more)


@pytest.mark.parametrize(
    ("before", "after", "why", "words"),
    [
        ([], [rule("mail", "keep")], Why.METHOD, "undecided (redact) → keep()"),
        ([rule("mail", "fixed", value="x")], [rule("mail", "null")], Why.METHOD, 'fixed(value="x") → null()'),
        (
            [rule("mail", "truncate", length=2)],
            [rule("mail", "truncate", length=3)],
            Why.PARAMETERS,
            "truncate(length=2) → truncate(length=3)",
        ),
        (
            [rule("mail", "tokenize")],
            [structs.replace(rule("mail", "tokenize"), server="shop")],
            Why.PARAMETERS,
            "tokenize() of rule crm.people.mail → tokenize() of rule shop:crm.people.mail",
        ),
        (
            [rule("mail", "tokenize")],
            [structs.replace(rule("ma*", "tokenize"), pattern=True)],
            Why.PARAMETERS,
            "tokenize() → tokenize() by pattern crm.people.ma*",
        ),
    ],
    ids=["first rule", "method", "parameters", "server", "pattern"],
)
def test_the_rule_that_changed_is_named(before: list[Rule], after: list[Rule], why: Why, words: str) -> None:
    raw = record(change("u", before=ROW, after=ROW), {"id": 7})
    assert told(policy(*before), policy(*after, version=2), raw) == [("column", "mail", why, words, 1)]


def test_a_column_of_the_key_differs_in_key_row_and_headers_and_is_told_of_either() -> None:
    raw = record(change(after=ROW), {"id": 7}, headers=(("__debezium.oldkey", b'{"id":8}'),))
    words = "undecided (redact) → keep()"
    found = told(policy(), policy(rule("id", "keep"), version=2), raw)
    assert found == [("column", "id", Why.METHOD, words, 1), ("key", "id", Why.METHOD, words, 1)]
    found = told(policy(), policy(rule("id", "keep"), version=2), record(None, {"id": 7}))
    assert found == [("key", "id", Why.METHOD, words, 1)]


def test_another_key_epoch_changes_what_is_keyed() -> None:
    rules = [rule("id", "keep"), rule("mail", "tokenize"), rule("name", "null")]
    found = told(policy(*rules), policy(*rules, version=2, key_epoch=2), record(change(after=ROW), {"id": 7}))
    assert found == [("column", "mail", Why.KEY_EPOCH, "1 → 2", 1)]


def test_a_shape_that_is_kept_explains_what_the_rules_do_not() -> None:
    began, now = policy(), policy(rule("name", "drop"), version=2)
    raw = record(change(after=ROW))
    found = told(now, now, raw, shapes=(began, now))
    assert found == [("column", "name", Why.SHAPE, "rows as under version 1 → 2", 1)]
    assert told(began, now, raw, shapes=(began, began)) == []  # the column is withheld: null, as it was


def test_a_domain_that_is_declared_otherwise_explains_its_columns() -> None:
    mail = rule("mail", "tokenize", type="text", domain="d")
    raw = record(change(after=ROW | {"mail": "ÄB"}))
    found = told(policy(mail), policy(mail, version=2, domains=[Domain(name="d", fold_case=True)]), raw)
    assert found == [("column", "mail", Why.POLICY, "domain d is declared otherwise", 1)]


def test_another_outcome_is_told_with_reason_and_place() -> None:
    refusing = policy(version=2, tables=[TableDefault(schema="crm", table="people", default="quarantine")])
    outcome = "masked → quarantined: undecided at id"
    assert told(policy(), refusing, record(change(after=ROW))) == [("outcome", outcome, Why.POLICY, "version 1 → 2", 1)]
    assert told(refusing, policy(), record(change(after=ROW))) == [
        ("outcome", "quarantined: undecided at id → masked", Why.POLICY, "version 2 → 1", 1)
    ]
    assert told(refusing, refusing, record(change(after=ROW))) == []
    assert told(refusing, refusing, record("no json")) == []


def test_headers_and_shapes_of_topics_are_decided_too() -> None:
    raw = record(change(after=ROW), headers=(("trace", b"1"), (CANARY, b"2")))
    found = told(policy(), policy(version=2, headers=["trace"]), raw)
    assert found == [("header", "trace", Why.POLICY, "left out → let through", 1)]
    flat = policy(version=2, envelopes=[EnvelopeShape(topic=TOPIC, shape="flattened")])
    ((kind, _, why, words, _),) = told(policy(), flat, record(ROW))
    assert (kind, why, words) == ("outcome", Why.POLICY, "version 1 → 2")


def test_events_with_schemas_flattened_rows_and_messages_are_taken_apart() -> None:
    columns = {"id": {"type": "int64"}, "mail": {"type": "string"}}
    raw = record(
        described(envelope_schema(columns), change(after={"id": 7, "mail": CANARY})),
        described(row_schema({"id": {"type": "int64"}}, "Key"), {"id": 7}),
    )
    words = "undecided (redact) → keep()"
    assert told(policy(), policy(rule("mail", "keep"), version=2), raw) == [("column", "mail", Why.METHOD, words, 1)]
    text = {"type": "string", "optional": True, "doc": CANARY}
    empty = record(described(envelope_schema({"mail": text}), change(after={"mail": None})))  # what a schema says differs only
    assert told(policy(), policy(rule("mail", "keep"), version=2), empty) == [("column", "mail", Why.METHOD, words, 1)]
    dropped = policy(rule("mail", "drop"), version=2)
    assert [each[:3] for each in told(policy(), dropped, raw)] == [("column", "mail", Why.METHOD)]
    shapes = [EnvelopeShape(topic=TOPIC, shape="flattened")]
    old, new = policy(envelopes=shapes), policy(rule("name", "keep"), version=2, envelopes=shapes)
    assert told(old, new, record(ROW, {"id": 7})) == [("column", "name", Why.METHOD, words, 1)]
    message = {"op": "m", "source": change()["source"], "message": {"prefix": CANARY, "content": "Y2FuYXJ5"}}
    assert told(policy(), policy(version=2), record(message, {"prefix": CANARY}, topic="shop.message")) == []
    tampered = with_value(lambda value: value["message"].update(content="x"))
    found = told(policy(), policy(), record(message, {"prefix": CANARY}, topic="shop.message"), change=tampered)
    assert found == [("column", "content", Why.UNKNOWN, "", 1)]


# What nothing explains


def with_value(edit: Callable[[Any], object]) -> Callable[[Outcome], Outcome]:
    def changed(outcome: Outcome) -> Outcome:
        value = json.loads(outcome.value or b"")
        edit(value)
        return replace(outcome, value=json.dumps(value, separators=(",", ":")).encode())

    return changed


def with_header(outcome: Outcome) -> Outcome:
    return replace(outcome, headers=((CANARY, CANARY.encode()), *outcome.headers))


@pytest.mark.parametrize(
    ("edit", "kind", "name"),
    [
        (with_value(lambda value: value["after"].update(mail=CANARY)), "column", "mail"),
        (with_value(lambda value: value["after"].update({CANARY: 1})), "column", "(others)"),
        (with_value(lambda value: value["after"].pop("name")), "column", "name"),
        (with_value(lambda value: value["source"].update(txId=1)), "envelope", "source"),
        (with_value(lambda value: value.update({CANARY: 1})), "envelope", None),
        (lambda outcome: replace(outcome, value=(outcome.value or b"") + b" "), "envelope", None),
        (lambda outcome: replace(outcome, value=CANARY.encode()), "envelope", None),
        (lambda outcome: replace(outcome, value=None), "tombstone", None),
        (lambda outcome: replace(outcome, key=b'{"id":"x"}'), "key", "id"),
        (lambda outcome: replace(outcome, key=CANARY.encode()), "key", None),
        (lambda outcome: replace(outcome, timestamp=1), "timestamp", None),
        (with_header, "header", "(others)"),
        (lambda outcome: replace(outcome, headers=(("cdc-masker", b"v=1;p=2;o=41;g=9;pv=1;ke=1"),)), "header", None),
    ],
)
def test_what_nobody_decided_is_named_by_its_part_and_not_explained(
    edit: Callable[[Outcome], Outcome], kind: str, name: str | None
) -> None:
    raw = record(change(after=ROW), {"id": 7})
    found = told(policy(), policy(), raw, change=edit)
    assert set(found) >= {(kind, name, Why.UNKNOWN, "", 1)}
    assert {each[2] for each in found} == {Why.UNKNOWN}
    if name != "source" and kind != "header":  # which a version that decides about another column does not explain, either
        assert [each[:3] for each in told(policy(), policy(rule("other", "keep"), version=2), raw, change=edit)] == [
            each[:3] for each in found
        ]


def test_names_without_end_are_bounded() -> None:
    comparison = Comparison()
    causes = Causes(Made(EMPTY, EMPTY), Made(EMPTY, EMPTY))
    for number in range(1200):
        raw = record(change(after={f"c{number}": 1, "n" * 300: 1}))
        there = Masker(EMPTY, KEYS).mask(raw)
        value = (there.value or b"").replace(b'"after":{"', b'"after":{"x":1,"').replace(b"null", b"1", 2)
        one = read_origin(Record(TOPIC, 0, 0, there.timestamp, there.key, value, there.headers))
        assert one is not None
        comparison.add(raw, one, there, causes, PROGRAM)
    names = {each.name for each in comparison.answer({}).differences}
    assert len(names) <= 1001
    assert "(others)" in names
    assert there.fate is Fate.MASKED
