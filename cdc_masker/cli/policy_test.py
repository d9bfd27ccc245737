"""`cdc-masker policy test` and `policy preview`: what a policy does to rows that its writer made up, and to real records.

`cdc_masker.cli` puts them beside the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdc_masker import plugins
from cdc_masker.cli.files import read_bytes
from cdc_masker.cli.review import REFERENCE, AsJson, read_policy_at
from cdc_masker.errors import SetupError
from cdc_masker.keys import Keyring, new_keyring
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.effects import Preview

__all__ = ["preview", "test"]

_ENDINGS = (".yaml", ".yml")


def test(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH...]", help="YAML files, or directories of them; none: policy_tests.")
    ] = None,
    policy: Annotated[str, typer.Option(help=f"A policy: {REFERENCE}.")] = "versions",
    as_json: AsJson = False,
) -> None:
    """Mask the rows of test cases, and tell where what comes out is not what they expect.

    No server is needed unless the policy is a version of the catalog. Exit code 0: all is as expected; 1: something isn't.
    """
    from cdc_masker import cases  # not on top: the database libraries take long to load

    settings = load()
    tested, known = read_policy_at(settings, policy), plugins.methods(settings)
    results = [
        result
        for file in _files(paths or [Path("policy_tests")])
        for result in cases.run(tested, cases.read_cases(str(file), read_bytes(file)), known)
    ]
    failed = [result for result in results if result.problem is not None]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(results)).decode())
    else:
        for result in failed:
            column = "" if result.column is None else f"{result.column}: "
            print(f"{result.where}: {result.case}: {column}{result.problem}")
        print(f"policy {tested.digest}: {len(results) - len(failed):,} as expected, {len(failed):,} not")
    if failed:
        raise typer.Exit(1)


def preview(
    old: Annotated[str, typer.Argument(metavar="A", help=f"A policy: {REFERENCE}.")],
    new: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC...]", help="Raw topics; none: those that CDC_MASKER_SOURCE_TOPICS names."),
    ] = None,
    raw: Annotated[Path | None, typer.Option(help="A capture of raw topics, in place of the topics themselves.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most records to look at.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Mask raw records in memory under A and under B, and show masked values before and after of each column that differs.

    Nothing is published. What comes out as it went in is shown as (kept), never as the value.
    """
    if topics and raw:
        raise typer.BadParameter("name raw topics or give --raw, not both")
    settings = load()
    before, after = read_policy_at(settings, old), read_policy_at(settings, new)
    found = asyncio.run(_preview(settings, before, after, topics or [], raw, limit))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _print(found)


async def _preview(settings: Settings, old: Policy, new: Policy, topics: list[str], raw: Path | None, limit: int) -> Preview:
    from cdc_masker.effects import Effects
    from cdc_masker.leaks import sources  # not on top, as above

    keys = Keyring.of(key for epoch in {old.key_epoch, new.key_epoch} for key in new_keyring(epoch).keys)
    effects = Effects(old, new, keys, plugins.methods(settings))
    records = await sources.raw_topics(settings, topics) if raw is None else sources.capture_file(raw)
    async for record in records():
        effects.add(record)
        if effects.records >= limit:
            break
    if not effects.records:
        raise SetupError("there is no record to look at; has the connector written any?")
    return effects.preview()


def _print(found: Preview) -> None:
    from cdc_masker.cases.values import printable

    for moved in found.outcomes:
        print(f"{moved.topic}: {moved.records:,} records: {moved.before} → {moved.after}")
    if found.columns:
        table = Table("topic", "column", "records", "before", "after", box=None, pad_edge=False)
        for each in found.columns:
            about = each.topic, each.column, f"{each.records:,}"
            for example in each.examples:
                table.add_row(*map(Text, (*about, printable(example.before), printable(example.after))))
                about = "", "", ""
        Console(width=None if Console().is_terminal else 250).print(table)
    outcomes = sum(moved.records for moved in found.outcomes)
    print(f"{found.records:,} records: {len(found.columns):,} columns differ, {outcomes:,} records have another outcome")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that are named, and those below directories. Raises `SetupError` where there is none."""
    for path in paths:
        found = sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS) if path.is_dir() else [path]
        if not found:
            raise SetupError(f"{path} holds no {' or '.join(_ENDINGS)} file; write a test, or name another directory")
        yield from found
