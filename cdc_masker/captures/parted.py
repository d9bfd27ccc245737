"""The lines of a file by what they are about: a look through all of it, and then one part after the other.

What always holds: memory does not grow with the file. A part is found again by spans of the file that hold its lines, and
others' between them; where there are many spans, neighbours become one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from cdc_masker.captures.reading import LineError
from cdc_masker.codecs.capture import CaptureError
from cdc_masker.errors import SetupError

__all__ = ["Parted"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_GAP_BYTES = 1 << 16
_MOST_SPANS = 100_000

_Span = list[int]  # where it begins, where it ends, and the number of its first line


class Parted(Generic[K, T]):
    """A file of lines, each of which `decode` reads and `key` knows the part of.

    Raises `SetupError` when it can't be read, and `LineError` for the first line that is none.
    """

    def __init__(self, path: Path, decode: Callable[[bytes], T], key: Callable[[T], K]) -> None:
        self._path = path
        self._decode = decode
        self._key = key
        self._gap = _GAP_BYTES
        self._spans: dict[K, list[_Span]] = {}
        self._count = 0
        for part, start, end, number, _ in self._lines([0, -1, 1]):
            self._add(part, start, end, number)

    @property
    def parts(self) -> Mapping[K, object]:
        """The parts that have a line."""
        return self._spans

    def read(self, part: K) -> Iterator[T]:
        """What the lines of a part say, in their order."""
        for span in self._spans.get(part, ()):
            for found, _, _, _, one in self._lines(span):
                if found == part:
                    yield one

    def _lines(self, span: _Span) -> Iterator[tuple[K, int, int, int, T]]:
        """Part, start, end, number and content of each line of a span; its end may be -1, which is the file's."""
        start, end, number = span
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                while (start < end or end < 0) and (line := file.readline()):
                    one = self._decoded(number, line)
                    yield self._key(one), start, start + len(line), number, one
                    start, number = start + len(line), number + 1
        except OSError as error:
            raise SetupError(f"{self._path} can't be read ({error.strerror})") from None

    def _decoded(self, number: int, line: bytes) -> T:
        try:
            return self._decode(line)
        except CaptureError as error:
            raise LineError(str(self._path), number, str(error)) from None
        except msgspec.DecodeError:
            raise LineError(str(self._path), number, "it is no audit entry") from None

    def _add(self, part: K, start: int, end: int, number: int) -> None:
        spans = self._spans.setdefault(part, [])
        if spans and start - spans[-1][1] <= self._gap:
            spans[-1][1] = end
            return
        spans.append([start, end, number])
        self._count += 1
        while self._count > max(_MOST_SPANS, 2 * len(self._spans)):
            self._gap *= 2
            self._spans = {each: _coarser(spans, self._gap) for each, spans in self._spans.items()}
            self._count = sum(map(len, self._spans.values()))


def _coarser(spans: list[_Span], gap: int) -> list[_Span]:
    found = spans[:1]
    for before, after in pairwise(spans):
        if after[0] - before[1] <= gap:
            found[-1][1] = after[1]
        else:
            found.append(after)
    return found
