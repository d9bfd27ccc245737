"""`cdc-masker leaks`: the proof that no raw value left the masker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cdc_masker.cli.policy import read_policy
from cdc_masker.cli.progress import progress
from cdc_masker.settings import load

if TYPE_CHECKING:
    from cdc_masker.leaks.report import Report

__all__ = ["leaks"]

_PRINTED_HITS = 50


def leaks(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC...]", help="Raw topics; none: those that CDC_MASKER_SOURCE_TOPICS names."),
    ] = None,
    raw: Annotated[Path | None, typer.Option(help="A capture of raw topics, in place of the topics themselves.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy document; none: the one in force in the catalog.")] = None,
    masked: Annotated[
        list[Path] | None,
        typer.Option(help="What `cdc-masker mask` wrote, in place of topics and audit on the servers; may be repeated."),
    ] = None,
    paths: Annotated[
        list[Path] | None, typer.Option("--in", metavar="PATH", help="A file or directory to search, too; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Search all that left the masker for raw values of columns that the policy doesn't keep.

    Exit code 1: one was found; 0: none was; 2: it could not be searched, so nothing is proven.
    """
    if topics and raw:
        raise typer.BadParameter("name raw topics or give --raw, not both")
    with _telling() as tell:
        report = asyncio.run(_scan(topics or [], raw, policy, masked or [], paths or [], tell))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    if report.hits:
        raise typer.Exit(1)


def _telling() -> AbstractContextManager[Callable[[str], None]]:
    return progress() if sys.stderr.isatty() else nullcontext(lambda told: None)


async def _scan(
    topics: list[str], raw: Path | None, policy: Path | None, masked: list[Path], paths: list[Path], tell: Callable[[str], None]
) -> Report:
    from cdc_masker.leaks import sources  # not on top: the libraries for servers take long to load
    from cdc_masker.leaks.scan import scan

    settings = load()
    rules = await read_policy(settings, policy)
    records = await sources.raw_topics(settings, topics) if raw is None else sources.capture_file(raw)
    if masked:
        sinks = [sources.masked_file(path) for path in masked]
    else:
        sinks = [*await sources.published(settings), *sources.audit_rows(settings)]
    return await scan(records, [*sinks, *map(sources.path, paths)], rules, tell)


def _print(report: Report) -> None:
    print(f"policy version {report.policy_version}, {report.policy_digest}")
    print(f"{report.planted:,} markers planted, all found")
    print(f"{report.raw_records:,} raw records, {report.needles:,} values to search for, as {report.patterns:,} patterns")
    rows = [(column.column, column.needles, column.ambiguous, column.not_searched) for column in report.columns]
    print("\t".join(("column", "values", "of them ambiguous", "times too short to search")))
    for row in rows:
        print("\t".join(map(str, row)))
    print("searched:")
    for sink in report.searched:
        print(f"  {sink.sink}: {sink.count:,} {sink.unit}, {sink.bytes:,} bytes")
    if report.ambiguous_hits:
        print(f"{report.ambiguous_hits:,} times a value that something kept holds, too: no sign of a leak")
    for hit in report.first_hits[:_PRINTED_HITS]:
        print(f"LEAK {hit.place}: {', '.join(hit.columns)} ({hit.encoding})")
    if report.hits > _PRINTED_HITS:
        print(f"… and {report.hits - _PRINTED_HITS:,} more; --json names the first thousand")
    print(f"{report.hits:,} raw values found" if report.hits else "no raw value found")
