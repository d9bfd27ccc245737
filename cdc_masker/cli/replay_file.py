"""`cdc-masker replay file`: masks a capture as a worker masks topics, with the same audit."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cdc_masker import cores, plugins
from cdc_masker import keys as key_sources
from cdc_masker.cli.files import reading
from cdc_masker.cli.progress import progress
from cdc_masker.cli.review import REFERENCE, read_policy_at
from cdc_masker.keys import FileKeys
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.captures.reading import CaptureReader
    from cdc_masker.captures.replaying import Replayed
    from cdc_masker.events import Record

__all__ = ["file"]

_TELL_SECONDS = 1.0


def file(
    capture: Annotated[Path, typer.Argument(metavar="CAPTURE", help="Capture lines of raw topics; - is standard input.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where the files go: a directory that is not there yet.")],
    policy: Annotated[str | None, typer.Option(help=f"A policy: {REFERENCE}; none: the one in force.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Key file; without one the keys of this environment.")] = None,
) -> None:
    """Mask a capture into files: masked records as capture lines, and the audit entries that a worker would have made.

    The directory comes about whole or not at all; `cdc-masker audit verify-files` checks it. `cdc-masker mask` only filters
    lines, and leaves no audit.
    """
    from cdc_masker.captures import manifests  # not on top: the libraries for servers take long to load
    from cdc_masker.captures.reading import CaptureReader, Sizes, batches
    from cdc_masker.captures.replaying import Replayer
    from cdc_masker.captures.whole import whole_files
    from cdc_masker.kafka.alarm import GuardAlarm

    settings = load()
    rules = manifests.policy_of(read_policy_at(settings, policy))
    keyring = (key_sources.source(settings) if keys is None else FileKeys(keys)).load()
    making = manifests.Making.by(settings)
    masker = making.masker(rules, keyring, plugins.methods(settings), native=cores.is_compiled(settings.core))
    with reading(capture) as lines, whole_files(to) as files, progress() as tell:
        reader = CaptureReader(str(capture), lines, settings.own_topics)
        replayer = Replayer(
            masker,
            making,
            GuardAlarm(settings.guard_limit),
            _worker(settings),
            masked=files.add(manifests.MASKED).write,
            audit=files.add(manifests.AUDIT).write,
        )
        sizes = Sizes(settings.batch_records, settings.fetch_bytes, settings.buffer_bytes)
        replayer.replay(_told(batches(reader, sizes), reader, _size(lines), tell))
        done = [replayer.partitions[where] for where in sorted(replayer.partitions)]
        manifest = manifests.Manifest(making=making, policy=rules.export(), chains=tuple(each.run() for each in done))
        files.add(manifests.MANIFEST).write(manifests.encode(manifest))
    for each in done:
        print(_summary(each))
    print(f"{reader.records:,} records, under policy version {rules.version}, {rules.digest}")


def _worker(settings: Settings) -> str:
    return settings.worker_name or f"{socket.gethostname()}:{os.getpid()}"


def _size(lines: BinaryIO) -> int:
    """In bytes; 0 where nobody knows."""
    return os.fstat(lines.fileno()).st_size


def _told(
    found: Iterable[list[Record]], reader: CaptureReader, size: int, tell: Callable[[str], None]
) -> Iterator[list[Record]]:
    """The same batches; how far they have come is told now and then."""
    began = due = time.monotonic()
    for batch in found:
        now = time.monotonic()
        if now >= due + _TELL_SECONDS:
            due = now
            rate, share = reader.records / (now - began), reader.bytes / size if size else 0
            left = f", {share:.0%}, {(now - began) * (1 / share - 1):,.0f} s left" if share else ""
            tell(f"{reader.records:,} records, {rate:,.0f} a second{left}")
        yield batch


def _summary(each: Replayed) -> str:
    chain = each.chain
    fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(each.fates.items()))
    return f"{chain.topic}[{chain.partition}]: offsets {each.first_offset} to {each.next - 1}: {fates}; head {each.head}"
