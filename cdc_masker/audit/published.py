"""The entries in the audit topic, in little memory: of each where it is, where it begins and its hash."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from cdc_masker.audit.findings import Code, Finding, Report
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import decode_entry, encode_entry, entry_hash
from cdc_masker.heads import Chain

__all__ = ["Index", "Published"]

_HASH_BYTES = 32
_PREFIX = "sha256:"
_LARGEST = 1 << 63


class Published(NamedTuple):
    """An entry in the audit topic, which has it `at` that offset; `first_offset` is the first of its records.

    `follows`: it names the hash of the one before it in the topic, if there is one.
    """

    at: int
    first_offset: int
    hash: str
    follows: bool


class Index:
    """What the audit topic holds, by chain: some 50 bytes for each entry.

    `complete`: the topic still begins with its first entry. `settled`: what was there before this offset of the topic was
    there before committed offsets were looked at. `copied`: of what is before that offset, the rows were stored.
    """

    def __init__(self, topic: str, *, complete: bool = True, settled: int = 0, copied: int = 0) -> None:
        self.topic = topic
        self.complete = complete
        self.settled = settled
        self.copied = copied
        self._chains: dict[Chain, _Column] = {}

    def add(self, at: int, value: bytes | None, report: Report) -> None:
        """Takes the record at that offset of the topic. An entry that does not come after those of its chain is a finding."""
        try:
            entry = decode_entry(value or b"")
            if encode_entry(entry) != value or not 0 <= entry.first_offset < _LARGEST:
                raise msgspec.ValidationError
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = "this record of the audit topic is no entry as a worker writes it"
            report.add(Finding(Code.UNREADABLE, None, self.topic, "", 0, at, problem))
            return
        chain = Chain(entry.generation, entry.topic, entry.partition, entry.incarnation)
        column = self._chains.setdefault(chain, _Column())
        if column.first_offsets and entry.first_offset <= column.first_offsets[-1]:
            problem = f"its entry at offset {at} of the audit topic comes again, or after a later one"
            report.found(Code.ORDER, chain, entry.first_offset, problem)
            return
        column.add(at, entry, entry_hash(value or b""))

    def chains(self) -> list[Chain]:
        return list(self._chains)

    def of(self, chain: Chain) -> Iterator[Published]:
        """The chain's entries, in their order."""
        return iter(self._chains.get(chain, ()))


class _Column:
    def __init__(self) -> None:
        self.at = array("q")
        self.first_offsets = array("q")
        self._hashes = bytearray()
        self._follow = bytearray()
        self._last = ""

    def add(self, at: int, entry: AuditEntry, digest: str) -> None:
        self._follow.append(self._last in ("", entry.previous))
        self._last = digest
        self.at.append(at)
        self.first_offsets.append(entry.first_offset)
        self._hashes += bytes.fromhex(digest.removeprefix(_PREFIX))

    def __iter__(self) -> Iterator[Published]:
        for number, (at, first) in enumerate(zip(self.at, self.first_offsets, strict=True)):
            digest = self._hashes[number * _HASH_BYTES : (number + 1) * _HASH_BYTES]
            yield Published(at, first, f"{_PREFIX}{digest.hex()}", bool(self._follow[number]))
