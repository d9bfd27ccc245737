"""What is told of replays: for people, or as one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from cdc_masker.cli import compare
from cdc_masker.ports import Replay

if TYPE_CHECKING:
    from cdc_masker.replay.differing import Answer
    from cdc_masker.replay.planning import Plan
    from cdc_masker.replay.progress import Progress

__all__ = ["in_words", "tell_begun", "tell_plan", "tell_progress"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def tell_plan(plan: Plan, workers: int, changes: Answer | None, *, as_json: bool) -> None:
    """What the replay would be. `workers`: how many are to run here; `changes`: what some records tell."""
    seconds = plan.seconds(min(workers, os.cpu_count() or 1))
    if as_json:
        changing = {} if changes is None else {"changes": msgspec.to_builtins(changes, str_keys=True)}
        print(json.dumps({**_plan(plan, seconds), **changing}), flush=True)
        return
    for line in _plan_in_words(plan, seconds, workers):
        print(line, flush=True)
    if changes is not None:
        compare.tell(changes)


def tell_begun(begun: Replay, *, as_json: bool) -> None:
    """That there is a generation now."""
    if as_json:
        print(json.dumps({"generation": begun.generation}), flush=True)
        return
    again = f"`cdc-masker replay run {begun.generation}` goes on with it whenever it was stopped"
    print(f"generation {begun.generation} has begun; {again}", flush=True)


def tell_progress(told: Progress, *, as_json: bool) -> None:
    """How far it came, on the standard output."""
    print(json.dumps(asdict(told)) if as_json else in_words(told), flush=True)


def in_words(told: Progress) -> str:
    """The same in one line."""
    share = f" ({100 * told.done // told.records} %)" if told.records else ""
    said = [
        f"generation {told.generation} {told.state}: {told.done:,} of {told.records:,} records{share}",
        f"{told.partitions - told.open} of {told.partitions} partitions",
    ]
    if told.rate is not None:
        said.append(f"{told.rate:,.0f} records/s")
    if told.bytes is not None:
        said.append(f"about {_size(told.bytes)}")
    said.append(f"lag {told.lag:,}")
    if told.open and told.seconds is not None:
        said.append(f"{_time(told.seconds)} left")
    return ", ".join(said)


def _plan(plan: Plan, seconds: float | None) -> dict[str, object]:
    return {
        "policy_version": plan.policy.version,
        "policy_digest": plan.policy.digest,
        "key_epoch": plan.policy.key_epoch,
        "stays": plan.stays,
        "records": plan.records,
        "bytes": plan.bytes,
        "tables": list(plan.sample.tables),
        "seconds": seconds,
        "partitions": [one._asdict() for one in plan.stretches],
        "incomplete": [one._asdict() for one in plan.incomplete],
    }


def _plan_in_words(plan: Plan, seconds: float | None, workers: int) -> Iterator[str]:
    yield f"policy version {plan.policy.version}, {plan.policy.digest}, key epoch {plan.policy.key_epoch}"
    for topic in sorted({one.topic for one in plan.stretches}):
        own = [one for one in plan.stretches if one.topic == topic]
        yield f"{topic}: {len(own)} partitions, {sum(one.end - one.start for one in own):,} records at most"
    for gone in plan.incomplete:
        yield f"INCOMPLETE {gone.topic}[{gone.partition}]: records before offset {gone.offset:,} expired"
    if plan.incomplete:
        yield "what expired will be missing; `cdc-masker snapshot TABLE` has Debezium read the rows of a table again"
    yield f"tables, as far as a sample shows: {', '.join(plan.sample.tables) or 'none'}"
    yield f"{plan.records:,} records at most, about {_size(plan.bytes)}"
    if seconds is not None:
        yield f"masking alone takes at least {_time(seconds)} with {workers} workers here"
    yield "past its bound the generation stays live" if plan.stays else "at its bound the generation ends"


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.1f} {_UNITS[unit]}" if unit else f"{count} bytes"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
