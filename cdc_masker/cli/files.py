"""Input and output of commands that filter lines: files, or `-` for standard input and output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cdc_masker.errors import SetupError

__all__ = ["read_bytes", "reading", "writing"]


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to read. Raises `SetupError` when it can't be."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise SetupError(f"{path} can't be read ({error.strerror})") from None
    with file:
        yield file


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write, or the standard output. Raises `SetupError` when it can't be, or is full before the end."""
    try:
        if str(path) == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with path.open("wb") as file:
                yield file
    except BrokenPipeError:
        raise  # whoever reads has enough
    except OSError as error:
        raise SetupError(f"{path} can't be written ({error.strerror})") from None


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises `SetupError` when it can't be read."""
    with reading(path) as file:
        return file.read()
