"""A short run of the fuzz target, and proof that it can find. `make fuzz` runs it for ten minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cdc_masker.methods import METHODS

RUNS = 10_000
ROOT = Path(__file__).resolve().parents[2]

BROKEN = """
import sys
from tests.fuzz import target
from cdc_masker.pipeline import Masker

right = Masker._key

def wrong(*arguments):
    return right(*arguments) and b'{"email":"' + target.CANARY + b'"}'

Masker._key = wrong
target.main()
"""


def fuzz(program: list[str], directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # so that the same seed gives the same inputs
    command = [sys.executable, *program, str(directory / "corpus"), *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_nothing_is_found_in_a_short_run(tmp_path: Path) -> None:
    done = fuzz(["-m", "tests.fuzz.target"], tmp_path, "-seed=7", f"-runs={RUNS}", "-max_len=8192")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr


def test_every_method_is_tried_that_shows_no_part_of_any_text() -> None:
    program = "from tests.fuzz.target import POLICY; print(*{rule.method for rule in POLICY.rules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {*METHODS} - {*done.stdout.split()} == {"truncate", "partial", "email", "url", "scrub"}


def test_a_masker_that_leaks_is_found(tmp_path: Path) -> None:
    done = fuzz(["-c", BROKEN], tmp_path, "-seed=7", "-runs=2000")
    assert done.returncode != 0
    assert "a canary in a masked column is in the outcome" in done.stderr + done.stdout
