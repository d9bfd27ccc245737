"""`cdc-masker settings`: what is set, and where it comes from."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from cdc_masker.settings import PREFIX, Settings, load, source_of

__all__ = ["settings"]


def settings(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Print each setting, its value and where it comes from; secrets are hidden."""
    current = load()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(current, name)
        shown = None if value is None else "********" if isinstance(value, SecretStr) else str(value)
        rows.append((f"{PREFIX}{name}".upper(), shown, source_of(name), field.description or ""))
    if as_json:
        names = ("setting", "value", "source", "meaning")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return
    console = Console()
    if console.is_terminal:
        table = Table("setting", "value", "source", "meaning", box=None)
        for name, shown, source, meaning in rows:
            table.add_row(name, "" if shown is None else shown, source, meaning)
        console.print(table)
        return
    for name, shown, source, _ in rows:
        print(f"{name}={'' if shown is None else shown}  # {source}")
