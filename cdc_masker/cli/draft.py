"""`cdc-masker policy draft`, and the source's side of `policy check`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker import engine, plugins
from cdc_masker.drafting import findings, revision
from cdc_masker.drafting.proposals import Draft, undecided
from cdc_masker.drafting.proposals import draft as drafted
from cdc_masker.drafting.tables import Source
from cdc_masker.errors import SetupError
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load

__all__ = ["draft", "source_report", "told"]


def draft(
    policies: Annotated[Path, typer.Option(metavar="DIR", help="Directory of your policy revisions.")],
    message: Annotated[str | None, typer.Option(help="What the revision does; none: it is counted.")] = None,
    sample: Annotated[int, typer.Option(metavar="N", min=0, help="Look at the values of N rows of each table, too.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the revision, and write no file.")] = False,
) -> None:
    """Write an Alembic revision with a rule for each column of the source that the revisions don't decide on, to be reviewed.

    It proposes tokens where values have to stay distinct or to join, and else redacts; it keeps nothing. What is the matter
    with rules that are there already is told on stderr. Values of a sample are looked at in memory, and written nowhere.
    """
    from cdc_masker.catalog import commands  # not on top: the database libraries take long to load

    settings = load()
    policy, after = commands.said(settings, policies), commands.newest(settings, policies)
    source, made = asyncio.run(_draft(settings, policy, sample))
    for finding in findings.check(policy, source, plugins.methods(settings)).findings:
        if finding.word is not findings.Word.UNDECIDED:
            print(_line(finding), file=sys.stderr)
    if not made.proposals:
        print("nothing to draft: the revisions decide on every column of the source", file=sys.stderr)
        return
    engine.check(made.applied_to(policy), plugins.methods(settings))
    text = revision.render(made, after=after, said=message or revision.message(made))
    if dry_run:
        print(text, end="")
        return
    path = policies / f"{revision.identifier(made, after)}_draft.py"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{path} can't be written ({error.strerror})") from None
    print(path)


async def source_report(settings: Settings, policy: Policy) -> findings.Report:
    """What a policy lacks for the source that the settings name."""
    from cdc_masker.source import open_source, read_source  # as above

    async with open_source(settings) as connection:
        return findings.check(policy, await read_source(connection, settings), plugins.methods(settings))


def told(report: findings.Report) -> Iterator[str]:
    """A line for each finding, and one that counts."""
    yield from map(_line, report.findings)
    warnings = sum(finding.word.is_warning for finding in report.findings)
    counts = f"{len(report.findings) - warnings:,} findings, {warnings:,} warnings"
    yield f"{report.columns:,} columns of {report.tables:,} tables: {counts}"


def _line(finding: findings.Finding) -> str:
    place = f"{finding.schema}.{finding.table}.{finding.column}"
    shown = place if place.isprintable() else ascii(place)
    return f"{finding.word.upper()} {shown}: {finding.problem}; {finding.remedy}"


async def _draft(settings: Settings, policy: Policy, rows: int) -> tuple[Source, Draft]:
    from cdc_masker.source import open_source, read_source, sample  # as above

    known = plugins.methods(settings)
    async with open_source(settings) as connection:
        source = await read_source(connection, settings)
        samples = await sample(connection, undecided(policy, source, known), rows) if rows else {}
    return source, drafted(policy, source, samples=samples, known=known)
