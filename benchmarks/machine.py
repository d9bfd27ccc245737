"""What the figures were taken on: the commit, the machine, and the version of everything that took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from cdc_masker.stack import programs

__all__ = ["describe"]

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("cdc-masker", "cdc-masker-native", "faust-streaming", "aiokafka", "msgspec", "orjson", "cryptography", "uvloop")


def describe() -> dict[str, Any]:
    """Commit, machine and versions, as JSON takes them."""
    return {
        "commit": commit(),
        "core": os.environ.get("CDC_MASKER_CORE", "auto"),
        "machine": {
            "cores": os.cpu_count(),
            "cpu": _cpu_model(),
            "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
            "system": platform.platform(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {
            "python": platform.python_version(),
            **_packages(),
            **_of_file(_ROOT / "connectors" / "pom.xml", ("kafka",)),
            **_of_file(_ROOT / "benchmarks" / "peers" / "kafka-streams" / "pom.xml", ("kafka", "jackson"), "streams peer: "),
            **_of_file(_ROOT / "benchmarks" / "peers" / "quix.lock", ("quixstreams", "confluent-kafka")),
            "java": _number(_told([programs.java(), "-version"])),
            "postgresql": _number(_told([programs.postgres_programs().postgres, "--version"])),
        },
    }


def commit() -> str:
    """The commit of this checkout, with a `+` when files differ from it; `unknown` outside of one."""
    told = _told(["git", "-C", _ROOT, "rev-parse", "--short=12", "HEAD"])
    changed = _told(["git", "-C", _ROOT, "status", "--porcelain", "--untracked-files=no", "--", "cdc_masker", "native"])
    return told + ("+" if told and changed else "") or "unknown"


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _of_file(path: Path, names: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Versions as a pom or a lock file names them."""
    text = path.read_text()
    found = {}
    for name in names:
        match = re.search(rf"<{name}\.version>(.+?)<|^{name}==(\S+)", text, re.MULTILINE)
        if match:
            found[prefix + name] = match[1] or match[2]
    return found


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _number(told: str) -> str:
    """The version in what a program tells of itself."""
    match = re.search(r"\d+(?:\.\d+)+", told)
    return match[0] if match else told


def _told(command: list[str | Path]) -> str:
    """The first line that a program prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ((done.stdout or done.stderr).splitlines() or [""])[0]
