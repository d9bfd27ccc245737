"""`cdc-masker quarantine`: what could not be masked, why, and whether it could be now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cdc_masker import keys, plugins
from cdc_masker.cases.values import printable
from cdc_masker.cli.audit.printing import print_rows
from cdc_masker.coverage import MadeUpSubjects
from cdc_masker.errors import Reason, SetupError
from cdc_masker.events import Fate, Outcome
from cdc_masker.pipeline import Masker
from cdc_masker.ports import Quarantined
from cdc_masker.reasons import meaning
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.policies import Policy

__all__ = ["app"]

app = typer.Typer(help="Look at what could not be masked.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, with all members.")]

_COLUMNS = ("quarantined at", "topic", "generation", "partition", "offset", "reason", "place", "policy", "worker")


@app.callback()
def quarantine() -> None:
    """Look at what could not be masked."""


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Option(help="Only of this source topic.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only for this reason.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only what was quarantined since then, in UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the records that were quarantined, newest first: where they are and why, never what they hold."""
    found = asyncio.run(_find(load(), limit, topic=topic, reason=reason, since=since and since.replace(tzinfo=UTC)))
    if as_json:
        for each in found:
            print(msgspec.json.encode(each).decode())
        return
    print_rows(_COLUMNS, map(_row, found))


@app.command()
def show(
    topic: Annotated[str, typer.Argument(help="Source topic.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    attempt: Annotated[
        bool, typer.Option("--try", help="Read the raw record, and say whether it would pass under the policy now in force.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell all that is known of one record, for each generation that quarantined it, and what to do about it.

    No value is shown, neither raw nor masked. With --try, exit code 0: it would pass now; 1: it would not; 2: it can't be
    tried, for example since it expired.
    """
    settings = load()
    found = asyncio.run(_find(settings, 100, topic=topic, partition=partition, offset=offset))
    if not found:
        raise SetupError(
            f"the audit has no row that {topic}[{partition}] offset {offset} was quarantined; `cdc-masker quarantine list` "
            "names those that were"
        )
    now = asyncio.run(_try(settings, found[0])) if attempt else None
    for each in found:
        if as_json:
            print(
                msgspec.json.encode({**msgspec.to_builtins(each), **meaning(each.reason)._asdict(), **_members(now)}).decode()
            )
        else:
            for line in (*_told(each), *_told_now(now)):
                print(line)
    if now is not None and now[0].fate is Fate.QUARANTINED:
        raise typer.Exit(1)


_Now = tuple[Outcome, "Policy"]
"""What would become of a record, and under which policy."""


async def _find(
    settings: Settings,
    limit: int,
    *,
    topic: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
    reason: str | None = None,
    since: datetime | None = None,
) -> list[Quarantined]:
    from cdc_masker.catalog import open_catalog  # not on top: the database libraries take long to load

    async with open_catalog(settings) as catalog:
        return await catalog.audit.quarantined(
            limit, topic=topic, partition=partition, offset=offset, reason=reason, since=since
        )


async def _try(settings: Settings, found: Quarantined) -> _Now:
    """Masks the record as a generation that begins now would."""
    from cdc_masker.catalog import open_catalog  # as above
    from cdc_masker.kafka.rereading import reread

    keyring = keys.source(settings).load()
    async with open_catalog(settings) as catalog:
        policy = await catalog.policies.current()
    record, largest = await reread(settings, found.topic, found.incarnation, found.partition, found.offset)
    masker = Masker(policy, keyring, max_record_bytes=largest, known=plugins.methods(settings))
    # Keys of subjects are the catalog's; whether a record passes does not depend on them.
    return masker.mask(record, MadeUpSubjects(keys.new_keyring(policy.key_epoch), policy.key_epoch)), policy


def _row(each: Quarantined) -> tuple[str, ...]:
    return (
        _time(each.masked_at),
        each.topic,
        str(each.generation),
        str(each.partition),
        str(each.offset),
        each.reason,
        printable(each.place or ""),
        str(each.policy_version),
        each.worker,
    )


def _told(each: Quarantined) -> Iterator[str]:
    means, remedy = meaning(each.reason)
    yield f"{each.topic}[{each.partition}] offset {each.offset}, generation {each.generation}"
    yield f"  quarantined  {_time(each.masked_at)} by {each.worker}"
    yield f"  under        policy version {each.policy_version}, key epoch {each.key_epoch}"
    yield f"  written      {_written(each.timestamp)}, topic id {each.incarnation}"
    yield f"  because      {_because(each)}"
    yield f"  that means   {means}"
    yield f"  remedy       {remedy}"
    yield "  then         a new generation masks all records again; a generation gets nothing afterwards"


def _told_now(now: _Now | None) -> Iterator[str]:
    if now is not None:
        outcome, policy = now
        became = outcome.fate if outcome.reason is None else f"{outcome.fate}: {_because(outcome)}"
        passes = "would not pass" if outcome.fate is Fate.QUARANTINED else "would pass"
        yield f"  now          it {passes} under policy version {policy.version}: {became}"


def _members(now: _Now | None) -> dict[str, object]:
    if now is None:
        return {}
    outcome, policy = now
    return {"now": {"fate": outcome.fate, "reason": outcome.reason, "place": outcome.place, "policy_version": policy.version}}


def _because(of: Quarantined | Outcome) -> str:
    return f"{of.reason} at {printable(of.place)}" if of.place else f"{of.reason}"


def _written(timestamp: int) -> str:
    """Producers may state any 64 bits, of which years 1 to 9999 are some."""
    try:
        return _time(datetime.fromtimestamp(timestamp / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return f"at {timestamp} ms since 1970, which is no date"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")
