"""`cdc-masker generations`: the masked copies of raw topics."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.rights import described
from cdc_masker.settings import Settings, load

__all__ = ["app"]

app = typer.Typer(help="Decide about masked copies of raw topics; `cdc-masker topics` lists them.", no_args_is_help=True)


@app.callback()
def generations() -> None:
    """Decide about masked copies of raw topics; `cdc-masker topics` lists them."""


@app.command()
def retire(
    generation: Annotated[int, typer.Argument(min=1)],
    reason: Annotated[str, typer.Option(help="Why; it goes into the receipt, so name a ticket and not a person.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete the masked topics of a generation that nobody reads any more, with a receipt.

    For generations that are closed or cancelled. Their audit stays. It can be run again when it was cut off.
    """
    if not reason.strip():
        raise SetupError("--reason is blank; say why nobody needs it any more")
    asyncio.run(_retire(load(), generation, reason, yes))


async def _retire(settings: Settings, generation: int, reason: str, yes: bool) -> None:
    from cdc_masker.catalog import open_catalog  # not on top: the libraries for servers take long to load
    from cdc_masker.kafka.cluster import Cluster
    from cdc_masker.replay.retiring import Retiring

    async with open_catalog(settings) as catalog:
        cluster = Cluster(settings)
        await cluster.start()
        try:
            retiring = Retiring(catalog, cluster, generation)
            doomed = await retiring.look()
            for each in doomed:
                held = f"{each.offsets:,} offsets in {each.partitions} partitions" if each.partitions else "not there any more"
                print(f"{each.output}: {held}; generation {generation} of {each.topic}, {each.state}", flush=True)
                for reader in each.readers:
                    print(
                        f"  group {reader.group} has read {reader.read} of {reader.partitions} partitions to the end",
                        flush=True,
                    )
            if not yes and not await asyncio.to_thread(typer.confirm, "Delete these topics?"):
                raise typer.Exit(1)
            await retiring.retire(doomed, reason)
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka did not do what is needed ({described(error)}); run this again") from None
        finally:
            await cluster.close()
    print(f"generation {generation} is retired; `cdc-masker audit receipts` shows the receipt")
