"""Whether the catalog is what was released, for people: chain, digests, seals and signatures, and the seals in the audit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from cdc_masker.catalog.chain import Chain
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import audit_entry
from cdc_masker.errors import UnverifiedError
from cdc_masker.policies import EMPTY

__all__ = ["Anchor", "Verification", "Verifier"]


class Anchor(NamedTuple):
    """What an audit entry says of the policy that masked its batch, and where that stands."""

    version: int
    digest: str
    seal: str
    place: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `problems` name the place, as errors do; without any, everything fits."""

    versions: int
    seal: str
    signed: int
    anchors: int
    problems: tuple[str, ...]


class Verifier:
    """Reads everything anew. The login needs the role of an auditor, or of a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, keys: Collection[bytes], anchors: Iterable[Anchor] = ()) -> Verification:
        """Verifies all there is, the anchors in the audit's rows, and these. With public keys, each version must be signed with
        one of them.
        """
        chain, problems = Chain(), []
        async with self._database.transaction() as connection:
            try:
                await chain.follow(connection)
            except UnverifiedError as error:
                problems.append(f"{error.place}: {error.problem}")
        known = [*await self._anchors(), *anchors]
        complete = not problems
        signed = [each for each in chain.versions if any(chain.signed_by(each.version, key) for key in keys)]
        if complete and keys:
            problems += [
                f"version {each.version}: is not signed with a key that is trusted"
                for each in chain.versions
                if each not in signed
            ]
        problems += _contradictions(chain, known, complete)
        seal = chain.versions[-1].seal if chain.versions else ""
        return Verification(len(chain.versions), seal, len(signed), len(known), tuple(problems))

    async def _anchors(self) -> list[Anchor]:
        columns = (audit_entry.c.policy_version, audit_entry.c.policy_digest, audit_entry.c.policy_seal)
        async with self._database.transaction() as connection:
            rows = await connection.execute(select(*columns).distinct().order_by(*columns))
            return [Anchor(*row, "the catalog's audit") for row in rows]


def _contradictions(chain: Chain, anchors: Iterable[Anchor], complete: bool) -> Iterator[str]:
    """Where the audit tells of another version than the catalog. Of a chain that broke, only what comes before is known."""
    for anchor in anchors:
        if anchor.version > len(chain.versions):
            if complete:
                yield f"version {anchor.version}: {anchor.place} tells of it, and it is not in the catalog"
            continue
        known = chain.versions[anchor.version - 1] if anchor.version > 0 else None
        seal, digest = (known.seal, known.digest) if known else (EMPTY.seal, EMPTY.digest)
        if anchor.version < 0 or (anchor.seal, anchor.digest) != (seal, digest):
            yield f"version {anchor.version}: {anchor.place} tells of another one, with seal {anchor.seal or 'none'}"
