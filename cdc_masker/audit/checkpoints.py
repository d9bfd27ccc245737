"""Checkpoints of the audit that somebody kept, out of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cdc_masker import heads
from cdc_masker.errors import SetupError
from cdc_masker.heads import Heads
from cdc_masker.signednotes import BadNote

__all__ = ["kept", "notes"]

_NOTE = re.compile(rb"(?:(?!\n\n).)*\n\n(?:\xe2\x80\x94 [^\n]*\n)+", re.DOTALL)  # the dash that begins a signature, in UTF-8


def kept(paths: Iterable[Path], keys: Sequence[bytes]) -> Iterator[tuple[str, Heads]]:
    """The heads that each note in these files tells of, by what to call the note. A file holds one note, or several in a row.

    Raises `SetupError` for a file that can't be read or holds a note that is none, or that no key of these signed.
    """
    for path in paths:
        for number, note in enumerate(notes(path), 1):
            try:
                yield f"note {number} of checkpoint {path.name}", heads.read(note, keys)
            except BadNote as error:
                raise SetupError(f"note {number} of checkpoint {path}: {error}") from None


def notes(path: Path) -> list[bytes]:
    """The notes in a file, as they stand there. Raises `SetupError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SetupError(f"checkpoint {path} can't be read ({error.strerror})") from None
    found = _NOTE.findall(text)
    if b"".join(found) != text or not found:
        raise SetupError(f"checkpoint {path} does not hold signed notes, one after the other")
    return found
