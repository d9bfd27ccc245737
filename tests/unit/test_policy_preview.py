"""`cdc-masker policy preview` and `policy test` as their users run them, and that no raw value is ever shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.effects import DROPPED, KEPT, Changed, Effects, Example, Moved, Preview
from cdc_masker.events import Record
from cdc_masker.policies import Domain, EnvelopeShape, Policy, Rule, TableDefault
from tests.unit.building import KEYS, TOPIC, change, described, envelope_schema, record, row_schema, rule
from tests.unit.commands import Run, captured, runner, written

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CANARY = "canary-8c1f2e"
ROW = {"id": 7, "mail": CANARY, "name": CANARY}
NOTHING = Policy.of(0)


def previewed(old: Policy, new: Policy, *records: Record) -> Preview:
    effects = Effects(old, new, KEYS)
    for each in records:
        effects.add(each)
    found = effects.preview()
    assert CANARY not in json.dumps([repr(found)])
    return found


def policy(*rules: Rule, **more: Any) -> Policy:
    return Policy.of(1, rules=rules, **more)


def test_what_differs_is_told_by_column_with_masked_values() -> None:
    old = policy(rule("id", "keep"), rule("mail", "partial", first=2))
    new = policy(rule("id", "keep"), rule("mail", "fixed", value="gone"), rule("name", "drop"))
    found = previewed(old, new, *(record(change(after=ROW | {"id": number}), {"id": number}) for number in range(5)))
    assert found == Preview(
        records=5,
        columns=(
            Changed(TOPIC, "mail", 5, (Example('"ca' + "*" * 11 + '"', '"gone"'),)),
            Changed(TOPIC, "name", 5, (Example("null", DROPPED),)),
        ),
        outcomes=(),
    )


def test_a_value_that_is_kept_is_never_shown() -> None:
    (changed,) = previewed(NOTHING, policy(rule("mail", "keep")), record(change(after=ROW))).columns
    assert changed.examples == (Example("null", KEPT),)
    (changed,) = previewed(policy(rule("mail", "keep")), NOTHING, record(change(after=ROW))).columns
    assert changed.examples == (Example(KEPT, "null"),)


def test_nor_one_that_a_method_left_as_it_was() -> None:
    (changed,) = previewed(NOTHING, policy(rule("mail", "truncate", length=99)), record(change(after=ROW))).columns
    assert changed.examples == (Example("null", KEPT),)


def test_the_same_policy_changes_nothing() -> None:
    rules = [rule("mail", "tokenize", type="text"), rule("name", "noise", type="text", distribution="uniform", bound=5)]
    records = [record(change(after=ROW), {"id": 7}), record(None, {"id": 7}), record(change("t")), record("no json")]
    assert previewed(policy(*rules), policy(*rules), *records) == Preview(records=4, columns=(), outcomes=())


def test_keys_and_all_images_are_looked_at() -> None:
    new = policy(rule("id", "keep"))
    records = [
        record(None, {"id": 7}),
        record(change("u", before=ROW, after=ROW), {"id": 8}),
        record(change("d", before=ROW), {"id": 9}),
    ]
    (changed,) = previewed(NOTHING, new, *records).columns
    assert (changed.column, changed.records, len(changed.examples)) == ("id", 3, 3)
    assert {example.after for example in changed.examples} == {KEPT}


def test_there_are_no_more_than_three_examples() -> None:
    records = [record(change(after={"id": number})) for number in range(20)]
    (changed,) = previewed(NOTHING, policy(rule("id", "tokenize", type="bigint")), *records).columns
    assert (changed.records, len(changed.examples)) == (20, 3)


def test_events_with_schemas_are_looked_at() -> None:
    columns = {"id": {"type": "int64"}, "mail": {"type": "string"}}
    value = described(envelope_schema(columns), change(after={"id": 7, "mail": CANARY}))
    key = described(row_schema({"id": {"type": "int64"}}, "Key"), {"id": 7})
    (changed,) = previewed(NOTHING, policy(rule("mail", "fixed", value="x")), record(value, key)).columns
    assert changed == Changed(TOPIC, "mail", 1, (Example('""', '"x"'),))


def test_flattened_rows_and_logical_messages_are_looked_at() -> None:
    shapes = [EnvelopeShape(topic=TOPIC, shape="flattened")]
    old, new = (policy(*rules, envelopes=shapes) for rules in ((), (rule("name", "fixed", value="x"),)))
    (changed,) = previewed(old, new, record(ROW, {"id": 7})).columns
    assert (changed.column, changed.records) == ("name", 1)
    message = change("m", message={"prefix": "hint", "content": "Y2FuYXJ5"}) | {"op": "m"}
    message = {name: value for name, value in message.items() if name not in ("before", "after")}
    said = Rule(schema="", table="hint", column="content", method="keep")
    (changed,) = previewed(NOTHING, policy(said), record(message, {"prefix": "hint"}, topic="shop.message")).columns
    assert (changed.column, changed.examples) == ("content", (Example("null", KEPT),))


def test_records_with_another_outcome_are_told_with_the_reason() -> None:
    new = policy(tables=[TableDefault(schema="crm", table="people", default="quarantine")])
    records = [record(change(after=ROW)), record(change(after=ROW)), record("no json")]
    assert previewed(NOTHING, new, *records) == Preview(
        records=3, columns=(), outcomes=(Moved(TOPIC, "masked", "quarantined: undecided at id", 2),)
    )


def test_subjects_have_keys_of_their_own() -> None:
    own = rule("mail", "tokenize", type="text", domain="d", subject="id")
    new = policy(own, domains=[Domain(name="d", per_subject=True)])
    records = [record(change(after=ROW | {"id": number})) for number in (1, 2, 1)]
    (changed,) = previewed(NOTHING, new, *records).columns
    assert (changed.records, len({each.after for each in changed.examples})) == (3, 2)


# The commands


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, tmp_path, capsys, "policy", never=CANARY)


def test_preview_prints_a_table(run: Run) -> None:
    rules = [rule("mail", "keep"), rule("name", "fixed", value="\x1b[31m[bold]\u202e" + "x" * 100)]
    raw = captured(record(change(after=ROW)), record(change(after=ROW)))
    result = run("preview", "0", written(policy(*rules)), "--raw", raw)
    assert (result.code, result.err) == (0, "")
    heads, *rows, last = result.out.splitlines()
    assert heads.split() == ["topic", "column", "records", "before", "after"]
    assert rows[0].split() == [TOPIC, "mail", "2", "null", KEPT]
    assert rows[1].split()[:4] == [TOPIC, "name", "2", "null"]
    assert rows[1].split()[4].startswith('"\\u001b[31m[bold]\\u202exxx')
    assert rows[1].rstrip().endswith("…")
    assert last == "2 records: 2 columns differ, 0 records have another outcome"


def test_preview_tells_outcomes_and_the_same_as_json(run: Run) -> None:
    new = written(policy(tables=[TableDefault(schema="crm", table="people", default="quarantine")]))
    raw = captured(record(change(after=ROW)))
    assert run("preview", "0", new, "--raw", raw).out.splitlines() == [
        f"{TOPIC}: 1 records: masked → quarantined: undecided at id",
        "1 records: 0 columns differ, 1 records have another outcome",
    ]
    moved = {"topic": TOPIC, "before": "masked", "after": "quarantined: undecided at id", "records": 1}
    assert json.loads(run("preview", "0", new, "--raw", raw, "--json").out) == {
        "records": 1,
        "columns": [],
        "outcomes": [moved],
    }


def test_preview_looks_at_no_more_records_than_it_is_told(run: Run) -> None:
    raw = captured(*(record(change(after=ROW)) for _ in range(5)))
    result = run("preview", "0", written(policy(rule("mail", "keep"))), "--raw", raw, "--limit", "3")
    assert result.out.splitlines()[-1] == "3 records: 1 columns differ, 0 records have another outcome"


def test_preview_of_policies_with_keys_of_two_epochs(run: Run) -> None:
    rules = [rule("mail", "tokenize", type="text")]
    one, two = written(policy(*rules), "one.json"), written(policy(*rules, key_epoch=2), "two.json")
    result = run("preview", one, two, "--raw", captured(record(change(after=ROW))))
    assert "1 columns differ" in result.out


def test_preview_of_the_example_shows_what_the_policy_lets_through(run: Run) -> None:
    result = run("preview", "0", EXAMPLES / "shop-policy.json", "--raw", EXAMPLES / "shop.jsonl")
    assert result.code == 0
    assert "shop.crm.customers" in result.out and "***" in result.out
    assert "example.com" not in result.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["0", "none.json", "--raw", "raw.jsonl"], "none.json can't be read"),
        (["0", "1", "--raw", "raw.jsonl"], "CDC_MASKER_DATABASE_URL"),
        (["0", "0", "--raw", "none.jsonl"], "none.jsonl is no regular file"),
        (["0", "0", "--raw", "empty.jsonl"], "no record to look at"),
        (["0", "0"], "CDC_MASKER_SOURCE_TOPICS"),
        (["0", "0", "topic", "--raw", "raw.jsonl"], "not both"),
    ],
)
def test_what_can_not_be_previewed_is_no_answer(run: Run, arguments: list[str], reason: str) -> None:
    captured(record(change(after=ROW)))
    Path("empty.jsonl").write_bytes(b"")
    result = run("preview", *arguments)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err


CASES = f"""\
- case: a person
  table: crm.people
  row: {{id: 7, mail: {CANARY}}}
  expect: {{id: kept, mail: EXPECTED}}
