"""`cdc-masker audit prove`: that one record is in the audit, for somebody who trusts none of this."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cdc_masker.cli.audit.verify import Export, Keys, public_keys
from cdc_masker.settings import load

__all__ = ["prove"]


def prove(
    topic: Annotated[str, typer.Option(help="Raw topic.")],
    partition: Annotated[int, typer.Option(min=0)],
    offset: Annotated[int, typer.Option(min=0, help="Of the raw record.")],
    generation: Annotated[int, typer.Option(min=1, help="Of which copy.")] = 1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A signed note, or a directory of them; the proof goes on to the newest one's head."),
    ] = None,
    keys: Keys = None,
    export: Export = None,
) -> None:
    """Print a proof of what became of one raw record, as JSON. docs/audit.md has a script that checks it without cdc-masker.

    It holds the masked record's key and value as they were published, and nothing of the raw record.
    """
    from cdc_masker.audit.checkpoints import newest  # not on top: the libraries for servers take long to load
    from cdc_masker.audit.proof import proof_of
    from cdc_masker.audit.snapshot import Place

    settings = load()
    told = None if checkpoint is None else newest(checkpoint, public_keys(settings, keys))
    place = Place(topic, generation, partition)
    proof = asyncio.run(proof_of(settings, place, offset, checkpoint=told, export=export))
    print(msgspec.json.format(msgspec.json.encode(proof)).decode())
