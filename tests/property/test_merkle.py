"""The tree is RFC 6962's, and a path proves a leaf and no other."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.merkle import leaf_hash, path, root

LEAVES = st.lists(st.binary(max_size=8), min_size=1, max_size=70).map(lambda texts: [leaf_hash(text) for text in texts])


def as_written(leaves: list[bytes]) -> bytes:
    """The hash of a tree, as section 2.1 puts it: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + as_written(leaves[:half]) + as_written(leaves[half:])).digest()


def root_by_path(leaf: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes | None:
    """The root of the tree with `size` leaves that has this hash of a leaf at `index`; None if the path does not fit there."""
    if not 0 <= index < size:
        return None
    node, last, hashes = leaf, size - 1, iter(siblings)
    while last:
        if index & 1 or index < last:
            sibling = next(hashes, None)
            if sibling is None:
                return None
            node = sha256(b"\x01" + sibling + node).digest() if index & 1 else sha256(b"\x01" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    return node if next(hashes, None) is None else None


def test_the_tree_without_leaves() -> None:
    assert root([]) == sha256(b"").digest()


@given(LEAVES)
def test_the_root_is_that_of_the_rfc(leaves: list[bytes]) -> None:
    assert root(leaves) == as_written(leaves)


@given(LEAVES)
def test_a_path_leads_from_each_leaf_to_the_root(leaves: list[bytes]) -> None:
    for index, leaf in enumerate(leaves):
        assert root_by_path(leaf, index, len(leaves), path(leaves, index)) == root(leaves)


@given(LEAVES, st.data())
def test_a_path_proves_no_other_leaf_and_no_other_place(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    hashes = path(leaves, index)
    assert root_by_path(leaf_hash(b"another leaf"), index, len(leaves), hashes) != root(leaves)
    assert root_by_path(leaves[index], index, len(leaves), [*hashes, leaves[0]]) is None
    assert root_by_path(leaves[index], index, len(leaves), hashes[1:]) is None or not hashes
    assert root_by_path(leaves[index], len(leaves), len(leaves), hashes) is None
