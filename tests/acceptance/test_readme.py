"""The README's commands, run as they are written there by a shell, on the real stack."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_masker.settings import PREFIX, Settings
from cdc_masker.stack import Stack
from demo import shop
from tests.integration.kit import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"^<!-- tested(?:: (\w+))? -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(match[1] or "commands", match[2]) for match in _BLOCK.finditer(README)]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """What a user has in the directory where the README's commands are run."""
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    yield tmp_path


def _shell(script: str, directory: Path, environment: dict[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def _addresses(stack: Stack, name: str) -> dict[str, str]:
    """What a reader puts in instead of the addresses that the README shows."""
    return stack.environment(name) | {
        "CDC_MASKER_SOURCE_TOPICS": r"shop\.crm\..*",
        "CDC_MASKER_SOURCE_TABLES": "crm.customers",
    }


@pytest.mark.stack
def test_ten_minutes_to_ones_own_masked_topic(stack: Stack, clone: Path, unique: Callable[[str], str]) -> None:
    name = unique("readme")
    shop.create(stack, name)
    addresses = _addresses(stack, name)
    script = []
    for kind, block in BLOCKS:
        if kind == "settings":
            block = re.sub(r"(?m)^export (CDC_MASKER_\w+)=.*$", lambda line: _with_address(line, addresses), block)
        script.append(block)
    # The names that tell this run from others on the same servers; a reader has no other run.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)} | {
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_APP_ID": name,
        "CDC_MASKER_AUDIT_TOPIC": f"{name}.audit",
        "CDC_MASKER_QUARANTINE_TOPIC": f"{name}.quarantine",
        "CDC_MASKER_WEB_PORT": str(free_port()),
    }
    tidy = "set -m\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n"  # a worker that a failed step left
    done = _shell(tidy + "\n".join(script), clone, environment, 240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"format": 1' in done.stdout and '"version": 1' in done.stdout
    captured = [line for line in done.stdout.splitlines() if line.startswith('{"topic":"masked.shop.crm.customers"')]
    assert len(captured) == 3
    assert "example.com" not in done.stdout
    assert "Moreau" not in done.stdout
    assert "shop.crm.customers" in done.stdout.rpartition(captured[-1])[2]  # the audit row


def test_the_one_minute_try_needs_no_server(clone: Path) -> None:
    (command,) = re.findall(r"^\.venv/bin/cdc-masker mask .*$", README, re.MULTILINE)
    done = _shell(command, clone, dict(os.environ), 60)
    assert done.returncode == 0, done.stderr
    lines = (ROOT / "examples" / "shop.jsonl").read_text().splitlines()
    assert len(done.stdout.splitlines()) == len(lines)
    assert {line.partition(",")[0] for line in done.stdout.splitlines()} == {'{"outcome":"masked"', '{"outcome":"control"'}


def test_every_setting_that_the_documentation_names_exists() -> None:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "connectors").glob("*.md")]:
        named = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", document.read_text()))
        unknown = {name for name in named if name not in known and name.removesuffix("_FILE") not in known}
        assert unknown == set(), document.name


def test_every_document_that_the_documentation_links_to_exists() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def _with_address(line: re.Match[str], addresses: dict[str, str]) -> str:
    return f"export {line[1]}={shlex.quote(addresses[line[1]])}" if line[1] in addresses else line[0]
