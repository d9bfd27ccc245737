"""What retention took out of the catalog verifies: with its files as if it were there, and without by its receipts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cdc_masker.catalog import open_catalog
from cdc_masker.cli import app
from cdc_masker.events import AuditEntry
from tests.copies import documented_script
from tests.integration.conftest import Deploy
from tests.integration.kit import Deployment, until
from tests.migrations.kit import OFF

pytestmark = pytest.mark.stack

LATE = """
import sys, time, types
from cdc_masker.kafka import lane

days = 70
lane.time = types.SimpleNamespace(**{**vars(time), "time_ns": lambda: time.time_ns() - days * 86_400 * 10**9})
sys.argv = ["cdc-masker", "worker"]
from cdc_masker.cli import main

main()
"""
"""A worker whose clock is months late."""


def audit(deployment: Deployment, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *arguments], env=deployment.environment)
    return done.exit_code, done.stdout


def verify(deployment: Deployment, *options: str) -> tuple[int, list[dict[str, Any]], dict[str, int]]:
    """Exit code, findings, and what could not be checked of the one chain."""
    code, out = audit(deployment, "verify", "--json", *options)
    report: dict[str, Any] = json.loads(out)
    (chain,) = report["chains"]
    return code, report["first_findings"], chain["unchecked"]


def test_what_was_taken_out_verifies(deploy: Deploy, tmp_path: Path) -> None:
    deployment = deploy(batch_records="20")
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    script = deployment.home / "late.py"
    script.write_text(LATE)
    late = deployment.ready(deployment.start(by=str(script)))
    until(lambda: deployment.audited() == 100, 30, late.log.read_text)
    late.process.terminate()
    late.process.wait(30)
    month = f"{datetime.now(UTC):%Y-%m}"  # asked before they are masked: it may end meanwhile
    deployment.produce(40, first=100)
    worker = deployment.ready(deployment.start())
    until(
        lambda: len(deployment.audit_rows()) == len(deployment.audit()) and deployment.audited() == 140,
        30,
        worker.log.read_text,
    )
    entries = deployment.audit()

    key, notes, taken = str(tmp_path / "anchor.pem"), str(tmp_path / "notes"), str(tmp_path / "out")
    assert audit(deployment, "keygen", key)[0] == 0
    assert audit(deployment, "checkpoint", "--key", key, "--to", f"file:{notes}")[0] == 0
    noted = ("--checkpoint", notes, "--key", f"{key}.pub")
    code, said = audit(deployment, "retire", "--before", month, "--to", taken, *noted)
    old = [entry for entry in entries if entry.last_offset < 100]
    assert code == 0
    assert f"{len(old)} entries of 1 chains taken out" in said
    assert len(deployment.audit_rows()) == len(entries) - len(old)
    beside = ("--export", taken, "--checkpoint", taken, "--key", f"{key}.pub")
    assert verify(deployment, *beside) == (0, [], {})
    prove(deployment, old, beside)
    code, findings, unchecked = verify(deployment)
    assert (code, findings) == (0, [])
    assert unchecked["entries that retention took: see --export"] == len(old)

    async def copy_again() -> None:
        async with open_catalog(deployment.settings()) as catalog:
            assert await catalog.audit.append(entries) == len(old)

    asyncio.run(copy_again())
    assert verify(deployment, "--export", taken) == (0, [], {})
    audit(deployment, "retire", "--before", month, "--to", taken)
    assert verify(deployment, "--export", taken) == (0, [], {})
    assert verify(deployment)[:2] == (0, [])

    asyncio.run(copy_again())
    forge = "UPDATE cdc_masker.audit_entry_default SET worker = 'x' WHERE first_offset = 0"
    disarm = "ALTER TABLE cdc_masker.audit_entry DISABLE TRIGGER ALL"
    deployment.stack.sql("; ".join((OFF, disarm, forge)), database=deployment.name)
    code, findings, _ = verify(deployment)
    places = {(each["code"], each["offset"]) for each in findings}
    assert (code, places) == (1, {("row", 0), ("chain", old[1].first_offset)})


def prove(deployment: Deployment, old: list[AuditEntry], beside: tuple[str, ...]) -> None:
    """A record whose entry was taken out is proven by what it was exported to, up to the checkpoint that was kept there."""
    options = ("prove", "--topic", deployment.topic, "--partition", "0", "--offset", str(old[-1].first_offset))
    code, out = audit(deployment, *options, *beside)
    assert code == 0, out
    (deployment.home / "check_proof.py").write_text(documented_script())
    (deployment.home / "proof.json").write_text(out)
    script = [sys.executable, "-I", "check_proof.py", "proof.json", beside[-1]]
    checked = subprocess.run(script, cwd=deployment.home, capture_output=True, text=True)
    assert checked.stdout.endswith(f"offset {old[-1].first_offset}, up to the checkpoint of {deployment.name}\n"), (
        checked.stderr
    )
    done = CliRunner().invoke(app, ["audit", *options], env=deployment.environment)
    assert str(done.exception).endswith("retention took it: name its export with --export")
