"""`cdc-masker worker`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["worker"]


class Level(StrEnum):
    """Levels of the log, as Faust names them."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def worker(
    loglevel: Annotated[Level, typer.Option("--loglevel", "-l", help="Least level of what is logged.")] = Level.INFO,
) -> None:
    """Mask the topics that the settings name, until SIGTERM. The same as `faust -A cdc_masker.worker worker`."""
    from cdc_masker.worker import run  # here, because Faust takes long to import, and other commands don't need it

    run(loglevel.value)
