"""Which policy masks now, and the maskers made of it.

A worker makes one generation, whose keys are of one epoch: of versions that were released, only those of this epoch count.

What always holds: a version is used only when it was verified (the source does that) and it compiles; the version in use is
never replaced by an older one or by other content under the same number. A version that is refused leaves the one before in
use; a catalog that doesn't verify stops all masking until it verifies again. Who masks a batch asks once for its masker and
keeps it for the batch: versions change between batches only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from cdc_masker import metrics, plugins
from cdc_masker.errors import CdcMaskerError, PolicyError, TransientError, UnverifiedError
from cdc_masker.events import Outcome
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import Keys
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.ports import PolicySource
from cdc_masker.settings import Settings
from cdc_masker.subjects import derivations

__all__ = ["Maskers"]

logger = logging.getLogger(__name__)


class Maskers:
    """Maskers under the policy in use, by the largest batch that their output takes."""

    def __init__(self, settings: Settings, source: PolicySource, keys: Keys, policy: Policy) -> None:
        self._settings = settings
        self._source = source
        self._keys = keys
        self._known = plugins.methods(settings)
        self._policy = policy
        self._maskers: dict[int, Masker] = {}
        self._news = asyncio.Event()
        self.verified = asyncio.Event()
        """Set while masking may go on: the last look found the catalog as it was released, or found no server."""
        self.verified.set()
        self._told: dict[tuple[str, str], set[str]] = {}
        self._misfits: dict[tuple[str, str], set[str]] = {}
        self.get(1 << 20)  # so that a policy that does not compile is refused here
        metrics.POLICY_VERSION.set(policy.version)
        metrics.KEY_EPOCH.set(policy.key_epoch)
        metrics.GENERATION.set(settings.generation)

    @property
    def policy(self) -> Policy:
        """The version in use."""
        return self._policy

    def get(self, largest: int) -> Masker:
        """The masker for topics whose record batches may have `largest` bytes."""
        masker = self._maskers.get(largest)
        if masker is None:
            masker = self._maskers[largest] = self._masker(self._policy, largest)
        return masker

    def undecided(self) -> dict[str, frozenset[str]]:
        """By topic, the columns seen under the policy in use that it does not decide."""
        return _union(masker.undecided() for masker in self._maskers.values())

    def collapsed(self) -> dict[str, frozenset[str]]:
        """By topic, the key columns seen under the policy in use in which a constant stands."""
        return _union(masker.collapsed() for masker in self._maskers.values())

    def look(self, outcomes: Iterable[Outcome]) -> None:
        """Counts the values of a published batch that were redacted since their method could not take them."""
        for outcome in outcomes:
            for column, reason in outcome.misfits:
                told = metrics.count_redacted(outcome.topic, column, reason)
                self._misfits.setdefault((outcome.topic, reason), set()).add(told)

    def tell(self) -> None:
        """Logs once what people should decide on: the names of such columns."""
        misfits: dict[str, dict[str, frozenset[str]]] = {}
        for (topic, reason), redacted in self._misfits.items():
            misfits.setdefault(reason, {})[topic] = frozenset(redacted)
        for problem, found in (
            ("redacted, since no rule decides or its method does not fit the type", self.undecided()),
            ("a constant in the key, so different rows get the same key", self.collapsed()),
            *((f"values redacted, since their method can't take them ({reason})", misfits[reason]) for reason in misfits),
        ):
            for topic, columns in found.items():
                told = self._told.setdefault((problem, topic), set())
                if news := sorted(columns - told):
                    logger.warning("%s: %s: %s", topic, problem, ", ".join(news))
                told |= columns

    async def changed(self) -> None:
        """Returns when another version is in use."""
        await self._news.wait()

    async def refresh(self) -> None:
        """Looks for a new version and uses it from the next batch on. Never raises for a version that is not fit."""
        try:
            policy = await self._source.current(self._policy.key_epoch)
            self._trust()
            if (policy.version, policy.digest) == (self._policy.version, self._policy.digest):
                return
            self._replace(policy)
        except TransientError:
            logger.warning("the catalog can't be reached; masking goes on under policy version %d", self._policy.version)
        except UnverifiedError as error:
            self._distrust(error)
        except PolicyError as error:
            self._trust()
            self._refuse(error)
        except CdcMaskerError as error:
            self._refuse(error)

    def _replace(self, policy: Policy) -> None:
        if policy.version <= self._policy.version:
            raise PolicyError("version", f"{policy.version} is not newer than {self._policy.version}, which is in use")
        maskers = {largest: self._masker(policy, largest) for largest in self._maskers}
        self._policy, self._maskers = policy, maskers
        self._news.set()
        self._news = asyncio.Event()
        metrics.POLICY_VERSION.set(policy.version)
        logger.info("policy version %d is in use", policy.version)

    def _refuse(self, error: CdcMaskerError) -> None:
        metrics.POLICIES_REFUSED.inc()
        logger.error("%s; masking goes on under policy version %d", error, self._policy.version)

    def _distrust(self, error: UnverifiedError) -> None:
        self.verified.clear()
        metrics.POLICIES_REFUSED.inc()
        logger.error("%s; masking pauses until the catalog verifies, `cdc-masker policy verify` says where it does not", error)

    def _trust(self) -> None:
        if not self.verified.is_set():
            self.verified.set()
            logger.info("the catalog verifies again: masking goes on")

    def _masker(self, policy: Policy, largest: int) -> Masker:
        for purpose in derivations(policy):  # a key that is missing is found now, not at the first subject
            self._keys.derive(*purpose)
        return Masker(
            policy,
            self._keys,
            generation=self._settings.generation,
            output_prefix=self._settings.output_prefix,
            max_record_bytes=largest,
            guard=EgressGuard(self._settings.guard_every),
            known=self._known,
        )


def _union(parts: Iterable[dict[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in parts:
        for topic, columns in part.items():
            found[topic] = found.get(topic, frozenset()) | columns
    return found
