"""Merkle trees as RFC 6962, section 2.1, defines them, over SHA-256.

A root stands for a sequence of leaves: whoever changes, adds, removes or moves one of them gets another root. An inclusion path
shows that a leaf is in the tree with some `log2(n)` hashes, without the other leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

__all__ = ["leaf_hash", "path", "root"]


_LEAF, _NODE = sha256(b"\x00"), sha256(b"\x01")
"""What hashes of leaves and of nodes begin with."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf, 32 bytes. No leaf hashes as a node does, so a node can't be passed off as a leaf."""
    state = _LEAF.copy()  # which costs less than to begin anew and to copy the data
    state.update(data)
    return state.digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves, 32 bytes; that of no leaves is the hash of nothing."""
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root, the lowest first."""
    found, level = [], list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):  # else the node has none, and stands a level higher as it is
            found.append(level[sibling])
        level, index = _above(level), index >> 1
    return found


def _above(level: list[bytes]) -> list[bytes]:
    """The next level: a node over each pair, and a single last one as it is, which is how RFC 6962 splits."""
    pairs = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + level[len(pairs) * 2 :]


def _node(left: bytes, right: bytes) -> bytes:
    state = _NODE.copy()
    state.update(left + right)
    return state.digest()
