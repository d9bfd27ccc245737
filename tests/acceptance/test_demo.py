"""The demo, run as `make demo` runs it: it checks itself, says so in one line, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cdc_masker.stack.programs import cache_directory

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.stack
def test_the_demo_shows_checks_and_cleans_up(tmp_path: Path) -> None:
    # A cache of its own, which has the jars: a demo that somebody keeps running, or another run of this, stays as it is.
    cache = tmp_path / "cdc-masker"
    cache.mkdir()
    (cache / "jvm").symlink_to(cache_directory() / "jvm")
    environment = {name: value for name, value in os.environ.items() if name != "KEEP"} | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("demo: ")
    assert [line for line in lines if line.startswith("demo: ")] == lines[-1:]
    assert "(1 quarantined)" in lines[-1]
    assert "\x1b[" not in done.stdout + done.stderr  # plain lines where there is no terminal
    directory = cache / "demo"
    assert not directory.exists()
    assert [process.pid for process in psutil.process_iter() if _works_in(process, directory)] == []


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return str(directory) in process.cwd() or any(str(directory) in word for word in process.cmdline())
    except psutil.Error:
        return False
