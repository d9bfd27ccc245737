"""`cdc-masker replay file`: masks a capture as workers mask topics, into files or into Kafka, with the same audit."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cdc_masker import cores, plugins
from cdc_masker import keys as key_sources
from cdc_masker.cli.files import reading
from cdc_masker.cli.progress import progress
from cdc_masker.cli.review import REFERENCE, read_policy_at
from cdc_masker.errors import SetupError
from cdc_masker.keys import FileKeys
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.captures.publishing import Extent
    from cdc_masker.captures.reading import CaptureReader, Partition
    from cdc_masker.captures.replaying import Replayed

__all__ = ["file"]

_TELL_SECONDS = 1.0


def file(
    capture: Annotated[Path, typer.Argument(metavar="CAPTURE", help="Capture lines of raw topics; - is standard input.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Into files, in a new directory; none: into Kafka."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help=f"A policy: {REFERENCE}; none: the one in force. Goes with --output.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Key file; without one the keys of this environment. Goes with --output.")
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why Kafka gets a new generation; it goes into the catalog, so name a ticket and not a person.")
    ] = "",
    generation: Annotated[
        int | None, typer.Option(min=2, help="Go on with this one, which was begun with the same capture.")
    ] = None,
) -> None:
    """Mask a capture, with the audit that workers would have made: into files, or into Kafka as a new generation.

    A directory of files comes about whole or not at all, and `cdc-masker audit verify-files` checks it. Into Kafka each record
    is published once, whatever is killed when; the topics have to be there, whether or not they still hold the records.
    `cdc-masker mask` only filters lines, and leaves no audit.
    """
    if output is not None:
        if reason or generation is not None:
            raise SetupError("--reason and --generation are about Kafka, and --output is about files: leave out either")
        _into_files(capture, output, policy, keys)
        return
    if policy is not None or keys is not None:
        raise SetupError("--policy and --keys go with --output: Kafka gets what workers would publish now")
    if generation is None and not reason.strip():
        raise SetupError(
            "--reason is missing or blank; say why Kafka is to get a new generation, or name a directory (--output)"
        )
    if not capture.is_file():
        raise SetupError(f"{capture} is no regular file; it is read twice for Kafka, so a pipe won't do")
    asyncio.run(_into_kafka(load(), capture, reason, generation))


def _into_files(capture: Path, output: Path, policy: str | None, keys: Path | None) -> None:
    from cdc_masker.captures import manifests  # not on top: the libraries for servers take long to load
    from cdc_masker.captures.reading import Sizes, batches
    from cdc_masker.captures.replaying import Replayer
    from cdc_masker.captures.whole import whole_files
    from cdc_masker.kafka.alarm import GuardAlarm

    settings = load()
    rules = manifests.policy_of(read_policy_at(settings, policy))
    keyring = (key_sources.source(settings) if keys is None else FileKeys(keys)).load()
    making = manifests.Making.by(settings)
    masker = making.masker(rules, keyring, plugins.methods(settings), native=cores.is_compiled(settings.core))
    with _records(settings, capture) as (reader, tell), whole_files(output) as files:
        replayer = Replayer(
            masker,
            making,
            GuardAlarm(settings.guard_limit),
            settings.worker_name or f"{socket.gethostname()}:{os.getpid()}",
            masked=files.add(manifests.MASKED).write,
            audit=files.add(manifests.AUDIT).write,
        )
        for batch in batches(reader, Sizes(settings.batch_records, settings.fetch_bytes, settings.buffer_bytes)):
            replayer.replay(batch)
            tell()
        done = [replayer.partitions[where] for where in sorted(replayer.partitions)]
        manifest = manifests.Manifest(making=making, policy=rules.export(), chains=tuple(each.run() for each in done))
        files.add(manifests.MANIFEST).write(manifests.encode(manifest))
    for each in done:
        print(_summary(each))
    print(f"{reader.records:,} records, under policy version {rules.version}, {rules.digest}")


async def _into_kafka(settings: Settings, capture: Path, reason: str, generation: int | None) -> None:
    from cdc_masker.captures import publishing  # as above
    from cdc_masker.catalog import open_catalog
    from cdc_masker.kafka import lines

    lines.begin(settings.log_format)
    held = await asyncio.to_thread(_extents, settings, capture)
    async with open_catalog(settings) as catalog:
        if generation is None:
            begun = await publishing.begin(settings, catalog, held, reason)
            print(
                f"generation {begun.generation} is begun; if this is cut off, --generation {begun.generation} goes on",
                flush=True,
            )
        else:
            begun = await publishing.found(catalog, generation, held)
    with _records(settings, capture) as (reader, tell):
        await publishing.publish(settings, begun, held, reader, tell)
    print(f"generation {begun.generation} holds what became of {reader.records:,} records of {len(held):,} partitions")


def _extents(settings: Settings, capture: Path) -> dict[Partition, Extent]:
    from cdc_masker.captures.publishing import extents  # as above

    with _records(settings, capture) as (reader, _):
        return extents(reader)


@contextmanager
def _records(settings: Settings, capture: Path) -> Iterator[tuple[CaptureReader, Callable[[], None]]]:
    """The records of a capture, and what tells now and then how far they have come."""
    from cdc_masker.captures.reading import CaptureReader  # as above

    with reading(capture) as lines, progress() as line:
        reader, size, began = CaptureReader(str(capture), lines, settings.own_topics), _size(lines), time.monotonic()
        due = began + _TELL_SECONDS

        def tell() -> None:
            nonlocal due
            now = time.monotonic()
            if now >= due:
                due = now + _TELL_SECONDS
                line(_told(reader, size, now - began))

        yield reader, tell


def _size(lines: BinaryIO) -> int:
    """In bytes; 0 where nobody knows."""
    return os.fstat(lines.fileno()).st_size


def _told(reader: CaptureReader, size: int, seconds: float) -> str:
    share = reader.bytes / size if size else 0
    left = f", {share:.0%}, {seconds * (1 / share - 1):,.0f} s left" if share else ""
    return f"{reader.records:,} records, {reader.records / seconds:,.0f} a second{left}"


def _summary(each: Replayed) -> str:
    chain = each.chain
    fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(each.fates.items()))
    return f"{chain.topic}[{chain.partition}]: offsets {each.first_offset} to {each.next - 1}: {fates}; head {each.head}"
