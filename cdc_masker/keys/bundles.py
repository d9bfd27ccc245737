"""Worker bundles: the derived keys that a policy needs, and no root, from which all others could be had.

What a policy needs is found by making its `Engine` with keys that take note of what they are asked for: it derives each key
when it is made, so the two can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from cdc_masker import subjects
from cdc_masker.engine import Engine
from cdc_masker.keys.keyring import DerivedKeys, Keyring
from cdc_masker.methods import METHODS, Method
from cdc_masker.policies import Policy

__all__ = ["Purpose", "bundle", "needed"]


class Purpose(NamedTuple):
    """What a key is derived for."""

    epoch: int
    method: str
    domain: str


class _Noting:
    """`Keys` that note what they are asked for, and give a key that is good for nothing."""

    def __init__(self) -> None:
        self.asked: set[Purpose] = set()

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        self.asked.add(Purpose(epoch, method, domain))
        return bytes(32)


def needed(policy: Policy, known: Mapping[str, type[Method]] = METHODS) -> frozenset[Purpose]:
    """All keys that whoever masks under this policy asks for: its engine's, and those that keep its subjects' keys.

    Raises `PolicyError` when the policy can't be carried out.
    """
    keys = _Noting()
    Engine(policy, keys, known)
    for method, domain, epoch in subjects.derivations(policy):
        keys.derive(method, domain, epoch)
    return frozenset(keys.asked)


def bundle(ring: Keyring, purposes: Iterable[Purpose]) -> Keyring:
    """A keyring of just those keys. Raises `KeyringError` when `ring` lacks one."""
    ids = ring.ids()
    return Keyring.of(
        DerivedKeys(
            ids.get(epoch, ""),
            epoch,
            {(each.method, each.domain): ring.derive(each.method, each.domain, epoch) for each in group},
        )
        for epoch, group in groupby(sorted(purposes), lambda purpose: purpose.epoch)
    )
