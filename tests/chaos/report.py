"""What a run did and found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from cdc_masker.kafka.steps import Step
from tests.chaos.checker import Finding
from tests.chaos.faults import Done

__all__ = ["Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`reached` counts steps, `exits` the codes of workers that ended by themselves. `missing` says what the run had to do and
    didn't, `left_out` which faults found no moment at which they would have proved something. Times are in seconds.
    """

    seed: str
    commit: str
    seconds: float
    drained_after: float
    records: int
    aborted_transactions: int
    entries: int
    quarantined: int
    gaps: int
    versions: int
    faults: list[Done]
    left_out: list[str]
    missing: list[str]
    reached: dict[str, int]
    exits: dict[int, int]
    findings: list[Finding]

    @property
    def good(self) -> bool:
        return not self.findings and not self.missing

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def text(self) -> str:
        kinds = Counter(done.kind for done in self.faults)
        at = Counter(f"{done.kind} at {done.step or 'any moment'}" for done in self.faults if done.remaining is not None)
        never = [step for step in Step if not self.reached.get(step)]
        struck = {done.step for done in self.faults if done.step is not None}
        lines = [
            f"seed {self.seed}, commit {self.commit}, {self.seconds:.0f} s",
            f"masked and audited to the end {self.drained_after:.1f} s after the source ended",
            f"{self.records} source records, {self.quarantined} of them quarantined; {self.aborted_transactions} source "
            f"transactions aborted; {self.entries} audit entries with {self.gaps} gaps; {self.versions} policy versions",
            f"{len(self.faults)} faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
            *(f"  {count:4} {what}" for what, count in sorted(at.items())),
            f"workers that ended by themselves, by exit code: {self.exits or 'none'}",
            f"{len(Step) - len(never)} of {len(Step)} steps reached, faults at {len(struck)}; never: {', '.join(never) or '-'}",
            f"found no moment to prove something: {', '.join(self.left_out) or '-'}",
            f"missing: {', '.join(self.missing) or '-'}",
            f"findings: {len(self.findings) or 'none'}",
            *(f"  {each.kind}: {each.place}: {each.told}" for each in self.findings),
        ]
        return "\n".join(lines) + "\n"
