"""`cdc-masker replay`: topics masked once more, as a generation of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from aiokafka.errors import KafkaError

from cdc_masker import keys
from cdc_masker.cli import replayed
from cdc_masker.cli.progress import above, progress
from cdc_masker.cli.worker import Level
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.rights import described
from cdc_masker.ports import Replay
from cdc_masker.restarting import command
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.catalog import Catalog
    from cdc_masker.kafka.cluster import Cluster
    from cdc_masker.replay.differing import Answer
    from cdc_masker.replay.planning import Plan, Wanted
    from cdc_masker.replay.progress import Progress, Watch

__all__ = ["app"]

app = typer.Typer(help="Mask again: topics into generations of their own, captures into files.", no_args_is_help=True)

Number = Annotated[int | None, typer.Argument(metavar="[N]", min=2, help="The generation; none: the replay that goes on.")]
Reason = Annotated[str, typer.Option(help="Why; it goes into the catalog, so name a ticket and not a person.")]
Workers = Annotated[int, typer.Option(min=0, help="Worker processes here; other machines may share with `replay run`.")]
Ends = Annotated[bool, typer.Option("--exit", help="Stop the workers when all partitions are past their bounds.")]
Loglevel = Annotated[Level, typer.Option("--loglevel", "-l", help="Least level of what the workers log, on standard error.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, one object a line.")]
_LINE_SECONDS = 10.0
_TOLD = {"pause": "its workers wait", "resume": "its workers go on", "cancel": "it is cancelled, and its workers end"}


@app.callback()
def replay() -> None:
    """Mask again: topics into generations of their own, captures into files."""


@app.command()
def start(
    topics: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC|PATTERN...]", help="Raw topics, by name or regular expression; none: all that workers may mask."
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option("--from", metavar="PLACE", help="earliest, an offset, or a time with its zone (2026-11-01T06:00:00Z)."),
    ] = "earliest",
    until: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="end: as of now, and the generation stays live behind it. An offset or a time: the generation ends before it.",
        ),
    ] = "end",
    policy: Annotated[int | None, typer.Option(min=1, help="Policy version; none: the one in force.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the catalog, so name a ticket and not a person.")] = "",
    workers: Workers = 1,
    ends: Ends = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would be, and what would change.")] = False,
    as_json: AsJson = False,
    loglevel: Loglevel = Level.WARN,
) -> None:
    """Begin a replay, and run workers for it until they are told to stop.

    The copies that are there are not touched. A policy that shows more than they do is refused, unless somebody gave the
    reason. Exit code 2: it could not be done, or was cancelled.
    """
    from cdc_masker.replay.places import place  # not on top: the libraries for servers take long to load
    from cdc_masker.replay.planning import Wanted

    if not dry_run:
        _stated(reason)
    wanted = Wanted(topics=topics or (), start=place(since, "earliest"), end=place(until, "end"), policy=policy)
    raise typer.Exit(asyncio.run(_start(load(), wanted, reason, dry_run, _How(workers, ends, as_json, loglevel))))


@app.command()
def run(
    number: Number = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes here.")] = 1,
    ends: Ends = False,
    as_json: AsJson = False,
    loglevel: Loglevel = Level.WARN,
) -> None:
    """Run workers for a replay that was begun: after it was stopped or killed, or on one more machine."""
    raise typer.Exit(asyncio.run(_run(load(), number, _How(workers, ends, as_json, loglevel))))


@app.command()
def status(
    number: Annotated[int | None, typer.Argument(metavar="[N]", min=2, help="The generation; none: all.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, until all partitions are past their bounds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell how far replays came, here or elsewhere."""
    asyncio.run(_status(load(), number, watch, as_json))


@app.command()
def pause(number: Number = None, reason: Reason = "pause") -> None:
    """Have the workers of a replay wait, wherever they run."""
    asyncio.run(_tell(load(), number, "pause", reason))


@app.command()
def resume(number: Number = None, reason: Reason = "resume") -> None:
    """Have them go on."""
    asyncio.run(_tell(load(), number, "resume", reason))


