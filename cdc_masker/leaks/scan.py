"""The whole way of a search.

1. Read the raw records once and collect the needles.
2. For some thousands of needles at a time: plant markers and find them; read the raw records again, to learn which needles
   something kept holds, too; read every sink.

What always holds: where something can't be read, or there is nothing to search for or in, that is an error and no answer.
Records and files are read piece by piece; what stays in memory is the needles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cdc_masker.errors import SetupError
from cdc_masker.events import Record
from cdc_masker.leaks import selftest
from cdc_masker.leaks.anatomy import Anatomy
from cdc_masker.leaks.needles import Needles
from cdc_masker.leaks.report import Column, Hit, Report, Searched
from cdc_masker.leaks.search import Searcher
from cdc_masker.leaks.sinks import Item, Sink
from cdc_masker.policies import Policy

__all__ = ["Raw", "scan"]

Raw = Callable[[], AsyncIterator[Record]]
"""The raw records; each call reads them anew, topic by topic in the order of each partition."""

_NAMED_HITS = 1000
_TELL_EVERY = 1000


@dataclass
class _Tally:
    """What was found and read so far."""

    planted: int = 0
    patterns: int = 0
    hits: int = 0
    ambiguous_hits: int = 0
    first_hits: list[Hit] = field(default_factory=list)
    ambiguous: Counter[str] = field(default_factory=Counter)
    ambiguous_needles: int = 0
    searched: list[Searched] = field(default_factory=list)
    size: int = 0

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, while their bytes are counted."""
        for chunk in chunks:
            self.size += len(chunk)
            yield chunk


async def scan(raw: Raw, sinks: Sequence[Sink], policy: Policy, tell: Callable[[str], None]) -> Report:
    """Searches every sink for the values in the raw records that `policy` doesn't keep. `tell` takes lines of progress.

    Raises `SetupError` when nothing would be proven, and what reading raises.
    """
    needles, records = Needles(), 0
    anatomy = Anatomy(policy)
    async for record in raw():
        for column, value in anatomy.dissect(record).values:
            needles.add(column, value)
        records += 1
        if records % _TELL_EVERY == 0:
            tell(f"raw records: {records:,}, values to search for: {len(needles):,}")
    if not needles.columns:
        raise SetupError(
            f"{records} raw records hold no value to search for: everything is kept or too short; "
            "check the policy and the raw topics"
        )
    tally = _Tally()
    for batch in needles.batches():
        await _search(batch, raw, sinks, policy, tally, tell)
    if not any(searched.bytes for searched in tally.searched):
        raise SetupError("there is nothing to search in: every sink is empty; has anything been masked yet?")
    searched_for = Counter(column for columns in needles.columns.values() for column in columns)
    return Report(
        policy_version=policy.version,
        policy_digest=policy.digest,
        raw_records=records,
        needles=len(needles),
        ambiguous=tally.ambiguous_needles,
        patterns=tally.patterns,
        planted=tally.planted,
        columns=tuple(
            Column(name, searched_for[name], tally.ambiguous[name], needles.unsearched[name])
            for name in sorted(searched_for.keys() | needles.unsearched.keys())
        ),
        searched=tuple(tally.searched),
        hits=tally.hits,
        ambiguous_hits=tally.ambiguous_hits,
        first_hits=tuple(tally.first_hits),
    )


async def _search(
    needles: Mapping[bytes, tuple[str, ...]],
    raw: Raw,
    sinks: Sequence[Sink],
    policy: Policy,
    tally: _Tally,
    tell: Callable[[str], None],
) -> None:
    tell(f"preparing {len(needles):,} values")
    markers = selftest.new_markers()
    searcher = Searcher({**needles, **markers})
    tally.planted += selftest.prove(searcher, markers)
    tally.patterns += searcher.patterns

    tell("reading what is kept")
    searcher.learn(selftest.SPECIMENS)
    anatomy = Anatomy(policy)
    async for record in raw():
        searcher.learn(b"\n".join(anatomy.dissect(record).kept))
    for columns in searcher.ambiguous():
        tally.ambiguous_needles += 1
        tally.ambiguous.update(columns)

    tally.searched = []  # each batch reads the same sinks; they count once
    for sink in sinks:
        count, before = 0, tally.size
        async for item in sink.items():
            _search_item(searcher, item, tally)
            count += 1
            if count % _TELL_EVERY == 0:
                tell(f"{sink.name}: {count:,}")
        tally.searched.append(Searched(sink.name, sink.unit, count, tally.size - before))


def _search_item(searcher: Searcher, item: Item, tally: _Tally) -> None:
    for text in item:
        for found in searcher.find(tally.counted(text.chunks)):
            if found.ambiguous:
                tally.ambiguous_hits += 1
                continue
            tally.hits += 1
            if len(tally.first_hits) < _NAMED_HITS:
                place = f"{text.place} byte {found.position}" if text.by_byte else text.place
                tally.first_hits.append(Hit(place, found.encoding, found.columns))
