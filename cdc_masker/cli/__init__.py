"""The command line: thin. Each command reads settings, calls one function of another room and prints.

Exit codes: 0 done, 1 the answer is no (a check failed), 2 it could not be done; the reason is one sentence on stderr. 70 is a
fault of the program, of which only the kind and the place in the code are told.
"""

from __future__ import annotations

import sys

import typer

from cdc_masker.cli import (
    audit,
    capture,
    compare,
    connector,
    cutover,
    db,
    doctor,
    erase,
    extent,
    generations,
    init,
    keys,
    leaks,
    mask,
    methods,
    offsets,
    policy,
    policy_test,
    quarantine,
    replay,
    replay_file,
    reveal,
    review,
    sealing,
    settings,
    snapshot,
    stack,
    topics,
    worker,
)
from cdc_masker.errors import CdcMaskerError, located
from cdc_masker.kafka.failing import conceal

__all__ = ["EXIT_FAULT", "app", "main"]

EXIT_FAULT = 70

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
app.command("methods")(methods.methods)
app.command("settings")(settings.settings)
app.command("worker")(worker.worker)
app.command("doctor")(doctor.doctor)
app.command("init")(init.init)
app.command("reveal")(reveal.reveal)
app.command("snapshot")(snapshot.snapshot)
app.command("topics")(topics.topics)
keys.app.command("erase")(erase.erase)
app.add_typer(keys.app, name="keys")
app.add_typer(db.app, name="db")
for command in (extent.coverage, review.diff, review.explain, review.history, sealing.verify, sealing.sign, sealing.keygen):
    policy.app.command()(command)
policy.app.command()(policy_test.test)
policy.app.command()(policy_test.preview)
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
replay.app.command()(compare.compare)
replay.app.command("file")(replay_file.file)
replay.app.command("finish")(cutover.finish)
app.add_typer(replay.app, name="replay")
app.add_typer(generations.app, name="generations")
app.add_typer(offsets.app, name="offsets")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(connector.app, name="connector")
app.add_typer(stack.app, name="stack")


def main() -> None:
    """Entry point of the console script."""
    conceal()
    try:
        app()
    except CdcMaskerError as error:
        print(f"cdc-masker: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:  # noqa: BLE001  # whatever it is, its text may quote a record
        print(f"cdc-masker: a fault of the program ({located(error)}); please report this line", file=sys.stderr)
        raise SystemExit(EXIT_FAULT) from None
