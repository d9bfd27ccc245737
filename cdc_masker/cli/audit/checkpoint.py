"""`cdc-masker audit checkpoint` and `keygen`: signed notes of where the audit's chains end."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.keys.signing import new_signing_key, signing_key
from cdc_masker.settings import Settings, load
from cdc_masker.signednotes import can_be_key_name

if TYPE_CHECKING:
    from cdc_masker.audit.checkpointing import Checkpointer

__all__ = ["checkpoint", "keygen"]


def checkpoint(
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private key, as `cdc-masker audit keygen` writes it.")],
    to: Annotated[
        list[str],
        typer.Option(
            metavar="PLACE",
            help="Where notes go; may be repeated. file:DIR: a file for each. topic:NAME: made to keep everything if it is "
            "not there. command:…: gets each on its standard input, without a shell.",
        ),
    ],
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="Go on until SIGTERM, with a note so often. None: one note.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the notes call this audit. None: CDC_MASKER_APP_ID.")
    ] = None,
) -> None:
    """Sign where each chain of the audit ends, for a copy outside the database. Needs the role of an auditor.

    Exit code 1: the audit went back since the last note in a place, which is told and not signed; 2: it could not be done.
    """
    settings = load()
    origin = settings.app_id if origin is None else origin
    if not can_be_key_name(origin):
        raise SetupError("--origin takes a name without spaces and plus, such as example.com/audit")
    try:
        back = asyncio.run(_checkpoint(settings, key, to, every, origin))
    except asyncio.CancelledError:  # by SIGTERM
        return
    if back:
        raise typer.Exit(1)


def keygen(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The private key to make; the public one gets .pub behind it.")],
) -> None:
    """Make a pair of keys to sign checkpoints with. Keep the private one where no worker and no database owner can reach it."""
    print(f"{path}: private key; {new_signing_key(path)}: public key, for `cdc-masker audit verify`")


async def _checkpoint(settings: Settings, key: Path, to: list[str], every: float | None, origin: str) -> bool:
    """Whether the audit went back."""
    from cdc_masker.audit.checkpointing import Checkpointer  # not on top: the libraries for servers take long to load
    from cdc_masker.audit.places import place
    from cdc_masker.catalog import open_catalog

    task = asyncio.current_task()
    assert task is not None  # it runs
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    places = [place(name, settings) for name in to]
    async with open_catalog(settings) as catalog:
        checkpointer = Checkpointer(catalog.audit, origin, signing_key(key), places)
        while True:
            if await _once(checkpointer, patient=every is not None):
                return True
            if every is None:
                return False
            await asyncio.sleep(every)


async def _once(checkpointer: Checkpointer, *, patient: bool) -> bool:
    """One turn; tells what came of it. Whether the audit went back."""
    try:
        taken = await checkpointer.take()
    except TransientError as error:
        if not patient:
            raise
        print(f"no checkpoint: {error}; trying again", file=sys.stderr, flush=True)
        return False
    for problem in taken.problems:
        print(f"WENT BACK {problem}", file=sys.stderr)
    if taken.problems:
        print("the audit is not what it was at the last checkpoint; `cdc-masker audit verify` says where", file=sys.stderr)
        return True
    where = ", ".join(taken.written) or "nowhere, as nothing is new"
    print(f"checkpoint of {taken.chains} chains, written to {where}", flush=True)
    return False
