"""Which policy masks now, and the maskers made of it.

A worker makes one generation, whose keys are of one epoch: of versions that were released, only those of this epoch count. Its
topics may have begun under different versions, and rows keep the shape in which their topic began.

A replay masks under the version that it was begun with, its pin, up to its bound; but never weaker than the version in use:
the pin is dropped as soon as that is stricter in anything.

What always holds: a version is used only when it was verified (the source does that) and it compiles; the version in use is
never replaced by an older one or by other content under the same number. A version that is refused leaves the one before in
use; a catalog that doesn't verify stops all masking until it verifies again. Who masks a batch asks once for its masker and
keeps it for the batch: versions change between batches only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from cdc_masker import cores, metrics, plugins
from cdc_masker.batches import MaskedBatch
from cdc_masker.comparison import weakenings
from cdc_masker.errors import CdcMaskerError, PolicyError, Reason, SetupError, TransientError, UnverifiedError
from cdc_masker.events import Fate, Note
from cdc_masker.evidence import LONGEST_NAME, MOST_COLUMNS, OTHERS
from cdc_masker.guard import EgressGuard
from cdc_masker.kafka.gate import REASONS, Gate
from cdc_masker.kafka.lines import at
from cdc_masker.methods import Keys
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.ports import PolicySource
from cdc_masker.settings import Settings
from cdc_masker.subjects import derivations

__all__ = ["Maskers"]

logger = logging.getLogger(__name__)


class Maskers:
    """Maskers under the policy in use, or a replay's pin, by the largest batch that their output takes and the version that it
    began under.
    """

    def __init__(self, settings: Settings, source: PolicySource, keys: Keys, policy: Policy, pin: Policy | None = None) -> None:
        self._settings = settings
        self._source = source
        self._keys = keys
        self._known = plugins.methods(settings)
        self._native = cores.is_compiled(settings.core)
        self._policy = policy
        self._pin = pin
        self._maskers: dict[tuple[int, int], Masker] = {}
        self._pinned: dict[tuple[int, int], Masker] = {}
        self._beginnings = {EMPTY.version: EMPTY, policy.version: policy}
        self._news = asyncio.Event()
        self._closed: str | None = None
        self.gate = Gate(settings.policy_stale_limit)
        self._told: dict[tuple[str, str], set[str]] = {}
        self._misfits: dict[tuple[str, str], set[str]] = {}
        self._quarantined: dict[tuple[str, int, Reason], tuple[Note, int]] = {}
        logger.info("masking with the %s core", "compiled" if self._native else "Python")
        self.get(1 << 20, policy)  # so that a policy that does not compile, or lacks a key, is refused here
        self._hold()
        if self._pin is not None:
            self._beginnings[self._pin.version] = self._pin
            self.get(1 << 20, self._pin, pinned=True)
        metrics.POLICY_VERSION.set(policy.version)
        metrics.KEY_EPOCH.set(policy.key_epoch)
        metrics.GENERATION.set(settings.generation)

    @property
    def policy(self) -> Policy:
        """The version in use."""
        return self._policy

    async def beginning(self, version: int) -> Policy:
        """The version under which a topic began. Raises as `PolicySource.at` does."""
        if version not in self._beginnings:
            self._beginnings[version] = await self._source.at(version)
        return self._beginnings[version]

    def get(self, largest: int, began: Policy, *, pinned: bool = False) -> Masker:
        """The masker for topics whose record batches may have `largest` bytes and which began under that version, one that
        `beginning` gave; `pinned`: under the pin, while there is one. Raises `PolicyError` when rows can't keep its shape.
        """
        policy, maskers = (self._policy, self._maskers) if self._pin is None or not pinned else (self._pin, self._pinned)
        wanted = largest, began.version
        masker = maskers.get(wanted)
        if masker is None:
            masker = maskers[wanted] = self._masker(policy, *wanted)
        return masker

    def undecided(self) -> dict[str, frozenset[str]]:
        """By topic, the columns seen under the policy in use that it does not decide."""
        return _union(masker.undecided() for masker in self._all())

    def collapsed(self) -> dict[str, frozenset[str]]:
        """By topic, the key columns seen under the policy in use in which a constant stands."""
        return _union(masker.collapsed() for masker in self._all())

    def withheld(self) -> dict[str, frozenset[str]]:
        """By topic, the columns seen that are not masked as the policy in use says, since rows would get another shape."""
        return _union(masker.withheld() for masker in self._all())

    def look(self, topic: str, batch: MaskedBatch) -> None:
        """Counts what people should hear of in a published batch: records that were quarantined, and values that were redacted
        since their method could not take them.
        """
        for note in batch.notes:
            if note.fate is Fate.QUARANTINED:
                where = note.topic, note.partition, note.reason
                first, records = self._quarantined.get(where, (note, 0))
                self._quarantined[where] = first, records + 1
        for (_, column, reason), records in batch.misfits.items():
            told = metrics.count_redacted(topic, column, reason, records)
            self._misfits.setdefault((topic, reason), set()).add(told)

    def tell(self) -> None:
        """Logs what was quarantined since the last time, in one line for each partition and reason however many records there
        are, and once what people should decide on: the names of columns.
        """
        for (topic, partition, code), (first, records) in self._quarantined.items():
            logger.warning(
                "%s[%d]: %d records quarantined (%s), the first at offset %d, at %s",
                topic,
                partition,
                records,
                code,
                first.offset,
                first.place,
                extra=at(topic, partition, first.offset, code=code),
            )
        self._quarantined.clear()
        misfits: dict[str, dict[str, frozenset[str]]] = {}
        for (topic, reason), redacted in self._misfits.items():
            misfits.setdefault(reason, {})[topic] = frozenset(redacted)
        for problem, found in (
            ("redacted, since no rule decides or its method does not fit the type", self.undecided()),
            ("a constant in the key, so different rows get the same key", self.collapsed()),
            ("redacted or left out until a new generation, since rows would get another shape", self.withheld()),
            *((f"values redacted, since their method can't take them ({reason})", misfits[reason]) for reason in misfits),
        ):
            for topic, columns in found.items():
                told = self._told.setdefault((problem, topic), set())
                news = sorted({name if len(name) <= LONGEST_NAME else OTHERS for name in columns} - told)
                if len(told) + len(news) > MOST_COLUMNS:  # events may have names without end, logs and memory may not
                    news = [*news[: max(MOST_COLUMNS - len(told), 0)], *({OTHERS} - told)]
                if news:
                    logger.warning("%s: %s: %s", topic, problem, ", ".join(news))
                told.update(news)

    async def changed(self) -> None:
        """Returns when another version is in use."""
        await self._news.wait()

    async def refresh(self) -> None:
        """Looks for a new version and uses it from the next batch on. Never raises for a version that is not fit."""
        asked = self.gate.now()
        try:
            policy = await self._source.current(self._policy.key_epoch)
            self.gate.confirm(asked)
            if (policy.version, policy.digest) != (self._policy.version, self._policy.digest):
                self._replace(policy)
        except (TransientError, SetupError) as error:
            if not self.gate.closed:
                logger.warning("%s; masking goes on under policy version %d for a while", error, self._policy.version)
        except UnverifiedError as error:
            self.gate.refuse()
            metrics.POLICIES_REFUSED.inc()
            logger.error("%s; `cdc-masker policy verify` says where it does not", error)
        except PolicyError as error:
            self.gate.confirm(asked)
            self._refuse(error)
        except CdcMaskerError as error:
            self._refuse(error)
        self._tell_gate()

    def _replace(self, policy: Policy) -> None:
        if policy.version <= self._policy.version:
            raise PolicyError("version", f"{policy.version} is not newer than {self._policy.version}, which is in use")
        self._beginnings[policy.version] = policy
        maskers = {wanted: self._masker(policy, *wanted) for wanted in self._maskers}
        self._policy, self._maskers = policy, maskers
        self._hold()
        self._news.set()
        self._news = asyncio.Event()
        metrics.POLICY_VERSION.set(policy.version)
        logger.info("policy version %d is in use", policy.version)

    def _hold(self) -> None:
        """Drops the pin unless the version in use is newer or the same, and stricter in nothing."""
        if self._pin is None:
            return
        stricter = weakenings(self._policy, self._pin, self._pin.rules, self._known)
        if self._pin.version > self._policy.version or stricter:
            logger.warning(
                "policy version %d, which the replay was begun with, is not used any more: version %d, which is in force, %s",
                self._pin.version,
                self._policy.version,
                f"is stricter, at {stricter[0].place}" if stricter else "is older",
            )
            self._pin = None
            self._pinned.clear()

    def _all(self) -> list[Masker]:
        return [*self._maskers.values(), *self._pinned.values()]

    def _refuse(self, error: CdcMaskerError) -> None:
        metrics.POLICIES_REFUSED.inc()
        logger.error("%s; masking goes on under policy version %d", error, self._policy.version)

    def _tell_gate(self) -> None:
        closed = self.gate.closed
        if closed is not None and closed != self._closed:
            logger.error("%s: masking pauses until it is there and verifies", REASONS[closed], extra=at(code=closed))
        if closed is None and self._closed is not None:
            logger.info("the catalog is there and verifies: masking goes on", extra=at(code=self._closed))
        self._closed = closed

    def _masker(self, policy: Policy, largest: int, began: int) -> Masker:
        for purpose in derivations(policy):  # a key that is missing is found now, not at the first subject
            self._keys.derive(*purpose)
        return Masker(
            policy,
            self._keys,
            generation=self._settings.generation,
            began=self._beginnings[began],
            output_prefix=self._settings.output_prefix,
            max_record_bytes=largest,
            guard=EgressGuard(self._settings.guard_every),
            known=self._known,
            native=self._native,
        )


def _union(parts: Iterable[dict[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in parts:
        for topic, columns in part.items():
            found[topic] = found.get(topic, frozenset()) | columns
    return found
