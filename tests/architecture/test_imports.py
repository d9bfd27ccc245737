"""Imports point one way, and the core does nothing but compute."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cdc_masker"
CORE = [
    "errors",
    "events",
    "leaves",
    "merkle",
    "batches",
    "schemas",
    "kinds",
    "policies",
    "sealing",
    "paths",
    "methods",
    "nested",
    "rules",
    "comparison",
    "steady",
    "drafting",
    "lookup",
    "codecs",
    "envelope",
    "engine",
    "evidence",
    "exports",
    "heads",
    "signednotes",
    "flattened",
    "guard",
    "subjects",
    "reveal",
    "plans",
    "native",
    "pipeline",
]
IMPURE = {"logging", "asyncio", "faust", "sqlalchemy", "time", "random", "secrets", "socket", "os", "threading", "subprocess"}


def _modules(room: str) -> list[Path]:
    directory = PACKAGE / room
    return sorted(directory.rglob("*.py")) if directory.is_dir() else [PACKAGE / f"{room}.py"]


def _imported(source: str) -> Iterator[str]:
    """The top-level packages that a module imports, at its top or inside of a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_contracts_of_the_rooms_hold() -> None:
    """In a process of its own: it turns off the loggers of the one that it runs in."""
    command = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_contract_of_the_core_names_the_whole_core() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    named = contracts["importlinter:contract:core"]["source_modules"].split()
    assert sorted(named) == sorted(f"cdc_masker.{room}" for room in CORE)


@pytest.mark.parametrize("module", [module for room in CORE for module in _modules(room)], ids=lambda path: path.stem)
def test_the_core_only_computes(module: Path) -> None:
    source = module.read_text()
    assert not IMPURE & set(_imported(source))
    assert not {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)} & {"open", "print", "input"}


def test_values_are_decrypted_in_one_place_only() -> None:
    """Which a worker can't import, as a contract says."""
    calling = {
        module.name
        for module in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("decrypt", "decryptor")
    }
    assert calling == {"reveal.py", "subjects.py"}  # the latter unwraps the keys of subjects
