"""What a replay would be: of which partitions, from where to where, under which policy, and what it could not bring back.

What always holds: a plan is of topics that workers may mask; its policy shows nothing that the masked copies there are, and the
version in force, don't show, unless somebody gave the reason for it; a stretch ends behind a record, so that who masks that one
is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from aiokafka import TopicPartition

from cdc_masker import plugins
from cdc_masker.catalog import Catalog
from cdc_masker.comparison import Registry
from cdc_masker.errors import PolicyError, SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Topic
from cdc_masker.policies import Policy
from cdc_masker.ports import Stretch
from cdc_masker.replay.places import Place
from cdc_masker.replay.sampling import Sample, Span, look, sample
from cdc_masker.replay.weaker import Released, unexplained
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Incomplete", "Plan", "Wanted", "chosen", "expired", "plan", "refuse_weaker", "span"]

EVERY = ".*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for. `topics` are names or regular expressions, none for all sources; no `policy`: that in force."""

    topics: Sequence[str] = ()
    start: Place = None
    end: Place = None
    policy: int | None = None


class Incomplete(NamedTuple):
    """A partition whose records before `offset` expired, though they were asked for."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`stays`: past its bound the generation goes on with what comes. `pattern` is the regular expression of its topics."""

    policy: Policy
    stays: bool
    pattern: str
    stretches: tuple[Stretch, ...]
    incomplete: tuple[Incomplete, ...]
    sample: Sample

    @property
    def records(self) -> int:
        """How many there are to mask, at most: a log has offsets without a record, too."""
        return sum(one.end - one.start for one in self.stretches)

    @property
    def bytes(self) -> int:
        """Of all records, as those of the sample are."""
        return round(self.records * self.sample.mean)

    def seconds(self, processes: int) -> float | None:
        """What masking alone takes so many processes at least; None: there is nothing to tell from."""
        at_once = min(processes, sum(one.start < one.end for one in self.stretches))
        return self.records / (self.sample.pace * at_once) if self.sample.pace and at_once else None


async def plan(settings: Settings, catalog: Catalog, cluster: Cluster, wanted: Wanted) -> Plan:
    """Raises `SetupError` and `PolicyError` for what can't or may not be, `TransientError` and `KafkaError` of the servers."""
    topics, pattern = chosen(settings, await cluster.topics(), wanted.topics)
    policy = await _policy(settings, catalog, topics, wanted.policy)
    spans, incomplete = await _spans(cluster, topics, wanted)
    found = await look(settings, spans)
    stretches = []
    for partition, (start, _) in spans.items():
        records = found[partition]
        end = records[-1].offset + 1 if records else start
        stretches.append(Stretch(partition.topic, partition.partition, topics[partition.topic].incarnation, start, end))
    return Plan(
        policy=policy,
        stays=wanted.end is None,
        pattern=pattern,
        stretches=tuple(stretches),
        incomplete=tuple(incomplete),
        sample=sample(settings, policy, found),
    )


def chosen(settings: Settings, found: Mapping[str, Topic], wanted: Sequence[str]) -> tuple[dict[str, Topic], str]:
    """The topics that are wanted, by name, and the regular expression that names them, and others that will come.

    Raises `SetupError` for what is neither a source nor matches one.
    """
    sources = {name: found[name] for name in sorted(found) if settings.is_source(name)}
    patterns = [_pattern(sources, each) for each in wanted] or [EVERY]
    for each, pattern in zip(wanted or [settings.source_topics], patterns, strict=True):
        if not any(re.fullmatch(pattern, name) for name in sources):
            raise SetupError(
                f"no topic that {PREFIX}SOURCE_TOPICS={settings.source_topics!r} names matches {each!r}; correct one of them"
            )
    topics = {name: topic for name, topic in sources.items() if any(re.fullmatch(each, name) for each in patterns)}
    return topics, "|".join(patterns)


def _pattern(sources: Iterable[str], text: str) -> str:
    """A name means that topic only, though its dots would match any character."""
    if text in sources:
        return re.escape(text)
    pattern = f"(?:{text})"
    try:
        re.compile(pattern)
    except re.error:
        raise SetupError(
            f"{text!r} is neither a topic's name nor a regular expression that can stand in another; flags go in (?i:…)"
        ) from None
    return pattern


