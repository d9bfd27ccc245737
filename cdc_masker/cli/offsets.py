"""`cdc-masker offsets`: where masking goes on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.rights import described
from cdc_masker.settings import Settings, load

__all__ = ["app"]

app = typer.Typer(help="Decide about where masking goes on.", no_args_is_help=True)


@app.callback()
def offsets() -> None:
    """Decide about where masking goes on."""


@app.command()
def accept(
    topic: Annotated[str, typer.Argument(help="The raw topic.")],
    partition: Annotated[int, typer.Argument(min=0)],
    reason: Annotated[str, typer.Option(help="Why this is right; it goes into the audit, so name a ticket and not a person.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Accept that records of a halted partition were lost before they were masked, on record, so that masking goes on.

    For partitions that are halted as out_of_range or other_incarnation. Workers that run go on by themselves.
    """
    if not reason.strip():
        raise SetupError("--reason is blank; say why the loss is acceptable")
    asyncio.run(_accept(load(), TopicPartition(topic, partition), reason, yes))


async def _accept(settings: Settings, partition: TopicPartition, reason: str, yes: bool) -> None:
    from cdc_masker.catalog import open_catalog  # not on top: the libraries for servers take long to load
    from cdc_masker.kafka.accepting import Accepting
    from cdc_masker.kafka.cluster import Cluster

    async with open_catalog(settings) as catalog:
        live = await catalog.generations.live()
        epochs = [each.key_epoch for each in live if (each.topic, each.number) == (partition.topic, settings.generation)]
        if not epochs:
            raise SetupError(f"no worker ever masked {partition.topic} into generation {settings.generation}; name a raw topic")
        policy = await catalog.policies.current(epochs[0])
        by = await catalog.audit.login()
        cluster = Cluster(settings)
        await cluster.start()
        try:
            accepting = Accepting(settings, cluster, catalog.audit, policy, partition)
            loss = await accepting.look()
            print(f"{partition.topic}[{partition.partition}]: {loss}", flush=True)
            if not yes and not await asyncio.to_thread(typer.confirm, "Accept that, on record?"):
                raise typer.Exit(1)
            entry = await accepting.accept(loss, by, reason)
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka did not do what is needed ({described(error)}); look again") from None
        finally:
            await cluster.close()
    print(f"accepted by {by}; audit entry {entry.first_offset}-{entry.last_offset}, masking goes on at offset {loss.resume}")
