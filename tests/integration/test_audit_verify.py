"""`cdc-masker audit verify` on the real stack: what workers leave verifies, and what was changed is named."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from cdc_masker import heads
from cdc_masker.cli import app
from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import decode_entry, encode_entry
from cdc_masker.heads import Heads
from cdc_masker.keys.signing import signing_key
from tests.copies import documented_script
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, event, until

DISARM = (
    "ALTER EVENT TRIGGER cdc_masker_guard_alter DISABLE; ALTER TABLE cdc_masker.audit_entry DISABLE TRIGGER ALL"  # as superuser
)


def some_poison(number: int) -> tuple[bytes | None, bytes | None]:
    """Every seventh record is no JSON."""
    key, value = event(number)
    return (key, b"{" + CANARY.encode()) if number % 7 == 3 else (key, value)


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    """Two partitions with aborted and poisonous records, masked in small batches under two policy versions."""
    made = deploy(batch_records="40")
    made.create(made.topic, 2)
    made.produce(200, partitions=2, make=some_poison)
    made.produce(20, partitions=2, first=200, abort=True)
    made.produce(100, partitions=2, first=220, transactional=True)
    worker = made.ready(made.start())
    until(lambda: made.audited() >= 300, 60, made.audited)
    last = max(entry.masked_at for entry in made.audit()) // 1000
    until(lambda: time.time() >= last + 1, 5)  # `--since` takes whole seconds: no two versions in one of them
    made.say("op.keep_column('shop.customers', 'born', reason='a test')")
    until(lambda: worker.metric("cdc_masker_policy_version") == 2, 60, lambda: worker.log.read_text()[-2000:])
    made.produce(100, partitions=2, first=320)
    until(lambda: made.audited() >= 400, 60, made.audited)
    made.stack.sql(
        f"CREATE ROLE {made.name}_auditor LOGIN PASSWORD 'pw' IN ROLE cdc_masker_auditor; "
        f"CREATE ROLE {made.name}_both LOGIN PASSWORD 'pw' IN ROLE cdc_masker_auditor, cdc_masker_custodian",
        database=made.name,
    )
    return made


def audit(deployment: Deployment, *arguments: str, login: str = "auditor") -> tuple[int, str, str]:
    """Exit code, output and error of a command; in this process, which saves its start."""
    return run(deployment, "audit", *arguments, login=login)


def run(deployment: Deployment, *arguments: str, login: str) -> tuple[int, str, str]:
    url = deployment.environment["CDC_MASKER_DATABASE_URL"]
    dsn = f"postgresql://{deployment.name}_{login}:pw@{url.rpartition('@')[2]}"
    done = CliRunner().invoke(app, arguments, env={**deployment.environment, "CDC_MASKER_DATABASE_URL": dsn})
    return done.exit_code, done.stdout, "" if done.exception is None else str(done.exception)


def verify(deployment: Deployment, *options: str, login: str = "auditor") -> tuple[int, dict[str, Any]]:
    code, out, problem = audit(deployment, "verify", "--json", *options, login=login)
    assert out, (code, problem)
    return code, json.loads(out)


def places(report: dict[str, Any]) -> set[tuple[str, int, int | None]]:
    return {(each["code"], each["partition"], each["offset"]) for each in report["first_findings"]}


def test_what_workers_leave_verifies_and_recomputes(deployment: Deployment) -> None:
    code, report = verify(deployment, "--recompute")
    assert (code, report["findings"]) == (0, 0), report
    assert [(chain["partition"], chain["records"], chain["recomputed"]) for chain in report["chains"]] == [
        (0, 200, 200),
        (1, 200, 200),
    ]
    assert all(not chain["unchecked"] for chain in report["chains"])

    code, out, _ = audit(deployment, "verify", "--recompute", "--sample", "0.1", "--seed", "7")
    assert code == 0
    assert "seed 7" in out
    assert "the audit fits all that was looked at" in out

    look(deployment)
    since(deployment)
    noted = checkpoint(deployment)
    prove(deployment, noted)
    erase(deployment)
    assert verify(deployment, *noted)[0] == 0  # the chains went on since
    tamper(deployment)


def test_verifying_beside_workers_that_go_on_finds_nothing(deploy: Deploy) -> None:
    made = deploy(batch_records="20")
    made.create(made.topic, 2)
    made.stack.sql(f"CREATE ROLE {made.name}_auditor LOGIN PASSWORD 'pw' IN ROLE cdc_masker_auditor", database=made.name)
    made.ready(made.start())
    enough = threading.Event()

    def produce() -> None:
        first = 0
        while not enough.is_set():
            made.produce(200, partitions=2, first=first, make=some_poison)
            first += 200

    producing = threading.Thread(target=produce)
    producing.start()
    try:
        until(lambda: made.audited() > 0, 60)
        seen: list[int] = []
        for _ in range(3):
            code, report = verify(made)
            assert (code, report["findings"]) == (0, 0), report
            seen.append(sum(chain["records"] for chain in report["chains"]))
    finally:
        enough.set()
        producing.join()
    assert seen == sorted(set(seen)), "nothing went on meanwhile"


def look(deployment: Deployment) -> None:
    """What was exported is what is in the audit topic, and filters take what they name."""
    entries = deployment.audit()
    lines = export(deployment)
    assert sorted(lines) == sorted(encode_entry(entry).decode() for entry in entries)
    assert [decode_entry(line.encode()).masked_at for line in lines] == sorted(entry.masked_at for entry in entries)
    filters: dict[tuple[str, ...], Callable[[AuditEntry], bool]] = {
        ("--policy-version", "2"): lambda entry: entry.policy_version == 2,
        ("--outcome", "quarantined"): lambda entry: bool(entry.notes),
        ("--outcome", "dropped"): lambda entry: False,
        ("--table", "shop.customers", "--column", "born"): lambda entry: entry.counts[Fate.MASKED] > 0,
        ("--column", "name"): lambda entry: entry.counts[Fate.MASKED] > 0,
        ("--column", "nowhere"): lambda entry: False,
        ("--table", "nowhere"): lambda entry: False,
        ("--generation", "2"): lambda entry: False,
        ("--topic", deployment.topic, "--since", "2020-01-01"): lambda entry: True,
        ("--until", "2020-01-01"): lambda entry: False,
    }
    for options, takes in filters.items():
        assert len(export(deployment, *options)) == len([entry for entry in entries if takes(entry)]), options
    code, out, _ = audit(deployment, "export", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert [int(row["masked"]) for row in rows] == [decode_entry(line.encode()).counts[Fate.MASKED] for line in lines]
    code, out, _ = audit(deployment, "show", "--json", "--limit", "3", "--policy-version", "1")
    assert [json.loads(line)["policy_version"] for line in out.splitlines()] == [1, 1, 1]


def export(deployment: Deployment, *options: str) -> list[str]:
    code, out, problem = audit(deployment, "export", *options)
    assert code == 0, problem
    return out.splitlines()


def since(deployment: Deployment) -> None:
    """Records of batches from before the second policy version are passed over, and counted."""
    began = min(entry.masked_at for entry in deployment.audit() if entry.policy_version == 2)
    code, report = verify(deployment, "--since", f"{datetime.fromtimestamp(began / 1000, UTC):%Y-%m-%dT%H:%M:%S}")
    passed = sum(chain["unchecked"]["records masked before --since"] for chain in report["chains"])
    assert (code, report["findings"]) == (0, 0), report
    assert passed == 300


def checkpoint(deployment: Deployment) -> tuple[str, ...]:
    """A note of where the chains end, to verify and prove with. One with another end is told, one of another key refused."""
    home = deployment.home
    key, others, notes = home / "anchor.pem", home / "other.pem", home / "notes"
    assert [audit(deployment, "keygen", str(each))[0] for each in (key, others)] == [0, 0]
    signing = ("checkpoint", "--key", str(key), "--origin", "example.com/audit")
    code, _, problem = audit(deployment, *signing, "--to", f"file:{notes}")
    assert code == 0, problem
    code, _, problem = audit(deployment, "verify", "--checkpoint", str(notes), "--key", f"{others}.pub")
    assert code != 0
    assert "no key that is known signed the note" in problem

    private = signing_key(key)
    public = private.public_key().public_bytes_raw()
    true = heads.read((notes / "00000001.note").read_bytes(), [public])
    chain, head = max(true.by_chain.items())
    forged = Heads(true.origin, {**true.by_chain, chain: head._replace(hash="sha256:00")})
    (home / "forged.note").write_bytes(heads.write(forged, public, private.sign(heads.text(forged).encode())))
    noted = ("--checkpoint", str(home / "forged.note"), "--key", f"{key}.pub")
    code, report = verify(deployment, *noted)
    assert (code, places(report)) == (1, {("checkpoint", 1, head.last_offset)})
    code, _, problem = audit(deployment, "prove", "--topic", deployment.topic, "--partition", "1", "--offset", "20", *noted)
    assert code != 0
    assert f"no chain of entries leads from offset 0 to the checkpoint's, {head.last_offset}" in problem
    return "--checkpoint", str(notes), "--key", f"{key}.pub"


def prove(deployment: Deployment, noted: tuple[str, ...]) -> None:
    """The script in the docs takes proofs of masked and quarantined records, and no other."""
    record = ("prove", "--topic", deployment.topic, "--partition", "1", "--offset")
    for offset in (20, 21, 24):
        code, out, problem = audit(deployment, *record, str(offset))
        assert code == 0, problem
        assert script(deployment, out) == (0, f"offset {offset}, up to its entry only")
        assert CANARY not in out
        assert script(deployment, out.replace(f'"offset": {offset}', f'"offset": {offset + 1}'))[0] != 0
    code, out, problem = audit(deployment, *record, "20", *noted)
    assert code == 0, problem
    assert script(deployment, out, noted[-1]) == (0, "offset 20, up to the checkpoint of example.com/audit")
    code, _, problem = audit(deployment, *record, "9999")
    assert code != 0
    assert "the audit has no row for offset 9999" in problem


def erase(deployment: Deployment) -> None:
    """Records of a subject can be masked anew until the subject is erased; then they are counted."""
    deployment.say(
        "op.declare_domain('people', per_subject=True)",
        "op.keep_column('shop.customers', 'id', reason='a test')",
        "op.mask_column('shop.customers', 'name', method='tokenize', domain='people', subject='id', type='text')",
    )
    worker = deployment.workers[0]
    until(lambda: worker.metric("cdc_masker_policy_version") == 3, 60, lambda: worker.log.read_text()[-2000:])
    deployment.produce(10, partitions=2, first=1000)
    until(lambda: deployment.audited() >= 410, 60, deployment.audited)
    code, report = verify(deployment, "--recompute", login="both")
    assert (code, [chain["recomputed"] for chain in report["chains"]]) == (0, [205, 205]), report
    code, _, problem = run(deployment, "keys", "erase", "1003", "--reason", "a test", login="both")
    assert code == 0, problem
    code, report = verify(deployment, "--recompute", login="both")
    assert (code, [chain["recomputed"] for chain in report["chains"]]) == (0, [205, 204]), report
    assert list(report["chains"][1]["unchecked"].values()) == [1]


def tamper(deployment: Deployment) -> None:
    """What a superuser did to rows, and somebody to the masked topic, is named."""
    forge(deployment)
    found = {("extra", 0, 9000)}
    code, report = verify(deployment)
    assert (code, places(report)) == (1, found)
    assert CANARY not in json.dumps(report)
    for statement, more in (
        ("UPDATE cdc_masker.audit_entry SET worker = 'x' WHERE partition = 1 AND first_offset = 0", {("row", 1, 0)}),
        ("UPDATE cdc_masker.audit_entry SET gaps = '7' WHERE partition = 0 AND first_offset = 0", {("unreadable", 0, 0)}),
    ):
        deployment.stack.sql(f"SET session_replication_role = replica; {DISARM}; {statement}", database=deployment.name)
        code, report = verify(deployment)
        assert code == 1
        assert found | more <= places(report)
        assert any(each["code"] == "chain" for each in report["first_findings"])
        found |= more


def script(deployment: Deployment, proof: str, *keys: str) -> tuple[int, str]:
    """What the script in the docs says of a proof: with which exit code, and the end of its line."""
    (deployment.home / "check_proof.py").write_text(documented_script())
    (deployment.home / "proof.json").write_text(proof)
    command = [sys.executable, "-I", "check_proof.py", "proof.json", *keys]
    done = subprocess.run(command, cwd=deployment.home, stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.rstrip("\n").partition("partition 1, ")[2]


def forge(deployment: Deployment) -> None:
    """Adds a masked record of no entry."""
    like = next(record for record in deployment.records(deployment.masked_topic()) if record.partition == 0)
    header = dict(like.headers)["cdc-masker"].replace(b";o=%d;" % _offset(like), b";o=9000;")

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=deployment.stack.kafka_brokers) as producer:
            await producer.send_and_wait(like.topic, like.value, like.key, 0, like.timestamp, [("cdc-masker", header)])

    asyncio.run(run())


def _offset(record: Any) -> int:
    header = dict(item.split("=") for item in dict(record.headers)["cdc-masker"].decode().split(";"))
    return int(header["o"])
