"""`cdc-masker audit prove`: that one record is in the audit, for somebody who trusts none of this."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cdc_masker.cli.audit.verify import Keys, public_keys
from cdc_masker.errors import SetupError
from cdc_masker.settings import load

__all__ = ["prove"]


def prove(
    topic: Annotated[str, typer.Option(help="Raw topic.")],
    partition: Annotated[int, typer.Option(min=0)],
    offset: Annotated[int, typer.Option(min=0, help="Of the raw record.")],
    generation: Annotated[int, typer.Option(min=1, help="Of which copy.")] = 1,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A signed note; the proof goes on to the head that it names.")
    ] = None,
    keys: Keys = None,
) -> None:
    """Print a proof of what became of one raw record, as JSON. docs/audit.md has a script that checks it without cdc-masker.

    It holds the masked record's key and value as they were published, and nothing of the raw record.
    """
    from cdc_masker.audit.checkpoints import kept, notes  # not on top: the libraries for servers take long to load
    from cdc_masker.audit.proof import proof_of

    settings = load()
    told = None
    if checkpoint is not None:
        found = notes(checkpoint)
        if len(found) != 1:
            raise SetupError(f"{checkpoint} holds {len(found)} notes; name a file with one of them")
        told = found[0], next(kept([checkpoint], public_keys(settings, keys)))[1]
    proof = asyncio.run(proof_of(settings, topic, partition, offset, generation, told))
    print(msgspec.json.format(msgspec.json.encode(proof)).decode())
