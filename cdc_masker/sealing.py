"""Seals of policy versions, and signatures of seals: how a change of what was released is noticed.

Each version's seal is SHA-256 over the seal of the version before it, its number, its digest, who released it, when, from which
revisions, and all reasons. The digest is over what the version decides, so the newest seal stands for every version up to it:
whoever knows it from elsewhere (an audit entry, a signature) notices any change. PostgreSQL computes it when a version is
released (`migrations/sealing.sql`); here it is computed again from what is stored.

A signature is Ed25519 (RFC 8032) over the seal and the time of signing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from cdc_masker.errors import UnverifiedError
from cdc_masker.policies import Policy

__all__ = ["START", "Link", "Release", "Signature", "check_link", "check_signature", "public_key", "seal", "signed_message"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SEAL = "cdc-masker policy seal 1"
_SIGNATURE = "cdc-masker policy signature 1"


class Link(NamedTuple):
    """A version in the chain of seals."""

    version: int
    seal: str


START = Link(0, "")
"""What the first version follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version as it is stored: `policy` is made of its rows, `digest` and `seal` are what was noted at the release."""

    policy: Policy
    digest: str
    seal: str
    parent: int | None
    revision: str
    heads: tuple[str, ...]
    reason: str
    weaker_reason: str | None
    created_at: datetime
    created_by: str


class Signature(NamedTuple):
    """Somebody's signature of a version. `key` is the public key, 32 bytes."""

    version: int
    key: bytes
    signed_at: datetime
    signature: bytes


def seal(release: Release, before: str) -> str:
    """The seal of a version after one with the seal `before`: `sha256:` and hex.

    Hashed is the canonical JSON (RFC 8785) of one array of texts and nulls: a name for this purpose, the seal before, version,
    digest, revision, the canonical JSON of the heads, reason, reason for masking less, time in microseconds since the epoch,
    login; then eight members for each rule, in the order of the first six: pattern (`true` or `false`), server, schema, table,
    column, path (empty without one), reason, ticket; five for each table with a default of its own: server, schema, table,
    reason, ticket; and three for each topic of which something is said: topic, reason, ticket. How many there are of each is
    in the digest.
    """
    parts = [
        _SEAL,
        before,
        str(release.policy.version),
        release.digest,
        release.revision,
        _canonical(release.heads).decode(),
        release.reason,
        release.weaker_reason,
        _microseconds(release.created_at),
        release.created_by,
    ]
    for rule in release.policy.rules:  # which are in that order
        parts += ["true" if rule.pattern else "false", *rule.target, rule.reason, rule.ticket]
    for table in release.policy.tables:
        parts += [table.server, table.schema, table.table, table.reason, table.ticket]
    for envelope in release.policy.envelopes:
        parts += [envelope.topic, envelope.reason, envelope.ticket]
    return "sha256:" + hashlib.sha256(_canonical(parts)).hexdigest()


def check_link(release: Release, before: Link) -> Link:
    """The release as the next link of the chain. Raises `UnverifiedError` when it is not as it was released."""
    version = release.policy.version
    if version != before.version + 1 or release.parent != (before.version or None):
        raise UnverifiedError(f"version {before.version + 1}", "is missing: somebody took it out, or changed numbers")
    if release.policy.digest != release.digest:
        raise UnverifiedError(f"version {version}", "its rows don't fit the digest that was released: somebody changed them")
    if seal(release, before.seal) != release.seal:
        raise UnverifiedError(
            f"version {version}",
            "does not fit its seal: somebody changed its reasons, its origin, its digest and rows, or the seal before it",
        )
    return Link(version, release.seal)


def signed_message(sealed: str, signed_at: datetime) -> bytes:
    """What is signed: the canonical JSON of an array of a name for this purpose, the seal, and the time in microseconds."""
    return _canonical([_SIGNATURE, sealed, _microseconds(signed_at)])


def check_signature(signature: Signature, sealed: str) -> None:
    """Raises `UnverifiedError` unless the key that is named signed this seal."""
    try:
        key = Ed25519PublicKey.from_public_bytes(signature.key)
        key.verify(signature.signature, signed_message(sealed, signature.signed_at))
    except (InvalidSignature, ValueError):
        raise UnverifiedError(
            f"version {signature.version}", f"a signature in the name of key {signature.key.hex()} is not of that key"
        ) from None


def public_key(pem: bytes) -> bytes | None:
    """The 32 bytes of the Ed25519 public key in a PEM file (`BEGIN PUBLIC KEY`); None if there is none."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def _canonical(texts: Sequence[str | None]) -> bytes:
    """RFC 8785 of an array of texts and nulls, for which the standard library writes the same as a whole implementation."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


def _microseconds(time: datetime) -> str:
    return str((time - _EPOCH) // _MICROSECOND)
