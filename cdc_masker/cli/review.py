"""`cdc-masker policy diff`, `explain` and `history`: what reviewers look at. `cdc_masker.cli` puts them beside the others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cdc_masker import plugins
from cdc_masker.cli.files import read_bytes
from cdc_masker.comparison import Difference, Verdict, compare, in_words
from cdc_masker.errors import PolicyError
from cdc_masker.lookup import Lookup, Table, why
from cdc_masker.policies import ANY_SERVER, EMPTY, Policy
from cdc_masker.settings import Settings, load

__all__ = ["REFERENCE", "AsJson", "diff", "explain", "history", "read_policy_at"]

REFERENCE = "the number of a version (0: nothing decided), a policy document, or a directory of policy revisions"
_SIGNS = {Verdict.WEAKER: "-", Verdict.STRONGER: "+", Verdict.EQUAL: "="}

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def diff(
    old: Annotated[str, typer.Argument(metavar="A", help=f"A policy: {REFERENCE}.")],
    new: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Tell what B masks otherwise than A, column by column: - is weaker or can't be compared, + stronger, = neither.

    Exit code 0: nothing is weaker; 1: something is.
    """
    settings = load()
    before, after = read_policy_at(settings, old), read_policy_at(settings, new)
    found = compare(before, after, plugins.methods(settings))
    if as_json:
        print(json.dumps([asdict(difference) for difference in found], indent=2, ensure_ascii=False))
    else:
        _print(found)
    if any(difference.verdict is Verdict.WEAKER for difference in found):
        raise typer.Exit(1)


def explain(
    column: Annotated[str, typer.Argument(metavar="TABLE.COLUMN", help='As in crm.people.email, or "Crm"."My Table".name.')],
    policy: Annotated[str | None, typer.Option(help=f"A policy: {REFERENCE}; none: the one in force.")] = None,
    server: Annotated[str, typer.Option(help="Debezium's topic.prefix; none: rules for any server.")] = ANY_SERVER,
    as_json: AsJson = False,
) -> None:
    """Tell which rule decides about a column and why, and which others would, if it were not there."""
    settings = load()
    found = read_policy_at(settings, policy)
    table, name = _column(server, column)
    lookup = Lookup(found)
    groups = lookup.matching(table, name)
    default = lookup.default(table)
    if as_json:
        rules = [[msgspec.to_builtins(rule) for rule in group] for group in groups]
        print(json.dumps({"policy_version": found.version, "default": default, "rules": rules}, indent=2, ensure_ascii=False))
        return
    print(f"policy version {found.version}, {found.digest}")
    if not groups:
        print(f"{column}: no rule is about it: {default} (of a key: a token of its type)")
    for number, group in enumerate(groups):
        if number == 0:
            print(f"{column}: {in_words(group)}")
        else:
            print(f"  hides: {in_words(group)}, because the one that decides {why(groups[0][0], group[0])}")
        for rule in group:
            for label, text in (("reason", rule.reason), ("ticket", rule.ticket)):
                if text:
                    print(f"  {label}{f' of {rule.path}' if rule.path else ''}: {text}")


def history(as_json: AsJson = False) -> None:
    """List all policy versions, the newest first: when, by whom, from which revision, and what had to be explained."""
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    async def read() -> list[dict[str, Any]]:
        async with open_catalog(load()) as catalog:
            return await catalog.policies.history()

    versions = asyncio.run(read())
    if as_json:
        print(json.dumps(versions, indent=2, ensure_ascii=False))
        return
    for each in versions:
        print(f"{each['version']}  {each['created_at']}  {each['created_by']}  {each['revision']}: {each['reason']}")
        print(f"   {each['digest']}, key epoch {each['key_epoch']}, {each['rules']:,} rules")
        if each["weaker_reason"]:
            print(f"   masks less than before: {each['weaker_reason']}")


def _print(differences: list[Difference]) -> None:
    for each in differences:
        breaks = "  (another shape of rows: takes a new generation)" if each.breaks_schema else ""
        print(f"{_SIGNS[each.verdict]} {each.place}: {each.before} → {each.after}{breaks}")
    counts = {verdict: sum(each.verdict is verdict for each in differences) for verdict in Verdict}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) if differences else "no difference")


def read_policy_at(settings: Settings, reference: str | None) -> Policy:
    """The policy that a command was told to look at; None: the one in force."""
    from cdc_masker.catalog import commands, open_catalog  # as above

    if reference is not None and not reference.isdecimal():
        path = Path(reference)
        return commands.said(settings, path) if path.is_dir() else Policy.from_document(read_bytes(path))

    async def read() -> Policy:
        async with open_catalog(settings) as catalog:
            return await (catalog.policies.current() if reference is None else catalog.policies.at(int(reference)))

    return EMPTY if reference == "0" else asyncio.run(read())


def _column(server: str, name: str) -> tuple[Table, str]:
    from cdc_masker.catalog.changes import parse_table  # as above

    table, _, column = name.rpartition(".")
    if name.endswith('"'):
        table, _, column = name[:-1].rpartition('."')
    if not table or not column:
        raise PolicyError(f"column {name!r}", "write schema.table.column, each in double quotes if it needs them in SQL")
    schema, of = parse_table(table)
    return Table(server, schema, of, ""), column.replace('""', '"')
