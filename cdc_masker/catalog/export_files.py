"""Writes an export to disk: under its name stands only what is whole, and what is there already is not written over."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from cdc_masker.errors import SetupError
from cdc_masker.exports import Manifest, encode_manifest

__all__ = ["ExportFile"]


class ExportFile:
    """A file of lines, in a block: at its end it is gone unless it was kept. Methods raise `OSError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._part = directory / ".audit.part"

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = self._part.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, line: bytes) -> None:
        self._file.write(line)

    def keep(self, manifest: Manifest, note: bytes | None = None) -> None:
        """Puts it on disk for good, and beside it the note of a checkpoint and the manifest; the same file and manifest may be
        there from a run that was cut off, and then its note is kept.

        Raises `SetupError` where others are.
        """
        target = self._directory / manifest.file
        beside = target.with_suffix(".json")
        text = encode_manifest(manifest)
        if beside.exists() and beside.read_bytes() != text:
            raise SetupError(
                f"{beside} tells of another export; move it and its file away, or name another directory with --to"
            )
        self._put(target)
        noted = target.with_suffix(".note")
        if note is not None and not noted.exists():
            self._add(noted, note)
        self._add(beside, text)
        entries = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)

    def _add(self, target: Path, content: bytes) -> None:
        self._file = self._part.open("wb")
        self.write(content)
        self._put(target)

    def _put(self, target: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.rename(target)
