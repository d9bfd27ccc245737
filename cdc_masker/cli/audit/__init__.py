"""`cdc-masker audit`: what was done."""

from __future__ import annotations

import typer

from cdc_masker.cli.audit import checkpoint, export, prove, receipts, retire, show, verify, verify_files

__all__ = ["app"]

app = typer.Typer(help="Look at the audit.", no_args_is_help=True)
app.command("show")(show.show)
app.command("export")(export.export)
app.command("receipts")(receipts.receipts)
app.command("retire")(retire.retire)
app.command("verify")(verify.verify)
app.command("verify-files")(verify_files.verify_files)
app.command("prove")(prove.prove)
app.command("checkpoint")(checkpoint.checkpoint)
app.command("keygen")(checkpoint.keygen)


@app.callback()
def audit() -> None:
    """Look at the audit."""
