"""Masks raw records again and compares with what a generation holds: what would change, or that masking is reproducible.

It goes the way of `cdc-masker audit verify --recompute`, with other maskers: so whatever the audit has to say of a record is
said here, too, and no record is left out unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cdc_masker.audit.anew import Anew, Maskers, Masking
from cdc_masker.audit.bridge import Bridge
from cdc_masker.audit.findings import Report
from cdc_masker.audit.records import Recompute
from cdc_masker.audit.running import Tell, verify_all
from cdc_masker.audit.snapshot import Selection
from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.catalog.trail import Registered
from cdc_masker.errors import SetupError
from cdc_masker.policies import EMPTY
from cdc_masker.replay.causes import Causes, Made
from cdc_masker.replay.differing import Answer, Comparer, Comparison
from cdc_masker.settings import Settings

__all__ = ["AS_AUDITED", "IN_FORCE", "Comparing", "Wanted", "compare"]

AS_AUDITED: Literal["as-audited"] = "as-audited"
IN_FORCE: Literal["in-force"] = "in-force"


Under = int | Literal["in-force", "as-audited"]
"""The policy version that records are masked under again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is compared: these topics and partitions of a generation, all of them if none are named, with what masking them
    again gives under a policy version, under that in force for the generation's keys, or each under the one that it was masked
    under.
    """

    generation: int
    policy: Under = IN_FORCE
    topics: Collection[str] = ()
    partitions: Collection[int] = ()


async def compare(settings: Settings, masking: Masking, wanted: Wanted, *, within: float, tell: Tell) -> tuple[Answer, Report]:
    """Compares the records that `masking` draws, and tells what verifying the rest of the audit found beside.

    Rows that are on their way are awaited so many seconds. Raises `SetupError` and `PolicyError` where nothing of what is
    wanted is there, and as `verify_all` does.
    """
    async with open_catalog(settings) as catalog:
        await _check(catalog, wanted)
    comparison, report = Comparison(), Report()

    def comparing(catalog: Catalog) -> Comparing:
        return Comparing(Anew(settings, catalog, masking), comparison, wanted.policy)

    selection = Selection(wanted.topics, wanted.generation, partitions=wanted.partitions)
    await verify_all(settings, selection, report, masking=comparing, within=within, tell=tell)
    unchecked: Counter[str] = Counter()
    for summary in report.summaries.values():
        unchecked.update(summary.unchecked)
    return comparison.answer(unchecked), report


async def _check(catalog: Catalog, wanted: Wanted) -> None:
    there = {each.topic for each in await catalog.trail.generations() if each.generation == wanted.generation}
    if not there:
        raise SetupError(f"there is no generation {wanted.generation}; name another one with --generation")
    for topic in wanted.topics:
        if topic not in there:
            raise SetupError(f"generation {wanted.generation} holds no copy of {topic}; name a raw topic")
    if isinstance(wanted.policy, int) and wanted.policy != EMPTY.version:
        await catalog.policies.at(wanted.policy)


class Comparing:
    """In place of what `audit verify` masks anew with. `as_new`: rows have the shape that they would have in a generation which
    begins under that policy version.
    """

    def __init__(self, anew: Anew, comparison: Comparison, policy: Under, *, as_new: bool = False) -> None:
        self._anew = anew
        self._comparison = comparison
        self._policy = policy
        self._as_new = as_new

    def recomputer(self, bridge: Bridge, copy: Registered, largest: int) -> Recompute:
        anew, as_audited = self._anew, self._policy == AS_AUDITED
        maskers = Maskers(anew, bridge, copy, largest, newcomers=not as_audited)
        if as_audited:
            recomputer = anew.drawing(maskers.of, maskers)
        else:
            now = self._version(bridge, copy.key_epoch)
            shape_now = now if self._as_new else copy.policy_version
            recomputer = anew.drawing(lambda entry: maskers.under(now, shape_now), maskers)

        @lru_cache
        def causes(version: int) -> Causes:
            before = Made(maskers.policy(version), maskers.policy(copy.policy_version))
            return Causes(before, before if as_audited else Made(maskers.policy(now), maskers.policy(shape_now)))

        return Comparer(recomputer, causes, self._comparison)

    def _version(self, bridge: Bridge, epoch: int) -> int:
        """The version that is wanted for a generation with keys of that epoch."""
        if isinstance(self._policy, int):
            return self._policy
        return bridge.wait(self._anew.catalog.policies.current(epoch)).version
