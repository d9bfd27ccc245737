"""`cdc-masker keys`: key files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker.keys import new_keyring, write

__all__ = ["app"]

app = typer.Typer(help="Make key files.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make key files."""


@app.command()
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make; it must not be there yet.")],
) -> None:
    """Make a key file with a new random key, readable by its owner only. The key is never printed."""
    ring = new_keyring()
    write(ring, path)
    print(f"{path}: key {ring.keys[0].id}, epoch 1; keep a copy where losing this machine can't lose it", file=sys.stderr)
