"""The entries that retention takes out of the catalog: a file of them for each month, and a manifest beside it.

The file has a line for each entry: its bytes as they stand in the audit topic (`cdc_masker.evidence.encode_entry`), so hashes
recompute. The lines of a chain stand one after another in the order of offsets. The manifest, which the receipt in the catalog
holds, too, has the SHA-256 of the file and each *run*: a stretch of a chain without a hole, with the hashes by which it joins
what came before and what follows. So a run stands for its entries even where the file is lost. Most chains have one run a
month; more where the clocks of workers differ around its ends.

What always holds: what is written, and what was read to its end, is chained within each run, and is what the manifest says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

import msgspec

from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import decode_entry, encode_entry, entry_hash
from cdc_masker.heads import Chain

__all__ = ["BadExport", "Exporter", "Manifest", "Run", "decode_manifest", "encode_manifest", "file_name", "read"]


class BadExport(CdcMaskerError):
    """Entries, or a manifest, that are not as they were exported, or don't form a chain. `place` names the entry or line."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stretch of a chain: from `first_offset` to `last_offset`, both included, in so many entries.

    `previous` is the hash of the entry before the first one, empty where the chain begins; `head` that of the last one.
    """

    generation: int
    topic: str
    partition: int
    incarnation: str
    first_offset: int
    last_offset: int
    previous: str
    head: str
    entries: int

    @property
    def chain(self) -> Chain:
        return Chain(self.generation, self.topic, self.partition, self.incarnation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was exported of one month (`YYYY-MM`, UTC, by `masked_at`) to which file; `sha256` is that of its bytes, in hex.

    The first export of a month has number 1; another one holds what came into the catalog later.
    """

    format: Literal["cdc-masker audit export 1"] = "cdc-masker audit export 1"
    month: str
    number: int
    file: str
    sha256: str
    entries: int
    runs: tuple[Run, ...]


def file_name(month: str, number: int) -> str:
    """The name of the file of entries; its manifest's ends with `.json` instead."""
    return f"audit-{month}.jsonl" if number == 1 else f"audit-{month}.{number}.jsonl"


class Exporter:
    """Makes lines of entries, and the manifest of all lines it made."""

    def __init__(self, month: str, number: int = 1) -> None:
        self._month = month
        self._number = number
        self._digest = sha256()
        self._runs: list[Run] = []

    def line(self, entry: AuditEntry) -> bytes:
        """The line of one entry. Those of a chain come one after another, in the order of offsets.

        Raises `BadExport` where it does not follow the entry before.
        """
        encoded = encode_entry(entry)
        run = Run(
            generation=entry.generation,
            topic=entry.topic,
            partition=entry.partition,
            incarnation=entry.incarnation,
            first_offset=entry.first_offset,
            last_offset=entry.last_offset,
            previous=entry.previous,
            head=entry_hash(encoded),
            entries=1,
        )
        last = self._runs[-1] if self._runs else None
        if last is None or last.chain != run.chain or run.first_offset > last.last_offset + 1:
            self._runs.append(run)
        elif run.first_offset <= last.last_offset:
            raise BadExport(place_of(entry), "it covers offsets that the entry before it covers, too")
        elif run.previous != last.head:
            raise BadExport(place_of(entry), "it does not name the hash of the entry before it")
        else:
            self._runs[-1] = replace(last, last_offset=run.last_offset, head=run.head, entries=last.entries + 1)
        line = encoded + b"\n"
        self._digest.update(line)
        return line

    def manifest(self) -> Manifest:
        return Manifest(
            month=self._month,
            number=self._number,
            file=file_name(self._month, self._number),
            sha256=self._digest.hexdigest(),
            entries=sum(run.entries for run in self._runs),
            runs=tuple(self._runs),
        )


def read(manifest: Manifest, lines: Iterable[bytes]) -> Iterator[AuditEntry]:
    """The entries of an exported file, from its lines. Read to the end: whether the file is whole, only the end tells.

    Raises `BadExport` at the first line that is none, breaks a chain or is not as it was written, and at the end where the
    whole is not what the manifest says.
    """
    again = Exporter(manifest.month, manifest.number)
    for number, line in enumerate(lines, 1):
        place = f"{manifest.file} line {number}"
        try:
            entry = decode_entry(line)
        except msgspec.DecodeError:
            raise BadExport(place, "it is no audit entry") from None
        if again.line(entry) != line:
            raise BadExport(place, "it is not written as entries are")
        yield entry
    if again.manifest() != manifest:
        raise BadExport(manifest.file, "it does not hold what its manifest says")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, one line."""
    return msgspec.json.encode(manifest) + b"\n"


def decode_manifest(text: bytes) -> Manifest:
    """The inverse of `encode_manifest`, for the detail of a receipt, too. Raises `BadExport` for anything else."""
    try:
        return _manifest.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadExport("manifest", "it is not one of cdc-masker's exports") from None


def place_of(entry: AuditEntry) -> str:
    """The entry, for people."""
    return (
        f"entry of {entry.topic}/{entry.partition} from offset {entry.first_offset} "
        f"(generation {entry.generation}, incarnation {entry.incarnation})"
    )


_manifest = msgspec.json.Decoder(Manifest)
