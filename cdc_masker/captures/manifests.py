"""What the files of a replay say about themselves: what they were made with, and where each chain of their audit ends.

With the keys and the capture, whoever has them can mask all of it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from cdc_masker.errors import CdcMaskerError
from cdc_masker.exports import Run
from cdc_masker.guard import EgressGuard
from cdc_masker.methods import Keys, Method
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import Settings

__all__ = ["AUDIT", "CAPTURE", "MANIFEST", "MASKED", "BadManifest", "Making", "Manifest", "decode", "encode", "policy_of"]

CAPTURE = "capture"
"""In place of the id of a topic: a capture does not tell of which incarnation its records are."""

MASKED, AUDIT, MANIFEST = "masked.jsonl", "audit.jsonl", "manifest.json"

_LARGEST = 1_048_588  # what topics take where nobody set `max.message.bytes`


class BadManifest(CdcMaskerError):
    """A file that is no manifest, or was edited."""


class Making(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that masking depends on beside record, policy and keys."""

    generation: int
    output_prefix: str
    max_record_bytes: int
    guard_every: int

    @classmethod
    def by(cls, settings: Settings) -> Making:
        return cls(
            generation=settings.generation,
            output_prefix=settings.output_prefix,
            max_record_bytes=_LARGEST,
            guard_every=settings.guard_every,
        )

    def masker(self, policy: Policy, keys: Keys, known: Mapping[str, type[Method]], *, native: bool = False) -> Masker:
        return Masker(
            policy,
            keys,
            generation=self.generation,
            output_prefix=self.output_prefix,
            max_record_bytes=self.max_record_bytes,
            guard=EgressGuard(self.guard_every),
            known=known,
            native=native,
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`policy` is the whole document, and `chains` has a run for each chain of the audit: all of its entries."""

    format: Literal["cdc-masker file replay 1"] = "cdc-masker file replay 1"
    making: Making
    policy: dict[str, Any]
    chains: tuple[Run, ...]


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON for people."""
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def decode(text: bytes) -> tuple[Manifest, Policy]:
    """The inverse, with the policy that stands in it. Raises `BadManifest`, and `PolicyError` for an edited policy."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadManifest(f"{MANIFEST} is not one that `cdc-masker replay file` wrote") from None
    return manifest, Policy.from_document(manifest.policy)


def policy_of(policy: Policy) -> Policy:
    """The policy, if an audit can name it. Raises `BadManifest`."""
    if policy.version == EMPTY.version and policy.digest != EMPTY.digest:
        raise BadManifest("the policy document has no version, by which the audit names it: write one into it")
    return policy
