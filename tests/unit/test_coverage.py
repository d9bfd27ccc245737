"""`cdc-masker policy check` on captures: it names what nobody decided on, and never shows a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdc_masker import coverage
from cdc_masker.coverage import Coverage
from cdc_masker.events import Record
from cdc_masker.policies import Domain, Policy, Rule
from tests.unit.building import KEYS, TOPIC, change, described, envelope_schema, record, row_schema, rule
from tests.unit.commands import Run, captured, runner, written

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CANARY = "canary-8c1f2e"
ROW = {"id": 7, "mail": f"{CANARY}@example.com", "name": CANARY}
DECIDED = [rule("id", "keep"), rule("mail", "tokenize", type="text"), rule("name", "redact")]


def accepting(decided: Rule) -> Rule:
    return msgspec.structs.replace(decided, allow_uniqueness_loss=True, reason="one row is enough")


def collapsing(topic: str = TOPIC) -> Record:
    """A record with a key that no token can stand for."""
    types, row = {"flag": {"type": "boolean"}}, {"flag": True}
    key = described(row_schema(types, "Key"), row)
    return record(described(envelope_schema(types), change(after=row)), key, topic=topic)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, tmp_path, capsys, "policy", "check", never=CANARY)


def test_where_all_is_decided_it_counts(check: Run) -> None:
    raw = captured(record(change(after=ROW), {"id": 7}), record(change("t")), record(None, {"id": 7}))
    policy = Policy.of(3, rules=DECIDED)
    result = check("--raw", raw, "--policy", written(policy))
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"policy version 3, {policy.digest}",
        "3 records: 2 masked, 1 control, 0 quarantined, 0 dropped",
        "0 columns undecided, 0 columns of keys collapsed",
    ]


def test_what_nobody_decided_on_is_named(check: Run) -> None:
    rules = [accepting(rule("id", "redact", type="int8")), rule("mail", "keep"), rule("bad", "fixed", value="gone")]
    other = change(after={"mail": CANARY, "phone": CANARY})
    raw = captured(
        record(change(after={"bad": CANARY, **ROW}), {"id": 7}),
        record(other, {"phone": CANARY}, topic="shop.crm.others"),
        record(f'{{"after":"{CANARY}"}}', {"id": 7}),
        record(CANARY, {"id": 7}),
        record(f"{CANARY}!", {"id": 7}),
        collapsing("shop.crm.flags"),
    )
    result = check("--raw", raw, "--policy", written(Policy.of(1, rules=rules)))
    assert result.code == 1
    assert result.out.splitlines()[1:] == [
        "UNDECIDED shop.crm.flags: flag",
        "UNDECIDED shop.crm.others: phone",
        f"UNDECIDED {TOPIC}: name",
        "COLLAPSED shop.crm.flags: flag in the key",
        f"REFUSED {TOPIC}: not_json at value, 2 records",
        f"REFUSED {TOPIC}: unknown_shape at value, 1 records",
        "6 records: 3 masked, 0 control, 3 quarantined, 0 dropped",
        "3 columns undecided, 1 columns of keys collapsed",
    ]


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        (DECIDED[:2], "UNDECIDED"),
        ([rule("id", "keep"), rule("mail", "keep"), rule("name", "partial", type="text", last=1)], "MISFIT"),
    ],
)
def test_each_of_it_is_an_answer_of_no(check: Run, rules: list[Any], kind: str) -> None:
    raw = captured(record(change(after={**ROW, "name": [CANARY]}), {"id": 7}))
    result = check("--raw", raw, "--policy", written(Policy.of(1, rules=rules)))
    assert result.code == 1
    assert result.out.splitlines()[1].startswith(f"{kind} {TOPIC}: ")


def test_a_rule_that_is_not_fit_for_a_key_is_told(check: Run) -> None:
    raw = captured(record(change(after=ROW), {"id": 7}))
    result = check("--raw", raw, "--policy", written(Policy.of(1, rules=[*DECIDED[1:], rule("id", "null")])))
    assert result.code == 1
    assert f"REFUSED {TOPIC}: unfit_key_rule at key.id, 1 records" in result.out


def test_a_refused_record_alone_is_an_answer_of_no(check: Run) -> None:
    result = check("--raw", captured(record(CANARY)), "--policy", written(Policy.of(1)))
    assert (result.code, result.out.count("REFUSED ")) == (1, 1)


def test_a_method_that_does_not_fit_the_real_type_decides_nothing(check: Run) -> None:
    event = described(envelope_schema({"mail": {"type": "int64"}}), change(after={"mail": 4711}))
    key = described(row_schema({"mail": {"type": "int64"}}, "Key"), {"mail": 4711})
    policy = Policy.of(1, rules=[accepting(rule("mail", "truncate", length=2))])
    result = check("--raw", captured(record(event, key)), "--policy", written(policy))
    assert result.code == 1
    assert f"UNDECIDED {TOPIC}: mail" in result.out
    assert f"COLLAPSED {TOPIC}: mail in the key" in result.out


def test_the_same_as_json(check: Run) -> None:
    raw = captured(record(change(after=ROW), {"id": 7}), record("x", {"id": 7}), collapsing())
    policy = Policy.of(2, rules=[accepting(rule("id", "fixed", value=1)), rule("mail", "keep")])
    result = check("--raw", raw, "--policy", written(policy), "--json")
    assert result.code == 1
    assert json.loads(result.out) == {
        "policy_version": 2,
        "policy_digest": policy.digest,
        "records": 3,
        "outcomes": {"masked": 2, "control": 0, "quarantined": 1, "dropped": 0},
        "undecided": [{"topic": TOPIC, "column": "flag"}, {"topic": TOPIC, "column": "name"}],
        "misfits": [],
        "collapsed": [{"topic": TOPIC, "column": "flag"}],
        "refused": [{"topic": TOPIC, "place": "value", "reason": "not_json", "records": 1}],
    }


def test_the_key_of_the_run_has_the_epoch_that_the_policy_asks_for(check: Run) -> None:
    raw = captured(record(change(after=ROW), {"id": 7}))
    assert check("--raw", raw, "--policy", written(Policy.of(1, rules=DECIDED, key_epoch=3))).code == 0


def test_keys_of_subjects_are_there(check: Run) -> None:
    rules = [
        rule("id", "keep"),
        rule("name", "redact"),
        rule("mail", "tokenize", type="text", domain="of-people", subject="id"),
    ]
    policy = Policy.of(1, rules=rules, domains=[Domain(name="of-people", per_subject=True)])
    result = check("--raw", captured(record(change(after=ROW), {"id": 7})), "--policy", written(policy))
    assert (result.code, "MISFIT" in result.out) == (0, False)
    result = check("--raw", captured(record(change(after=ROW | {"id": None}), {"id": 7})), "--policy", written(policy))
    assert f"MISFIT {TOPIC}: mail, subject, in 1 records" in result.out


def test_both_examples_leave_the_same_undecided(check: Run) -> None:
    reports = [
        json.loads(check("--raw", EXAMPLES / f"{name}.jsonl", "--policy", EXAMPLES / "shop-policy.json", "--json").out)
        for name in ("shop", "shop-schemas")
    ]
    assert reports[0]["undecided"] == reports[1]["undecided"]
    assert [report["collapsed"] + report["refused"] + report["misfits"] for report in reports] == [[], []]
    assert {"topic": "shop.crm.customers", "column": "dob"} in reports[0]["undecided"]


def test_nothing_is_forgotten_when_a_masker_forgets_its_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_masker.plans._MOST_BYTES", 3000)
    monkeypatch.setattr(coverage, "_LOOK_EVERY", 1)
    found = Coverage(Policy.of(1), KEYS)
    found.add(collapsing("shop.crm.flags"))
    for number in range(20):
        found.add(record(change(after={f"column_{number}": CANARY})))
    report = found.report()
    assert len(report.undecided) == 21
    assert [each.column for each in report.collapsed] == ["flag"]
    assert not report.complete


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--raw", "none.jsonl", "--policy", "policy.json"], "none.jsonl is no regular file"),
        (["--raw", "raw.jsonl", "--policy", "none.json"], "none.json can't be read"),
        (["--raw", "raw.jsonl"], "CDC_MASKER_DATABASE_URL"),
        (["--raw", "empty.jsonl", "--policy", "policy.json"], "no record to check"),
        (["--raw", "policy.json", "--policy", "policy.json"], "policy.json line 1"),
        (["--policy", "policy.json"], "CDC_MASKER_SOURCE_TOPICS"),
        (["topic", "--raw", "raw.jsonl"], "not both"),
    ],
)
def test_what_can_not_be_checked_is_no_answer(check: Run, arguments: list[str], reason: str) -> None:
    captured(record(change(after=ROW)))
    written(Policy.of(1))
    Path("empty.jsonl").write_bytes(b"")
    result = check(*arguments)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err
