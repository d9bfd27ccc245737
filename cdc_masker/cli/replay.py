"""`cdc-masker replay`: masks again what was captured before."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(help="Mask again what was captured before.", no_args_is_help=True)


@app.callback()
def replay() -> None:
    """Mask again what was captured before."""