"""
REVISION = """\
from alembic import op

revision, down_revision, branch_labels, depends_on = "one", None, "policy", "catalog"


def upgrade():
    op.keep_column("crm.people", "id", reason="a number of ours")


def downgrade():
    pass
"""


@pytest.fixture
def repository(run: Run) -> Run:
    """With a directory of revisions and one of tests, as `cdc-masker init` lays them out."""
    for name in ("versions", "policy_tests/deeper"):
        Path(name).mkdir(parents=True)
    Path("versions/one.py").write_text(REVISION)
    Path("policy_tests/deeper/people.yaml").write_text(CASES.replace("EXPECTED", "redacted"))
    return run


def test_test_runs_the_cases_on_what_the_revisions_say_without_any_server(repository: Run) -> None:
    result = repository("test")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(": 2 as expected, 0 not\n")


def test_test_tells_what_is_not_as_expected_and_ends_with_1(repository: Run) -> None:
    Path("policy_tests/more.yml").write_text(CASES.replace("EXPECTED", "token"))
    result = repository("test")
    assert (result.code, result.err) == (1, "")
    line, last = result.out.splitlines()
    assert line == (
        "policy_tests/more.yml:4:28: a person: mail: expected token, but it is null; the policy says: undecided (redact)"
    )
    assert last.endswith(": 3 as expected, 1 not")
    found = json.loads(repository("test", "--json").out)
    assert [each["problem"] is None for each in found] == [True, True, True, False]
    assert found[3] == {
        "where": "policy_tests/more.yml:4:28",
        "case": "a person",
        "column": "mail",
        "problem": "expected token, but it is null; the policy says: undecided (redact)",
    }


def test_test_takes_files_and_other_policies(repository: Run) -> None:
    assert repository("test", "policy_tests/deeper/people.yaml").code == 0
    assert repository("test", "policy_tests/deeper", "--policy", "0").code == 1
    assert repository("test", "--policy", written(policy(rule("id", "keep")))).code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--policy", "none"], "none can't be read"),
        (["none"], "none can't be read"),
        (["empty"], "empty holds no .yaml or .yml file"),
        (["versions/one.py"], "versions/one.py:"),
    ],
)
def test_what_can_not_be_tested_is_no_answer(repository: Run, arguments: list[str], reason: str) -> None:
    Path("empty").mkdir()
    result = repository("test", *arguments)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err
