"""`cdc-masker capture`: Kafka records as capture lines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker.cli.files import writing
from cdc_masker.codecs.capture import encode_line
from cdc_masker.settings import load

__all__ = ["capture"]


def capture(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="Topics to read.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where lines go; - is standard output.")] = Path("-"),
) -> None:
    """Write what topics hold now, one line for each record, as `cdc-masker mask` reads it.

    A capture of raw topics holds raw values: keep it where these may be.
    """
    asyncio.run(_capture(topics, output))


async def _capture(topics: list[str], output: Path) -> None:
    from cdc_masker.kafka.capturing import capture as records  # here, because other commands don't need Kafka

    settings = load()
    with writing(output) as lines:
        async for record in records(settings, topics):
            lines.write(encode_line(record) + b"\n")
