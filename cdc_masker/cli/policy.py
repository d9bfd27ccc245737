"""`cdc-masker policy`: what is decided, and what it makes of real records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cdc_masker import plugins
from cdc_masker.cli.draft import draft, source_report, told
from cdc_masker.cli.files import read_bytes
from cdc_masker.coverage import Coverage, Report
from cdc_masker.drafting import findings
from cdc_masker.errors import SetupError
from cdc_masker.events import Fate
from cdc_masker.keys import new_keyring
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load

__all__ = ["app", "read_policy"]

app = typer.Typer(help="Look at policies, and draft them.", no_args_is_help=True)
app.command()(draft)


@app.callback()
def policy() -> None:
    """Look at policies, and draft them."""


@app.command()
def export(
    version: Annotated[int | None, typer.Option(min=1, help="An older version; none: the one in force.")] = None,
) -> None:
    """Print a policy version as JSON, its digest verified."""
    found = asyncio.run(_read(load(), version))
    print(json.dumps(found.export(), indent=2, ensure_ascii=False))


@app.command()
def check(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC...]", help="Raw topics; none: those that CDC_MASKER_SOURCE_TOPICS names."),
    ] = None,
    raw: Annotated[Path | None, typer.Option(help="A capture of raw topics, in place of the topics themselves.")] = None,
    source: Annotated[bool, typer.Option("--source", help="The tables of the source database, in place of records.")] = False,
    policy: Annotated[
        Path | None, typer.Option(help="Policy document, or directory of revisions; none: the one in force in the catalog.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Mask raw records in memory, and tell what the policy leaves undecided, which keys collapse and what can't be masked.

    With --source look at the tables of the publication instead: at columns that are undecided, gone or of another type, and at
    keys whose values would not stay distinct. Nothing is published, and no value is shown. Exit code 0: all is decided; 1:
    something isn't; 2: it could not be checked.
    """
    if bool(topics) + bool(raw) + source > 1:
        raise typer.BadParameter("name raw topics, give --raw, or give --source: one of them, not both")
    report = asyncio.run(_look(source, topics or [], raw, policy))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print(f"policy version {report.policy_version}, {report.policy_digest}")
        for line in _told(report) if isinstance(report, Report) else told(report):
            print(line)
    if not report.complete:
        raise typer.Exit(1)


async def read_policy(settings: Settings, document: Path | None) -> Policy:
    """The policy in a document, or of a directory of revisions; without one, the policy in force in the catalog."""
    return await _read(settings, None) if document is None else _written(settings, document)


def _written(settings: Settings, path: Path) -> Policy:
    if not path.is_dir():
        return Policy.from_document(read_bytes(path))
    from cdc_masker.catalog import commands  # not on top: the database libraries take long to load

    return commands.said(settings, path)


async def _read(settings: Settings, version: int | None) -> Policy:
    from cdc_masker.catalog import open_catalog  # as above

    async with open_catalog(settings) as catalog:
        return await (catalog.policies.current() if version is None else catalog.policies.at(version))


async def _check(topics: list[str], raw: Path | None, document: Path | None) -> Report:
    from cdc_masker.leaks import sources  # not on top, for the same reason

    settings = load()
    policy = await read_policy(settings, document)
    coverage = Coverage(policy, new_keyring(policy.key_epoch), plugins.methods(settings))
    records = await sources.raw_topics(settings, topics) if raw is None else sources.capture_file(raw)
    async for record in records():
        coverage.add(record)
    if not coverage.records:
        raise SetupError("there is no record to check the policy against; has the connector written any?")
    return coverage.report()


async def _look(source: bool, topics: list[str], raw: Path | None, document: Path | None) -> Report | findings.Report:
    return await _check_source(document) if source else await _check(topics, raw, document)


async def _check_source(document: Path | None) -> findings.Report:
    settings = load()
    return await source_report(settings, await read_policy(settings, document))


def _told(report: Report) -> Iterator[str]:
    for each in report.undecided:
        yield f"UNDECIDED {each.topic}: {each.column}"
    for misfit in report.misfits:
        yield f"MISFIT {misfit.topic}: {misfit.place}, {misfit.reason}, in {misfit.records:,} records"
    for each in report.collapsed:
        yield f"COLLAPSED {each.topic}: {each.column} in the key"
    for refused in report.refused:
        yield f"REFUSED {refused.topic}: {refused.reason} at {refused.place}, {refused.records:,} records"
    outcomes = ", ".join(f"{report.outcomes[fate]:,} {fate}" for fate in Fate)
    yield f"{report.records:,} records: {outcomes}"
    yield f"{len(report.undecided):,} columns undecided, {len(report.collapsed):,} columns of keys collapsed"
