"""Whether one masked copy of a raw partition is what its audit says, over plain iterators: rows, raw records, masked records.

A copy has one chain for each incarnation of the raw topic, in the order in which they took each other's place. `in_order` finds
this order, and `verify` goes through all of it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc_masker.audit import chains, records
from cdc_masker.audit.chains import Trail
from cdc_masker.audit.entries import Catalogued
from cdc_masker.audit.findings import Code, Report, Tally
from cdc_masker.audit.records import MaskedCopy, RawLog, Recompute
from cdc_masker.events import Record
from cdc_masker.exports import Run
from cdc_masker.heads import Chain

__all__ = ["Copy", "in_order", "verify"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A masked copy of one raw partition: the trails of its chains in order, and its records.

    `masked` is None where the masked topic is gone; of its records, those from offset `settled` on may be newer than what the
    committed offset says. `raw` is the raw log of the last chain, None where the topic is gone or is
    of another incarnation.
    """

    trails: Sequence[Trail]
    masked: Iterable[Record] | None
    raw: RawLog | None = None
    settled: int | None = None


def in_order(found: Collection[Chain], successors: Mapping[Chain, str], newest: str, report: Report) -> list[Chain]:
    """The chains of one copy in the order of incarnations, each closed by an entry that names the next: `successors` has these
    names. `newest` is the incarnation of the topic as it is now.

    Chains that no other one leads to are reported; they come first, as what they hold is older or was made up.
    """
    by_incarnation = {chain.incarnation: chain for chain in found}
    leads_to = {chain: by_incarnation.get(successors.get(chain, "")) for chain in found}
    before = {after: chain for chain, after in leads_to.items() if after is not None}
    last = [chain for chain in found if leads_to[chain] is None]
    line = [max(last, key=lambda chain: (_ends(chain, successors) == newest, chain))] if last else []
    while line and (earlier := before.get(line[0])) is not None and earlier not in line:
        line.insert(0, earlier)
    strays = sorted(set(found) - set(line))
    for chain in strays:
        problem = "no entry of another chain says that the topic was made anew, and there are several chains"
        report.found(Code.INCARNATION, chain, None, problem)
    return [*strays, *line]


def _ends(chain: Chain, successors: Mapping[Chain, str]) -> str:
    return successors.get(chain, chain.incarnation)


def verify(
    copy: Copy,
    catalogued: Catalogued,
    report: Report,
    *,
    since: int = 0,
    recompute: Recompute | None = None,
    tell: Callable[[Chain], None] = lambda chain: None,
) -> None:
    """Verifies one copy and reports what is wrong. Records of batches masked before `since`, in ms since the epoch, are passed
    over; their entries are not, nor is what somebody accepted as lost, which has none. `tell` is called after each entry.
    """
    masked = None if copy.masked is None else MaskedCopy(copy.trails[0].chain, copy.masked, report)
    for trail in copy.trails:
        raw = copy.raw if trail is copy.trails[-1] else None
        if masked is not None:
            masked.begin(trail.chain, another=trail is not copy.trails[-1])
        for entry in chains.walk(trail, catalogued, report):
            if isinstance(entry, Run):
                records.skip(entry.last_offset, masked, raw)
            elif entry.masked_at < since and entry.accepted is None:
                records.skip(entry.last_offset, masked, raw)
                report.of(trail.chain).unchecked["records masked before --since"] += sum(entry.counts.values())
            else:
                records.check(entry, trail.chain, masked, raw, report, recompute)
            tell(trail.chain)
    _check_rest(copy, masked, report)


def _check_rest(copy: Copy, masked: MaskedCopy | None, report: Report) -> None:
    """What is behind the last entry: raw records that wait to be masked, and no masked ones."""
    trail = copy.trails[-1]
    summary, tally = report.of(trail.chain), Tally(report, trail.chain)
    end = -1 if summary.last_offset is None else summary.last_offset
    position = end if trail.position is None else trail.position.last_offset
    for made in () if masked is None else masked.rest():
        if trail.behind and made.offset <= position:
            summary.unchecked["records whose rows are on their way"] += 1
        elif made.offset <= position or copy.settled is None or made.record.offset < copy.settled:
            tally.found(Code.EXTRA, made.offset, "the masked record is of no entry", made.record)
    for record in () if copy.raw is None else copy.raw.rest():
        if record.offset > position:
            summary.waiting += 1
        elif not trail.behind:
            tally.found(Code.UNCOVERED, record.offset, "the raw record is in no entry")
    tally.close()