@app.command()
def cancel(
    number: Annotated[int, typer.Argument(metavar="N", min=2, help="The generation.")],
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Give a replay up for good. What it masked stays until `cdc-masker generations retire`."""
    _stated(reason)
    if not yes and not typer.confirm(f"Generation {number} can't be gone on with after this. Cancel it?"):
        raise typer.Exit(1)
    asyncio.run(_tell(load(), number, "cancel", reason))


def _stated(reason: str) -> None:
    if not reason.strip():
        raise SetupError("--reason is missing or blank; say why")


@dataclass(frozen=True, slots=True)
class _How:
    """How workers are run, and what is told of them."""

    workers: int
    ends: bool
    as_json: bool
    loglevel: Level


async def _start(settings: Settings, wanted: Wanted, reason: str, dry_run: bool, how: _How) -> int:
    from cdc_masker.replay.planning import plan  # not on top, for the same reason

    async with _servers(settings) as (catalog, cluster):
        with progress() as tell:
            tell("looking at the topics")
            found = await plan(settings, catalog, cluster, wanted)
            if dry_run:
                tell("comparing with the copies that there are")
            changes = await _changes(settings, found) if dry_run else None
        replayed.tell_plan(found, how.workers, changes, as_json=how.as_json)
        if dry_run:
            return 0
        begun = await catalog.replays.begin(
            found.policy, stays=found.stays, pattern=found.pattern, reason=reason, stretches=found.stretches
        )
        replayed.tell_begun(begun, as_json=how.as_json)
        return await _work(settings, catalog, cluster, begun, found.sample.mean, how) if how.workers else 0


async def _changes(settings: Settings, found: Plan) -> Answer:
    """What some records of the newest live copies would be otherwise."""
    from cdc_masker.replay.changing import would_change  # as above

    keyring = keys.source(settings).load()
    return await would_change(settings, keyring, found.policy.version, {one.topic for one in found.stretches})


async def _run(settings: Settings, number: int | None, how: _How) -> int:
    from cdc_masker.replay.sampling import mean  # as above

    async with _servers(settings) as (catalog, cluster):
        begun = await _one(catalog, number)
        return await _work(settings, catalog, cluster, begun, await mean(settings, cluster, begun.stretches), how)


async def _work(settings: Settings, catalog: Catalog, cluster: Cluster, begun: Replay, mean: float, how: _How) -> int:
    """Runs the workers. A replay that does not stay is over when its bounds are passed."""
    from cdc_masker.replay import running  # as above

    watch = _watch(settings, catalog, cluster, begun.generation, mean)
    environments = running.environments(settings, begun.generation, how.workers)
    ends = how.ends or not begun.stays
    with _telling(how.as_json) as tell, above() as output:
        return await running.run(watch, command(how.loglevel), environments, tell, ends=ends, output=output)


async def _status(settings: Settings, number: int | None, again: bool, as_json: bool) -> None:
    from cdc_masker.replay.running import follow  # as above

    async with _servers(settings) as (catalog, cluster):
        if again:
            begun = await _one(catalog, number)
            with _telling(as_json) as tell:
                await follow(_watch(settings, catalog, cluster, begun.generation), tell, ends=True)
            return
        found = await catalog.replays.all() if number is None else [await _one(catalog, number)]
        if not found and not as_json:
            print("there is no replay; `cdc-masker replay start` begins one")
        for each in found:
            replayed.tell_progress(await _watch(settings, catalog, cluster, each.generation).look(), as_json=as_json)


async def _tell(settings: Settings, number: int | None, kind: Literal["pause", "resume", "cancel"], reason: str) -> None:
    from cdc_masker.catalog import open_catalog  # as above

    async with open_catalog(settings) as catalog:
        found = await _one(catalog, number)
        await catalog.replays.tell(found.generation, kind, reason)
    print(f"generation {found.generation}: {_TOLD[kind]}")


async def _one(catalog: Catalog, number: int | None) -> Replay:
    """The replay that was named, or the one that goes on. Raises `SetupError` when it is not clear which."""
    if number is not None:
        if (found := await catalog.replays.find(number)) is None:
            raise SetupError(f"there is no replay {number}; `cdc-masker replay status` lists those that there are")
        return found
    live = {each.number for each in await catalog.generations.live()}
    going = [each for each in await catalog.replays.all() if each.generation in live and each.state != "cancelled"]
    if len(going) != 1:
        named = ", ".join(str(each.generation) for each in going) or "none"
        raise SetupError(f"the replays that go on are: {named}; name one, or begin one with `cdc-masker replay start`")
    return going[0]


def _watch(settings: Settings, catalog: Catalog, cluster: Cluster, number: int, mean: float | None = None) -> Watch:
    from cdc_masker.replay.progress import Watch  # as above

    return Watch(settings, cluster, catalog.replays, catalog.generations, number, mean=mean)


@contextmanager
def _telling(as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """Tells of progress: on the standard output as JSON, else on standard error for people."""
    if as_json:
        yield lambda told: replayed.tell_progress(told, as_json=True)
        return
    with progress(every=_LINE_SECONDS) as line:
        yield lambda told: line(replayed.in_words(told))


@asynccontextmanager
async def _servers(settings: Settings) -> AsyncIterator[tuple[Catalog, Cluster]]:
    from cdc_masker.catalog import open_catalog  # as above
    from cdc_masker.kafka.cluster import Cluster

    async with open_catalog(settings) as catalog:
        cluster = Cluster(settings)
        await cluster.start()
        try:
            yield catalog, cluster
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka did not do what is needed ({described(error)}); try again") from None
        finally:
            await cluster.close()
