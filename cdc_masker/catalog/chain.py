"""The chain of policy versions, as far as it was verified.

What always holds: a version that was verified once is what all later looks are held against, so a catalog that was set back or
written anew is noticed even if it fits itself. The whole chain is read once; after that a look asks for the newest seal and a
hash of the signatures, and reads only what is new.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, Row, RowMapping, func, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from cdc_masker.catalog.tables import policy_rule, policy_signature, policy_version
from cdc_masker.errors import PolicyError, UnverifiedError
from cdc_masker.policies import Policy
from cdc_masker.sealing import START, Link, Release, Signature, check_link, check_signature

__all__ = ["Chain", "Known", "read_release"]

_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
_RULES = select(
    policy_rule.c.server,
    policy_rule.c.table_schema.label("schema"),
    policy_rule.c.table_name.label("table"),
    policy_rule.c.column_name.label("column"),
    policy_rule.c.path,
    policy_rule.c.pattern,
    policy_rule.c.type,
    policy_rule.c.method,
    policy_rule.c.params,
    policy_rule.c.strict,
    policy_rule.c.allow_small_domain,
    policy_rule.c.allow_uniqueness_loss,
    policy_rule.c.classification,
    policy_rule.c.reason,
    policy_rule.c.ticket,
)
_IN_ORDER = aggregate_order_by(literal(b"", LargeBinary), *policy_signature.primary_key)
_SIGNATURES = select(func.sha256(func.string_agg(policy_signature.c.signature, _IN_ORDER))).scalar_subquery()
_LOOK = select(policy_version.c.version, policy_version.c.seal, _SIGNATURES).order_by(policy_version.c.version.desc()).limit(1)


class Known(NamedTuple):
    """A version that was verified. `heads`: the policy revisions that nothing followed when it was released."""

    version: int
    digest: str
    seal: str
    key_epoch: int
    heads: tuple[str, ...]


class Chain:
    """What was verified so far. Each method takes a connection whose transaction has asked nothing yet."""

    def __init__(self) -> None:
        self.versions: list[Known] = []
        self._signed: dict[int, frozenset[bytes]] = {}
        self._signatures: bytes | None = None

    def signed_by(self, version: int, key: bytes) -> bool:
        """Whether the holder of that public key signed the version."""
        return key in self._signed.get(version, ())

    async def follow(self, connection: AsyncConnection) -> None:
        """Verifies what is new. Raises `UnverifiedError` when the catalog is not what was released; then nothing of it may be
        used until it is again.
        """
        await connection.execute(_SNAPSHOT)
        look = (await connection.execute(_LOOK)).first()
        version, seal, signatures = look or (*START, None)
        if (version, seal, signatures) != (*self._head, self._signatures):
            await self._verify_versions(connection)
            await self._verify_signatures(connection)
            self._signatures = signatures

    async def read(self, connection: AsyncConnection, version: int) -> Policy:
        """A version that was verified, read and verified again."""
        await connection.execute(_SNAPSHOT)
        row = (await connection.execute(policy_version.select().where(policy_version.c.version == version))).first()
        before = _link(self.versions[version - 2]) if version > 1 else START
        if row is None or row.seal != self.versions[version - 1].seal:
            raise _replaced(version)
        release = await read_release(connection, row)
        check_link(release, before)
        return release.policy

    @property
    def _head(self) -> Link:
        return _link(self.versions[-1]) if self.versions else START

    async def _verify_versions(self, connection: AsyncConnection) -> None:
        head = self._head
        wanted = policy_version.select().where(policy_version.c.version >= head.version).order_by(policy_version.c.version)
        rows = (await connection.execute(wanted)).all()
        if head != START and (not rows or (rows[0].version, rows[0].seal) != head):
            raise _replaced(head.version)
        for row in rows[1:] if head != START else rows:
            release = await read_release(connection, row)
            link = check_link(release, self._head)
            self.versions.append(Known(link.version, release.digest, link.seal, release.policy.key_epoch, release.heads))
        stray = select(policy_rule.c.version).where(~policy_rule.c.version.between(1, self._head.version)).limit(1)
        if (found := (await connection.execute(stray)).scalar_one_or_none()) is not None:
            raise UnverifiedError(f"version {found}", "has rules, and was never released")

    async def _verify_signatures(self, connection: AsyncConnection) -> None:
        rows = (await connection.execute(policy_signature.select().order_by(*policy_signature.primary_key))).all()
        signed: dict[int, frozenset[bytes]] = {}
        for row in rows:
            if not 0 < row.version <= self._head.version:
                raise UnverifiedError(f"version {row.version}", "has a signature, and was never released")
            check_signature(Signature(*row), self.versions[row.version - 1].seal)
            signed[row.version] = signed.get(row.version, frozenset()) | {row.key}
        for version, keys in self._signed.items():
            if not keys <= signed.get(version, frozenset()):
                raise UnverifiedError(f"version {version}", "has lost a signature: somebody took it out")
        self._signed = signed


def _link(known: Known) -> Link:
    return Link(known.version, known.seal)


def _replaced(version: int) -> UnverifiedError:
    return UnverifiedError(f"version {version}", "is not what was verified before: somebody replaced it, or took it out")


async def read_release(connection: AsyncConnection, version: Row[Any]) -> Release:
    """The version of a row with its rules, whether it verifies or not. Raises `UnverifiedError` when it is no policy at all."""
    rules = await connection.execute(_RULES.where(policy_rule.c.version == version.version))
    document = {
        "version": version.version,
        "seal": version.seal,
        "default": version.default_method,
        "key_epoch": version.key_epoch,
        "tables": version.tables,
        "domains": version.domains,
        "envelopes": version.envelopes,
        "headers": version.headers,
        "rules": [_rule_document(rule) for rule in rules.mappings()],
    }
    try:
        policy = Policy.from_document(document)
    except PolicyError as error:
        raise UnverifiedError(f"version {version.version}", f"its rows are no policy: {error.place}: {error.problem}") from None
    if not (isinstance(version.heads, list) and all(isinstance(head, str) for head in version.heads)):
        raise UnverifiedError(f"version {version.version}", "names no revisions: somebody changed it")
    return Release(
        policy=policy,
        digest=version.digest,
        seal=version.seal,
        parent=version.parent,
        revision=version.revision,
        heads=tuple(version.heads),
        reason=version.reason,
        weaker_reason=version.weaker_reason,
        created_at=version.created_at,
        created_by=version.created_by,
    )


def _rule_document(rule: RowMapping) -> dict[str, Any]:
    members = {str(name): value for name, value in rule.items()}
    return {**members, "path": members["path"] or None}
