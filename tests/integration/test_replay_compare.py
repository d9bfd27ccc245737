"""`cdc-masker replay compare` on the real stack: masking is reproducible, and what another version would change is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.keys import new_keyring, source, write
from cdc_masker.replay.changing import would_change
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, event, until

pytestmark = pytest.mark.stack


def some_poison(number: int) -> tuple[bytes | None, bytes | None]:
    """Every tenth record is no JSON, and another tenth are tombstones."""
    key, value = event(number)
    if number % 10 == 3:
        return key, b"{" + CANARY.encode()
    return key, None if number % 10 == 4 else value


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    """Two partitions, the first half of whose records was masked under version 1, the rest under 2."""
    made = deploy(batch_records="20")
    made.create(made.topic, 2)
    made.produce(100, partitions=2, make=some_poison)
    worker = made.ready(made.start())
    until(lambda: made.audited() == 100, 60, made.audited)
    made.say(
        "op.mask_column('shop.customers', 'name', method='tokenize', reason='a test')",
        "op.mask_column('shop.customers', 'born', method='bucket', size=1000, reason='a test')",
    )
    until(lambda: worker.metric("cdc_masker_policy_version") == 2, 60, lambda: worker.log.read_text()[-2000:])
    made.produce(100, partitions=2, first=100, make=some_poison)
    until(lambda: made.audited() == 200, 60, made.audited)
    made.stack.sql(f"CREATE ROLE {made.name}_auditor LOGIN PASSWORD 'pw' IN ROLE cdc_masker_auditor", database=made.name)
    return made


def compare(deployment: Deployment, *options: str, **settings: str) -> tuple[int, str]:
    """Exit code and output, or what went wrong; as an auditor with the keys, in this process, which saves its start."""
    url = deployment.environment["CDC_MASKER_DATABASE_URL"]
    dsn = f"postgresql://{deployment.name}_auditor:pw@{url.rpartition('@')[2]}"
    environment = {**deployment.environment, "CDC_MASKER_DATABASE_URL": dsn, **settings}
    done = CliRunner().invoke(app, ["replay", "compare", *options], env=environment)
    assert CANARY not in done.output
    return done.exit_code, done.stdout or str(done.exception)


def answered(deployment: Deployment, *options: str, **settings: str) -> tuple[int, dict[str, Any]]:
    code, out = compare(deployment, "--json", *options, **settings)
    return code, json.loads(out)


def new_generation(deployment: Deployment, version: int) -> dict[str, Any]:
    """What a new generation under that version would hold otherwise."""
    settings = deployment.settings()
    changes = would_change(settings, source(settings).load(), version, [deployment.topic, "nowhere"])
    answer: dict[str, Any] = msgspec.to_builtins(asyncio.run(changes), str_keys=True)
    return answer


def test_masking_is_reproducible_and_what_another_version_changes_is_told(deployment: Deployment) -> None:
    code, out = compare(deployment, "--policy", "as-audited")
    assert (code, out.splitlines()[-1]) == (0, "all 200 records are the same"), out
    assert "200 records that were masked under version 1, version 2, masked again under version 1, version 2" in out

    code, answer = answered(deployment)
    told = [(each["kind"], each["name"], each["why"], each["words"], each["records"]) for each in answer["differences"]]
    assert told == [
        ("column", "born", "method", "undecided (redact) → bucket(size=1000)", 80),
        ("column", "name", "method", "redact() → tokenize()", 80),
    ]
    assert (code, answer["compared"], answer["same"], answer["findings"]) == (0, 200, 120, 0)
    assert (answer["before"], answer["after"], answer["unchecked"]) == ({"1": 100, "2": 100}, {"2": 200}, {})

    code, answer = answered(deployment, "--policy", "1", "--partition", "1", "--sample", "0.5", "--seed", "7")
    assert code == 0
    assert (answer["sample"], answer["findings"]) == ({"share": 0.5, "seed": 7}, 0)
    assert 25 < answer["compared"] < 75
    assert {each["why"] for each in answer["differences"]} == {"method"}

    write(new_keyring(), deployment.home / "other.json")
    other = {"CDC_MASKER_KEYS_FILE": str(deployment.home / "other.json")}
    code, answer = answered(deployment, deployment.topic, "--policy", "2", **other)
    named = [(each["why"], each["records"]) for each in answer["differences"] if each["name"] == "name"]
    assert (code, named) == (1, [("method", 80), ("unknown", 80)])
    assert "NOT EXPLAINED" in compare(deployment, "--policy", "as-audited", **other)[1]

    deployment.say("op.drop_column('shop.customers', 'note')")
    code, answer = answered(deployment)  # which is withheld: rows of this generation keep the column
    assert (code, {each["name"] for each in answer["differences"]}) == (0, {"born", "name"})
    answer = new_generation(deployment, 3)
    assert answer["unchecked"] == {}
    assert 40 <= answer["compared"] <= 120  # of three batches of each partition
    rules = {(each["name"], each["why"], each["words"]) for each in answer["differences"]}
    assert rules == {
        ("born", "method", "undecided (redact) → bucket(size=1000)"),
        ("name", "method", "redact() → tokenize()"),
        ("note", "method", "undecided (redact) → drop()"),
    }

    for options, problem in (
        (("--policy", "99"), "version 99: is not in the catalog"),
        (("--generation", "9"), "there is no generation 9"),
        (("nowhere",), "generation 1 holds no copy of nowhere"),
        (("--sample", "0"), "no record could be compared"),
    ):
        code, out = compare(deployment, *options)
        assert code != 0
        assert problem in out
