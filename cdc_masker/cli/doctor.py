"""`cdc-masker doctor`: what leaks or loses outside of cdc-masker."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from cdc_masker import cores, settings
from cdc_masker.doctor import Severity, examine

__all__ = ["doctor"]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Look for what lets raw values out or loses records: in Kafka Connect, Kafka, connections, catalog and source database.

    Exit code 0: no error, though there may be warnings; 1: an error; 2: something could not be looked at.
    """
    current = settings.load()
    core = "compiled" if cores.is_compiled(current.core) else "Python"
    print(f"workers with these settings mask with the {core} core", file=sys.stderr)
    found = asyncio.run(examine(current))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            print(f"{finding.severity}: {finding.place}: {finding.problem}; {finding.remedy}")
        if not found:
            print("nothing found")
    if any(finding.severity is Severity.ERROR for finding in found):
        raise typer.Exit(1)
