"""Runs the command line in this process, in an empty directory without settings, and writes the files that it reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdc_masker.cli import main
from cdc_masker.codecs.capture import encode_line
from cdc_masker.events import Record
from cdc_masker.policies import Policy


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


def runner(
    monkeypatch: pytest.MonkeyPatch, directory: Path, capsys: pytest.CaptureFixture[str], *words: str, never: str
) -> Run:
    """Runs `cdc-masker` with `words` and what more it is called with; `never` is in nothing that it prints."""
    monkeypatch.chdir(directory)
    for name in [name for name in os.environ if name.upper().startswith("CDC_MASKER_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["cdc-masker", *words, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        assert never not in printed.out + printed.err
        return Result(ended.value.code or 0, printed.out, printed.err)

    return run


def captured(*records: Record) -> Path:
    path = Path("raw.jsonl")
    path.write_bytes(b"".join(encode_line(each) + b"\n" for each in records))
    return path


def written(policy: Policy, name: str = "policy.json") -> Path:
    path = Path(name)
    path.write_text(json.dumps(policy.export()))
    return path
