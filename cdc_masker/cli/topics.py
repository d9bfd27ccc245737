"""`cdc-masker topics`: raw topics and their masked copies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from cdc_masker.errors import TransientError
from cdc_masker.kafka.rights import described
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.replay.overview import Source

__all__ = ["topics"]

_COLUMNS = ("raw topic", "generation", "masked topic", "state", "policy", "epoch", "records", "lag")


def topics(as_json: Annotated[bool, typer.Option("--json", help="As JSON, with each partition.")] = False) -> None:
    """List raw topics and their masked copies: the state of each, how many records it has, and how far it came.

    Records are counted by offsets, so markers of transactions are among them.
    """
    found = asyncio.run(_look(load()))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _print(found)


async def _look(settings: Settings) -> list[Source]:
    from cdc_masker.catalog import open_catalog  # not on top: the libraries for servers take long to load
    from cdc_masker.kafka.cluster import Cluster
    from cdc_masker.replay.overview import overview

    async with open_catalog(settings) as catalog:
        cluster = Cluster(settings)
        await cluster.start()
        try:
            return await overview(settings, catalog, cluster)
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka can't be read ({described(error)}); look again") from None
        finally:
            await cluster.close()


def _print(found: list[Source]) -> None:
    rows = []
    for source in found:
        raw = "gone" if source.records is None else f"{source.records:,}"
        rows.append((source.topic, "raw", "", "", "", "", raw, ""))
        rows += [
            (
                source.topic,
                str(copy.generation),
                copy.topic,
                copy.state,
                str(copy.policy_version),
                str(copy.key_epoch),
                f"{copy.records:,}",
                f"{copy.lag:,}" if copy.state == "live" else "",
            )
            for copy in source.copies
        ]
    console = Console()
    if not console.is_terminal:
        for row in (_COLUMNS, *rows):
            print("\t".join(row))
        return
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
