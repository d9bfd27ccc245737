"""Whether the files of a replay are what their audit says, by the checks that `audit verify` makes of topics.

Where the capture is at hand, too: that each of its records is in one entry, and that masking it anew gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cdc_masker.audit.chains import Trail
from cdc_masker.audit.entries import Began, Catalogued, Version
from cdc_masker.audit.findings import Code, Finding, Report
from cdc_masker.audit.recomputing import Recomputer
from cdc_masker.audit.records import RawLog
from cdc_masker.audit.verifying import Copy, in_order, verify
from cdc_masker.captures import manifests
from cdc_masker.captures.manifests import CAPTURE, Manifest
from cdc_masker.captures.parted import Parted
from cdc_masker.captures.reading import LineError, Partition, partition_of
from cdc_masker.codecs.capture import decode_line
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry, Record, output_topic
from cdc_masker.evidence import decode_entry
from cdc_masker.exports import Run
from cdc_masker.heads import Chain, Head
from cdc_masker.methods import NO_SUBJECTS
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy

__all__ = ["check", "read_manifest"]


def read_manifest(directory: Path) -> tuple[Manifest, Policy]:
    """What a directory of files says of itself. Raises `SetupError` where there is none, and as `manifests.decode` does."""
    try:
        return manifests.decode((directory / manifests.MANIFEST).read_bytes())
    except OSError as error:
        problem = f"{directory / manifests.MANIFEST} can't be read ({error.strerror})"
        raise SetupError(f"{problem}; name a directory that `cdc-masker replay file` wrote") from None


def check(
    directory: Path,
    manifest: Manifest,
    policy: Policy,
    report: Report,
    *,
    raw: Path | None = None,
    masker: Masker | None = None,
    share: float = 1.0,
    seed: int = 0,
    tell: Callable[[Chain], None] = lambda chain: None,
) -> None:
    """Checks all of it and puts what it finds into the report. `raw` is the capture, of which a share is masked anew with
    `masker`.

    Raises `SetupError` where a file can't be read, and `LineError` for a line of `raw` that is none.
    """
    try:
        files = _Files(directory, manifest)
    except LineError as error:
        report.add(Finding(Code.UNREADABLE, None, str(directory), "", 0, error.line, str(error)))
        return
    capture = None if raw is None else Parted(raw, decode_line, partition_of)
    recompute = None if masker is None else Recomputer(lambda _: masker, lambda _: NO_SUBJECTS, share=share, seed=seed)
    catalogued = Catalogued(
        {policy.version: Version(policy.digest, policy.seal, policy.key_epoch)},
        {(where.topic, manifest.making.generation): Began(policy.key_epoch, policy.version) for where in files.partitions()},
    )
    for where in sorted({*files.partitions(), *(capture.parts if capture is not None else ())}):
        verify(files.copy(where, capture, report), catalogued, report, recompute=recompute, tell=tell)
    for summary in [each for each in report.summaries.values() if each.waiting]:
        problem = f"{summary.waiting:,} records of the capture from there on are in no entry"
        report.found(Code.UNCOVERED, summary.chain, None if summary.last_offset is None else summary.last_offset + 1, problem)
        summary.waiting = 0
    files.report_strays(report)


class _Files:
    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._making = manifest.making
        self._runs = {run.chain: run for run in manifest.chains}
        self._masked: Parted[Partition, Record] = Parted(directory / manifests.MASKED, decode_line, partition_of)
        self._entries: Parted[Chain, AuditEntry] = Parted(directory / manifests.AUDIT, decode_entry, _chain)

    def partitions(self) -> list[Partition]:
        """Those that the manifest or an entry tells of."""
        return sorted({Partition(chain.topic, chain.partition) for chain in (*self._runs, *self._entries.parts)})

    def copy(self, where: Partition, capture: Parted[Partition, Record] | None, report: Report) -> Copy:
        told = {*self._runs, *self._entries.parts}
        found = [chain for chain in told if (chain.topic, chain.partition) == where]
        chains = in_order(found, {}, CAPTURE, report) or [Chain(self._making.generation, *where, CAPTURE)]
        raw = None if capture is None else RawLog(capture.read(where), start=0)
        return Copy([self._trail(chain) for chain in chains], self._masked.read(self._output(where)), raw)

    def report_strays(self, report: Report) -> None:
        """Masked records of a partition that nothing tells of."""
        for topic, partition in sorted({*self._masked.parts} - {self._output(where) for where in self.partitions()}):
            chain = Chain(self._making.generation, topic, partition, CAPTURE)
            report.found(Code.EXTRA, chain, None, "the masked records are of no entry")

    def _output(self, where: Partition) -> Partition:
        return Partition(output_topic(self._making.output_prefix, where.topic, self._making.generation), where.partition)

    def _trail(self, chain: Chain) -> Trail:
        run = self._runs.get(chain)
        return Trail(chain, self._entries.read(chain), position=None if run is None else _end(run))


def _end(run: Run) -> Head:
    return Head(run.last_offset, run.head)


def _chain(entry: AuditEntry) -> Chain:
    return Chain(entry.generation, entry.topic, entry.partition, entry.incarnation)
