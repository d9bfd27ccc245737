"""Checkpoints of the audit: where each of its chains ended at one time, in a signed note.

Whoever keeps a copy outside the database notices when a chain is cut or made again, however well that is done. The text of the
note is a checkpoint as https://c2sp.org/tlog-checkpoint defines it:

1. the origin, a name for this audit, which is also the name of the key that signs it;
2. the number of chains;
3. the root of the Merkle tree (`cdc_masker.merkle`) over the lines that follow, in base64;
4. a line for each chain, in the order of generation, topic, partition and incarnation: a JSON array of these four, the last
   offset that the chain covers, and the hash of its last entry. Names of any kind fit in, since JSON escapes line breaks.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cdc_masker import merkle, signednotes
from cdc_masker.signednotes import BadNote

__all__ = ["Chain", "Head", "Heads", "Kept", "read", "text", "write"]


class Chain(NamedTuple):
    """What entries are chained by."""

    generation: int
    topic: str
    partition: int
    incarnation: str


class Head(NamedTuple):
    """How far a chain covers its log, and the hash of its last entry."""

    last_offset: int
    hash: str


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of all chains of one audit, by chain."""

    origin: str
    by_chain: Mapping[Chain, Head]


class Kept(NamedTuple):
    """A checkpoint that somebody kept: the note, whose signature was checked, and the heads in it."""

    note: bytes
    heads: Heads


def text(heads: Heads) -> str:
    """What is signed. Raises `ValueError` when the origin can't be the name of a key."""
    if not signednotes.can_be_key_name(heads.origin):
        raise ValueError("an origin is not empty, and has no spaces, control characters or plus")
    lines = [_line(chain, heads.by_chain[chain]) for chain in sorted(heads.by_chain)]
    root = merkle.root([merkle.leaf_hash(line.encode()) for line in lines])
    return "".join(f"{line}\n" for line in (heads.origin, str(len(lines)), b64encode(root).decode(), *lines))


def write(heads: Heads, key: bytes, signature: bytes) -> bytes:
    """The note. `key` is the public key, 32 bytes, and `signature` that of the UTF-8 bytes of `text(heads)`."""
    return signednotes.sign(text(heads), heads.origin, key, signature)


def read(note: bytes, keys: Iterable[bytes]) -> Heads:
    """The inverse of `write`, if one of these public keys (32 bytes each) signed the note. Raises `BadNote`."""
    taken = signednotes.split(note)
    origin = taken.text.partition("\n")[0]
    signednotes.check(taken, origin, keys)
    try:
        lines = [_lines.decode(line) for line in taken.text[:-1].split("\n")[3:]]
    except msgspec.DecodeError:
        raise BadNote("the note is signed, but it is no checkpoint of an audit") from None
    heads = Heads(origin, {Chain(*line[:4]): Head(*line[4:]) for line in lines})
    if taken.text != text(heads):  # another number, root, order or spelling
        raise BadNote("the note is signed, but it is no checkpoint of an audit")
    return heads


def _line(chain: Chain, head: Head) -> str:
    return msgspec.json.encode((*chain, *head)).decode()


_lines = msgspec.json.Decoder(tuple[int, str, int, str, int, str])
