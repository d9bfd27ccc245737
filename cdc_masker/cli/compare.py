"""`cdc-masker replay compare`: what masking raw records again changes. `cdc_masker.cli` puts it beside the others."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from cdc_masker import keys as key_sources
from cdc_masker.cli.audit.printing import print_rows
from cdc_masker.cli.audit.reporting import telling
from cdc_masker.errors import SetupError
from cdc_masker.settings import load

if TYPE_CHECKING:
    from cdc_masker.audit.anew import Masking
    from cdc_masker.audit.findings import Report
    from cdc_masker.replay.differing import Answer

__all__ = ["compare", "tell"]

_PRINTED = 50
_AS_AUDITED: Literal["as-audited"] = "as-audited"
_WORDS = {
    "method": "another method",
    "parameters": "other parameters",
    "policy": "another policy",
    "key_epoch": "another key epoch",
    "shape": "rows of another shape",
    "program": "another program",
    "unknown": "NOT EXPLAINED",
}


def compare(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC...]", help="Raw topics; none: all that the generation has copies of.")
    ] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Which masked copies; none: those of CDC_MASKER_GENERATION.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Under which policy version records are masked again; as-audited: each under the one that it was masked "
            "under. None: the one in force.",
        ),
    ] = None,
    partitions: Annotated[list[int] | None, typer.Option("--partition", min=0, help="Only this one; may be repeated.")] = None,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Which share of the records.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draws that share; none: a new one, which is told.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for rows that are on their way.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """Mask raw records again in memory, and compare with what is in the masked topics, byte by byte; no value is shown.

    Needs the keys, and the role of an auditor. Exit code 0: all is the same, or what differs is explained; 1: something differs
    that nothing explains, with as-audited anything; 2: it could not be compared.
    """
    settings = load()
    keyring = key_sources.source(settings).load()
    from cdc_masker.audit.anew import Masking  # not on top: the libraries for servers take long to load
    from cdc_masker.replay import comparing

    masking = Masking(keyring, sample, secrets.randbits(32) if seed is None else seed)
    wanted = comparing.Wanted(
        generation=settings.generation if generation is None else generation,
        policy=comparing.IN_FORCE if policy is None else _version(policy),
        topics=topics or (),
        partitions=partitions or (),
    )
    with telling() as progress:
        answer, report = asyncio.run(comparing.compare(settings, masking, wanted, within=wait, tell=progress))
    if not (answer.compared or report.total):
        why = "; ".join(f"{count:,} {reason}" for reason, count in sorted(answer.unchecked.items())) or "there is none"
        raise SetupError(f"no record could be compared, so nothing is said: {why}")
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(_document(answer, report, masking))).decode())
    else:
        _print(answer, report, masking)
    if report.total or answer.unexplained or (policy == _AS_AUDITED and answer.differences):
        raise typer.Exit(1)


def _version(policy: str) -> int | Literal["as-audited"]:
    if policy == _AS_AUDITED:
        return _AS_AUDITED
    if not policy.isdecimal():
        raise typer.BadParameter("a policy is the number of a version, or as-audited")
    return int(policy)


def _document(answer: Answer, report: Report, masking: Masking) -> dict[str, object]:
    return {
        **msgspec.to_builtins(answer, str_keys=True),
        "findings": report.total,
        "first_findings": msgspec.to_builtins(report.findings),
        "sample": {"share": masking.share, "seed": masking.seed},
    }


def _print(answer: Answer, report: Report, masking: Masking) -> None:
    print(f"share {masking.share:g}, seed {masking.seed}")
    for finding in report.findings[:_PRINTED]:
        print(f"FINDING {finding}")
    if report.total > _PRINTED:
        print(f"… and {report.total - _PRINTED:,} more; --json names the first thousand")
    tell(answer)


def tell(answer: Answer) -> None:
    """Prints what comparing came to, for people."""
    from cdc_masker.cases.values import printable  # as above

    for why, count in sorted(answer.unchecked.items()):
        print(f"not compared: {count:,} {why}")
    if not answer.compared:
        return
    before, after = map(_versions, (answer.before, answer.after))
    print(f"{answer.compared:,} records that were masked under {before}, masked again under {after}")
    if not answer.differences:
        print(f"all {answer.compared:,} records are the same")
        return
    rows = [
        (each.topic, each.table, each.kind, each.name or "", f"{each.records:,}", _WORDS[each.why], each.words)
        for each in answer.differences
    ]
    print_rows(("topic", "table", "part", "name", "records", "why", "how"), [tuple(map(printable, row)) for row in rows])
    print(f"{answer.same:,} of {answer.compared:,} records are the same")


def _versions(counts: Mapping[int, int]) -> str:
    return ", ".join(f"version {version}" for version in counts)
