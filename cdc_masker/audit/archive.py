"""Files of entries that retention took out of the catalog, and read where each chain's entries stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path

from cdc_masker.audit.findings import Code, Finding, Report
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import decode_entry
from cdc_masker.exports import BadExport, decode_manifest, read
from cdc_masker.heads import Chain
from cdc_masker.ports import Unreadable

__all__ = ["Archive", "together"]


class Archive:
    """The exports in a directory. Each is read once to see that it is whole; one that is not is a finding, and left out."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._starts: dict[Chain, list[tuple[int, Path, int]]] = defaultdict(list)
        self.successors: dict[Chain, str] = {}
        manifests = sorted(directory.glob("*.json"))
        if not manifests:
            raise SetupError(f"{directory} holds no manifest of an export; `cdc-masker audit retire` writes them")
        for manifest in manifests:
            try:
                self._take(manifest)
            except BadExport as error:
                report.add(Finding(Code.UNREADABLE, None, manifest.name, "", 0, None, f"the export: {error}"))
            except OSError as error:
                raise SetupError(f"the export of {manifest} can't be read ({error.strerror})") from None

    def chains(self) -> list[Chain]:
        return list(self._starts)

    def entries(self, chain: Chain) -> Iterator[AuditEntry]:
        """The chain's entries in all files, in the order of offsets."""
        parts = [_stretch(file, at, chain) for _, file, at in self._starts.get(chain, ())]
        return merge(*parts, key=lambda entry: entry.first_offset)

    def covering(self, generation: int, topic: str, partition: int, offset: int) -> dict[Chain, int]:
        """The chains of which an entry here covers that offset, and the first offset of that entry."""
        return {
            chain: entry.first_offset
            for chain in self._starts
            if chain[:3] == (generation, topic, partition)
            for entry in self.entries(chain)
            if entry.first_offset <= offset <= entry.last_offset
        }

    def _take(self, path: Path) -> None:
        manifest = decode_manifest(path.read_bytes())
        file = path.with_name(Path(manifest.file).name)
        starts: dict[Chain, tuple[int, int]] = {}
        successors: dict[Chain, str] = {}
        with file.open("rb") as lines:
            positions: list[int] = [0]

            def told() -> Iterator[bytes]:
                for line in lines:
                    yield line
                    positions[0] += len(line)

            for entry in read(manifest, told()):
                chain = Chain(entry.generation, entry.topic, entry.partition, entry.incarnation)
                starts.setdefault(chain, (entry.first_offset, positions[0]))
                if entry.accepted is not None and entry.accepted.incarnation is not None:
                    successors[chain] = entry.accepted.incarnation
        for chain, (first, at) in starts.items():
            self._starts[chain].append((first, file, at))
        self.successors |= successors


def together(exported: Iterable[AuditEntry], stored: Iterable[AuditEntry | Unreadable]) -> Iterator[AuditEntry | Unreadable]:
    """The entries of one chain that were exported and those that are stored, in the order of offsets, each once: what was taken
    out may have come back, or been taken out twice.
    """
    both = merge(exported, stored, key=lambda each: each.offset if isinstance(each, Unreadable) else each.first_offset)
    return (each for each, _ in groupby(both))


def _stretch(file: Path, at: int, chain: Chain) -> Iterator[AuditEntry]:
    with file.open("rb") as lines:
        lines.seek(at)
        for line in lines:
            entry = decode_entry(line)
            if Chain(entry.generation, entry.topic, entry.partition, entry.incarnation) != chain:
                return
            yield entry
