"""The command line: thin. Each command reads settings, calls one function of another room and prints.

Exit codes: 0 done, 1 the answer is no (a check failed), 2 it could not be done; the reason is one sentence on stderr.
"""

from __future__ import annotations

import sys

import typer

from cdc_masker.cli import audit, capture, connector, db, keys, leaks, mask, policy, settings, stack, worker
from cdc_masker.errors import CdcMaskerError

__all__ = ["app", "main"]

app = typer.Typer(
    name="cdc-masker",
    help="Masks personal data in Debezium change streams.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a pretty traceback shows local variables, which may be raw values
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("mask")(mask.mask)
app.command("capture")(capture.capture)
app.command("leaks")(leaks.leaks)
app.command("settings")(settings.settings)
app.command("worker")(worker.worker)
app.add_typer(keys.app, name="keys")
app.add_typer(db.app, name="db")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.add_typer(connector.app, name="connector")
app.add_typer(stack.app, name="stack")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except CdcMaskerError as error:
        print(f"cdc-masker: {error}", file=sys.stderr)
        raise SystemExit(2) from None
