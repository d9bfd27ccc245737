"""`cdc-masker policy diff` and `explain`, on documents and on directories of revisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cdc_masker.cli import app
from cdc_masker.errors import PolicyError
from cdc_masker.policies import Policy, Rule

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop-policy.json"
DEMO = Path(__file__).parents[2] / "demo" / "policy"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, arguments)])


def document(path: Path, *rules: dict[str, Any]) -> Path:
    made = [Rule(**{"schema": "crm", "table": "people", **rule}) for rule in rules]
    path.write_text(json.dumps(Policy.of(1, rules=made).export()))
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    name = {"column": "name", "method": "keep", "type": "text", "reason": "wanted", "ticket": "T-1"}
    everything = {"schema": "*", "table": "*", "column": "*name", "pattern": True, "method": "null"}
    return (
        document(tmp_path / "old.json", {"column": "email", "method": "tokenize"}, name),
        document(tmp_path / "new.json", {"column": "email", "method": "null"}, {**name, "method": "drop"}, everything),
    )


def test_what_is_stronger_passes_and_says_where_rows_get_another_shape(two: tuple[Path, Path]) -> None:
    result = run("diff", *two)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "+ crm.people.email: tokenize() → null()",
        '+ crm.people.name: keep(type="text") → drop(type="text")  (another shape of rows: takes a new generation)',
        "= pattern *.*.*name: undecided (redact) → null() by pattern *.*.*name",
        "0 weaker, 2 stronger, 1 equal",
    ]


def test_what_is_weaker_fails(two: tuple[Path, Path]) -> None:
    result = run("diff", *reversed(two))
    assert result.exit_code == 1
    assert "- crm.people.email: null() → tokenize()" in result.stdout.splitlines()
    found = json.loads(run("diff", *reversed(two), "--json").stdout)
    assert {each["place"]: each["verdict"] for each in found}["crm.people.name"] == "weaker"


def test_revisions_and_the_document_of_the_demo_say_the_same() -> None:
    result = run("diff", EXAMPLE, DEMO)
    assert (result.exit_code, result.stdout) == (0, "no difference\n")
    assert run("diff", "0", DEMO).exit_code == 1


def test_the_deciding_rule_is_told_with_its_reason_and_what_it_hides(two: tuple[Path, Path]) -> None:
    told = run("explain", "crm.people.name", "--policy", two[1]).stdout.splitlines()
    assert told[1:] == [
        'crm.people.name: drop(type="text")',
        "  reason: wanted",
        "  ticket: T-1",
        "  hides: null() by pattern *.*.*name, because the one that decides names the column",
    ]
    assert "no rule is about it: redact" in run("explain", "crm.people.born", "--policy", two[1]).stdout
    rules = json.loads(run("explain", "crm.people.name", "--policy", two[1], "--json").stdout)["rules"]
    assert [group[0]["method"] for group in rules] == ["drop", "null"]


@pytest.mark.parametrize(
    ("rules", "because"),
    [
        ([{"server": "shop", "column": "name"}, {"column": "name"}], "names the server"),
        ([{"column": "*name"}, {"column": "*ame", "table": "p*"}], "says more about the column"),
        ([{"column": "*name"}, {"column": "*name", "table": "p*"}], "says more about the table"),
        ([{"column": "*name", "schema": "c*"}, {"column": "*name"}], "says more about the schema"),
        ([{"column": "*name"}, {"column": "*name", "server": "shop"}], "says more about the server"),
    ],
)
def test_why_a_rule_goes_before_another_is_told(tmp_path: Path, rules: list[dict[str, Any]], because: str) -> None:
    anywhere = {"schema": "*", "table": "*", "pattern": True}
    made = [{**(anywhere if "*" in each["column"] else {}), **each, "method": "null"} for each in rules]
    policy = document(tmp_path / "p.json", *made)
    told = run("explain", "crm.people.name", "--server", "shop", "--policy", policy).stdout.splitlines()
    assert told[-1].startswith("  hides: ")
    assert told[-1].endswith(f", because the one that decides {because}")


def test_where_patterns_meet_others_is_told_in_words(tmp_path: Path) -> None:
    email = {"column": "email", "method": "null"}
    patterns = [
        {"server": "shop", "schema": "*", "table": "*", "column": "*mail", "pattern": True, "method": "redact"},
        {"schema": "crm", "table": "*", "column": "e*", "pattern": True, "method": "null"},
    ]
    found = run("diff", document(tmp_path / "old.json", email), document(tmp_path / "new.json", *patterns)).stdout.splitlines()
    assert [line[2:].partition(": ")[0] for line in found[:-1]] == [
        "columns that match both pattern crm.*.e* and pattern shop:*.*.*mail",
        "crm.people.email",
        "crm.people.email on server shop, where pattern shop:*.*.*mail matches",
        "pattern crm.*.e*",
        "pattern shop:*.*.*mail",
    ]


def test_a_name_is_written_as_in_sql(tmp_path: Path) -> None:
    quoted = document(tmp_path / "p.json", {"schema": "Crm", "table": "Type Zoo", "column": 'a "b".c', "method": "null"})
    assert "null()" in run("explain", '"Crm"."Type Zoo"."a ""b"".c"', "--policy", quoted).stdout
    wrong = run("explain", "people", "--policy", quoted)
    assert isinstance(wrong.exception, PolicyError)
