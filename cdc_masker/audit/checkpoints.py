"""Checkpoints of the audit that somebody kept, out of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cdc_masker import heads
from cdc_masker.errors import SetupError
from cdc_masker.heads import Heads, Kept
from cdc_masker.signednotes import BadNote

__all__ = ["kept", "newest"]

_NOTE = re.compile(rb"(?:(?!\n\n).)*\n\n(?:\xe2\x80\x94 [^\n]*\n)+", re.DOTALL)  # the dash that begins a signature, in UTF-8


def kept(paths: Iterable[Path], keys: Sequence[bytes]) -> Iterator[tuple[str, Heads]]:
    """The heads that each note tells of, by what to call the note. A file holds one note, or several in a row; of a directory
    all files whose names end with `.note` are taken.

    Raises `SetupError` for a file that can't be read or holds a note that is none, or that no key of these signed.
    """
    for path in paths:
        for file in _files(path):
            for number, note in enumerate(_notes(file), 1):
                yield f"checkpoint {file.name}, note {number},", _heads(file, number, note, keys)


def newest(path: Path, keys: Sequence[bytes]) -> Kept:
    """The last note in a file, or in that file of a directory whose name comes last. Raises as `kept` does."""
    file = _files(path)[-1]
    found = _notes(file)
    return Kept(found[-1], _heads(file, len(found), found[-1], keys))


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.note")) if path.is_dir() else [path]
    if not files:
        raise SetupError(f"{path} holds no file whose name ends with .note")
    return files


def _heads(file: Path, number: int, note: bytes, keys: Sequence[bytes]) -> Heads:
    try:
        return heads.read(note, keys)
    except BadNote as error:
        raise SetupError(f"checkpoint {file}, note {number}: {error}") from None


def _notes(path: Path) -> list[bytes]:
    """The notes in a file, as they stand there."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SetupError(f"checkpoint {path} can't be read ({error.strerror})") from None
    found = _NOTE.findall(text)
    if b"".join(found) != text or not found:
        raise SetupError(f"checkpoint {path} does not hold signed notes, one after the other")
    return found