async def _policy(settings: Settings, catalog: Catalog, topics: Iterable[str], version: int | None) -> Policy:
    """The policy to mask under. Raises `PolicyError` when it shows more than what is there, and nobody gave the reason."""
    policies = catalog.policies
    in_force = await policies.current()
    policy = in_force if version is None else await policies.usable(version)
    if not policy.version:
        raise PolicyError(
            "catalog", "no version was released, so there is nothing to mask anew; `cdc-masker db upgrade` releases one"
        )
    used = await _used(catalog, frozenset(topics)) | {in_force.version}
    if used == {policy.version}:
        return policy
    reasons = {each["version"]: each["weaker_reason"] for each in await policies.history()}
    releases = [Released(await policies.at(number), reasons[number]) for number in sorted(reasons)]
    refuse_weaker(policy.version, sorted(used), releases, plugins.methods(settings))
    return policy


async def _used(catalog: Catalog, topics: frozenset[str]) -> set[int]:
    """The versions under which the newest live copy of each topic was masked last, or began."""
    newest = {each.topic: each for each in await catalog.generations.live() if each.topic in topics}
    entries = [
        entry
        for entry in await catalog.audit.last_of_each()
        if entry.topic in newest and entry.generation == newest[entry.topic].number
    ]
    masked = {entry.topic for entry in entries}
    began = {each.policy_version for each in newest.values() if each.topic not in masked}
    return {entry.policy_version for entry in entries} | began


def refuse_weaker(wanted: int, used: Iterable[int], releases: Sequence[Released], known: Registry) -> None:
    """Raises `PolicyError` that names what version `wanted` would show and one of `used` did not."""
    for version in used:
        if weaker := unexplained(version, wanted, releases, known):
            listed = "; ".join(f"{each.place} was {each.before}, would be {each.after}" for each in weaker)
            raise PolicyError(
                f"version {wanted}",
                f"shows more than version {version}, which masked what is there or is in force: {listed}. Replay under the "
                "version in force; if this is meant, release it again with op.allow_weaker(reason)",
            )


async def _spans(
    cluster: Cluster, topics: Mapping[str, Topic], wanted: Wanted
) -> tuple[dict[TopicPartition, Span], list[Incomplete]]:
    partitions = [TopicPartition(name, number) for name, topic in topics.items() for number in range(topic.partitions)]
    bounds = await cluster.bounds_of_each(partitions)
    starts = dict.fromkeys(partitions, 0) if wanted.start is None else await _offsets(cluster, partitions, wanted.start)
    stops = {} if wanted.end is None else await _offsets(cluster, partitions, wanted.end)
    spans, incomplete = {}, []
    for partition, (first, end) in bounds.items():
        start = starts.get(partition, end)
        spans[partition] = span(first, end, start, stops.get(partition, end))
        if expired(first, start, by_time=isinstance(wanted.start, datetime)):
            incomplete.append(Incomplete(partition.topic, partition.partition, first))
    if (wanted.start, wanted.end) != (None, None) and all(start == end for start, end in spans.values()):
        raise SetupError("there is no record from --from to --to; a time is written as in 2026-11-01T06:00:00Z")
    return spans, incomplete


async def _offsets(cluster: Cluster, partitions: Sequence[TopicPartition], at: int | datetime) -> dict[TopicPartition, int]:
    """Where that is; in partitions that are left out it is past all that is there."""
    return dict.fromkeys(partitions, at) if isinstance(at, int) else await cluster.offsets_at(at, partitions)


def span(first: int, end: int, start: int, stop: int) -> Span:
    """What there is of `start` to before `stop` in a log that goes from `first` to before `end`."""
    begin = min(max(first, start), end)
    return begin, max(begin, min(stop, end))


def expired(first: int, start: int, *, by_time: bool) -> bool:
    """Whether records from `start` on, of a log that begins with `first`, may be gone: by time, nobody can tell."""
    return first > 0 and (start <= first if by_time else start < first)
