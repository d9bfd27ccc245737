"""`cdc-masker audit verify`: whether the audit is true, and complete."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cdc_masker import keys as key_sources
from cdc_masker.cli.progress import progress
from cdc_masker.errors import SetupError
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.audit.anew import Masking
    from cdc_masker.audit.findings import Report, Summary

__all__ = ["Export", "Keys", "public_keys", "verify"]

Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="Public key of whoever signs checkpoints; may be repeated."),
]
Export = Annotated[
    Path | None, typer.Option("--export", metavar="DIR", help="Where `audit retire` put the entries that it took.")
]

_PRINTED = 50
_TELL_SECONDS = 0.5


def verify(
    topic: Annotated[str | None, typer.Option(help="Only copies of this raw topic.")] = None,
    generation: Annotated[int | None, typer.Option(min=1, help="Only copies of this generation.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Look at records only of batches masked since then, in UTC; at all entries anyway.")
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="PATH",
            help="Signed notes, or a directory of them, that were kept elsewhere; may be repeated.",
        ),
    ] = None,
    keys: Keys = None,
    export: Export = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Mask raw records anew, with the keys of this environment, and compare.")
    ] = False,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Which share of them.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draws that share; none: a new one, which is told.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for rows that are on their way.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Verify rows, audit topic, committed offsets, raw and masked records against each other; name each place that is wrong.

    Exit code 0: all of it fits; 1: something doesn't; 2: it could not be looked at, so nothing is proven.
    """
    settings = load()
    drawn = secrets.randbits(32) if seed is None else seed
    keyring = key_sources.source(settings).load() if recompute else None
    from cdc_masker.audit.anew import Masking  # not on top: the libraries for servers take long to load
    from cdc_masker.audit.archive import Archive
    from cdc_masker.audit.checkpoints import kept
    from cdc_masker.audit.findings import Report
    from cdc_masker.audit.running import verify_all
    from cdc_masker.audit.snapshot import Selection

    report = Report()
    told = list(kept(checkpoints or [], public_keys(settings, keys) if checkpoints else []))
    masking = None if keyring is None else Masking(keyring, sample, drawn)
    archive = None if export is None else Archive(export, report)
    began = 0 if since is None else int(since.replace(tzinfo=UTC).timestamp() * 1000)
    with _telling() as tell:
        asyncio.run(
            verify_all(
                settings,
                Selection(topic, generation, began),
                report,
                checkpoints=told,
                archive=archive,
                masking=masking,
                within=wait,
                tell=tell,
            )
        )
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(_document(report, masking))).decode())
    else:
        _print(report, masking)
    if report.total:
        raise typer.Exit(1)


def public_keys(settings: Settings, paths: list[Path] | None) -> list[bytes]:
    """The public keys in these files. Raises `SetupError` when there is none."""
    from cdc_masker.catalog import read_public_key  # as above

    if not paths:
        raise SetupError("checkpoints are signed: name the public key of whoever signs them with --key")
    return [read_public_key(path) for path in paths]


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Tells on a terminal, and not more often than people can read."""
    if not sys.stderr.isatty():
        yield lambda told: None
        return
    with progress() as tell:
        next_time = 0.0

        def now_and_then(told: str) -> None:
            nonlocal next_time
            if time.monotonic() >= next_time:
                next_time = time.monotonic() + _TELL_SECONDS
                tell(told)

        yield now_and_then


def _document(report: Report, masking: Masking | None) -> dict[str, object]:
    chains = [
        {**summary.chain._asdict(), **{name: value for name, value in msgspec.to_builtins(summary).items() if name != "chain"}}
        for summary in _summaries(report)
    ]
    recomputed = None if masking is None else {"share": masking.share, "seed": masking.seed}
    findings = msgspec.to_builtins(report.findings)
    return {"findings": report.total, "first_findings": findings, "chains": chains, "recomputed": recomputed}


def _print(report: Report, masking: Masking | None) -> None:
    for summary in _summaries(report):
        chain = summary.chain
        print(f"{chain.topic}[{chain.partition}] generation {chain.generation}, topic id {chain.incarnation or 'unknown'}")
        if summary.first_offset is not None:
            print(
                f"  {summary.entries:,} entries for offsets {summary.first_offset} to {summary.last_offset}, "
                f"{summary.records:,} records, head {summary.head}"
            )
        if masking is not None:
            print(f"  {summary.recomputed:,} records masked anew (share {masking.share:g}, seed {masking.seed})")
        if summary.waiting:
            print(f"  {summary.waiting:,} raw records wait to be masked")
        for why, count in sorted(summary.unchecked.items()):
            print(f"  not checked: {count:,} {why}")
    for finding in report.findings[:_PRINTED]:
        print(f"FINDING {finding}")
    if report.total > _PRINTED:
        print(f"… and {report.total - _PRINTED:,} more; --json names the first thousand")
    print(f"{report.total:,} findings" if report.total else "the audit fits all that was looked at")


def _summaries(report: Report) -> list[Summary]:
    return [report.summaries[chain] for chain in sorted(report.summaries)]
