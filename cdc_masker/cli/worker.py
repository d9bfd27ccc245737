"""`cdc-masker worker`."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from cdc_masker.kafka import lines
from cdc_masker.restarting import command, supervise
from cdc_masker.settings import load

__all__ = ["worker"]


class Level(StrEnum):
    """Levels of the log, as Faust names them."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def worker(
    loglevel: Annotated[Level, typer.Option("--loglevel", "-l", help="Least level of what is logged.")] = Level.INFO,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start it again when it fails, each time in a row after a longer wait.")
    ] = False,
) -> None:
    """Mask the topics that the settings name, until SIGTERM. The same as `faust -A cdc_masker.worker worker`."""
    if restart:
        lines.begin(load().log_format)
        raise typer.Exit(asyncio.run(supervise(command(loglevel))))
    from cdc_masker.worker import run  # here, because Faust takes long to import, and other commands don't need it

    run(loglevel.value)
