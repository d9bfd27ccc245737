"""`cdc-masker replay finish`: the new generation takes the place of those before it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from cdc_masker.cli.progress import progress
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.rights import described
from cdc_masker.settings import Settings, load

__all__ = ["finish"]


def finish(
    generation: Annotated[int, typer.Argument(min=2, help="The replay's generation.")],
    reason: Annotated[str, typer.Option(help="Why now; it goes into the receipt, so name a ticket and not a person.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    within: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the new generation.")] = 600.0,
) -> None:
    """Close the generations before a replay's, and tell consumers where they end and where the new one goes on.

    The replay has to be past its bound, and its workers have to run. It can be run again when it was cut off.
    """
    if not reason.strip():
        raise SetupError("--reason is blank; say why the earlier generation is not needed any more")
    asyncio.run(_finish(load(), generation, reason, yes, within))


async def _finish(settings: Settings, generation: int, reason: str, yes: bool, within: float) -> None:
    from cdc_masker.catalog import open_catalog  # not on top: the libraries for servers take long to load
    from cdc_masker.kafka.cluster import Cluster
    from cdc_masker.replay.cutover import CutOver

    async with open_catalog(settings) as catalog:
        cluster = Cluster(settings)
        await cluster.start()
        try:
            cutover = CutOver(settings, catalog, cluster, generation)
            plan = await cutover.look()
            for topic in plan.gone:
                print(f"{topic}: the raw topic is gone, so its generations stay as they are")
            for each in plan.endings:
                print(f"{each.source.name}: generation {each.closes} ends, {each.output} gets no more records", flush=True)
            if plan.endings and not yes and not await asyncio.to_thread(typer.confirm, "Close them?"):
                raise typer.Exit(1)
            with progress() as tell:
                async for _ in cutover.finish(plan, reason, within=within, tell=tell):
                    pass
            for cut in await cutover.cutovers():
                print(
                    f"{cut.topic}[{cut.partition}]: generation {cut.closes} ends with offset {cut.last_source_offset}; who has "
                    f"read its copy to {cut.old_position} goes on in generation {generation} at {cut.new_position}"
                )
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka did not do what is needed ({described(error)}); run this again") from None
        finally:
            await cluster.close()
