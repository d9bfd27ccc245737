"""A directory of files that comes about whole or not at all: under its name stands nothing until all of it is on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

from cdc_masker.errors import SetupError

__all__ = ["WholeFiles", "whole_files"]


class WholeFiles:
    """The files, open to write."""

    def __init__(self, part: Path, opened: ExitStack) -> None:
        self._part = part
        self._opened = opened
        self._files: list[BinaryIO] = []

    def add(self, name: str) -> BinaryIO:
        """Begins a file."""
        self._files.append(self._opened.enter_context((self._part / name).open("xb")))
        return self._files[-1]

    def settle(self) -> None:
        """Puts them on disk."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole_files(directory: Path) -> Iterator[WholeFiles]:
    """Makes the directory, which must not be there, at the end of the block; what is raised in it leaves nothing.

    A process that is killed leaves a hidden directory beside it. Raises `SetupError` where it can't be written, or is there.
    """
    if directory.exists():
        raise SetupError(f"{directory} is there already; name a directory that is not, so that nothing is written over")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        try:
            with ExitStack() as opened:
                files = WholeFiles(part, opened)
                yield files
                files.settle()
            _sync(part)
            part.rename(directory)
            _sync(directory.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise SetupError(f"{directory} can't be written ({error.strerror})") from None


def _sync(directory: Path) -> None:
    entries = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)
