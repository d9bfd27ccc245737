"""Finds many needles in a stream of bytes, in time that is linear in the stream.

An automaton (Aho-Corasick) knows the first bytes of each form; where they stand, the whole form is compared by a look into a
dictionary, once for each length that such a form can have. So the automaton stays small for long values.

What always holds: a match is found wherever the stream is cut into chunks; nothing found carries the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from cdc_masker.leaks.encodings import PLAIN, forms

__all__ = ["Found", "Searcher"]

_ANCHOR_BYTES = 12
_LOOK_ASIDE = 2  # bytes beside a match that decide whether it stands alone


@dataclass(frozen=True, slots=True)
class Found:
    """A needle that was found. `position` is in bytes from the start of the stream; `ambiguous`: what is kept holds it, too."""

    position: int
    encoding: str
    columns: tuple[str, ...]
    ambiguous: bool


@dataclass(frozen=True, slots=True)
class _Owner:
    needle: int
    encoding: str
    alone: bool


class Searcher:
    """Looks for these needles, given with their columns."""

    def __init__(self, needles: Mapping[bytes, tuple[str, ...]]) -> None:
        self._columns = list(needles.values())
        self._owners: dict[bytes, list[_Owner]] = {}
        for number, value in enumerate(needles):
            for form in forms(value):
                self._owners.setdefault(form.pattern, []).append(_Owner(number, form.encoding, form.alone))
        lengths: dict[bytes, set[int]] = {}
        for pattern in self._owners:
            lengths.setdefault(pattern[:_ANCHOR_BYTES], set()).add(len(pattern))
        self._lengths = [tuple(found) for found in lengths.values()]
        self._automaton = BytesAhoCorasick(lengths)
        self._margin = max(map(len, self._owners), default=0) + _LOOK_ASIDE
        self._ambiguous_needles: set[int] = set()
        self._ambiguous_patterns: set[bytes] = set()

    @property
    def patterns(self) -> int:
        """The number of different byte strings that are looked for."""
        return len(self._owners)

    def ambiguous(self) -> list[tuple[str, ...]]:
        """The columns of each needle that what is kept holds."""
        return [self._columns[needle] for needle in sorted(self._ambiguous_needles)]

    def learn(self, kept: bytes) -> None:
        """Takes note of what is rightly in the output: needles in it are ambiguous.

        One that stands there plainly is ambiguous in every encoding, else only the very bytes that stand there are.
        """
        for start, pattern in self._matches(kept):
            for owner in self._owners[pattern]:
                if _stands(kept, start, start + len(pattern), owner.alone):
                    self._ambiguous_patterns.add(pattern)
                    if owner.encoding in PLAIN:
                        self._ambiguous_needles.add(owner.needle)

    def find(self, chunks: Iterable[bytes]) -> Iterator[Found]:
        """Every needle in the stream that the chunks make up, in each of its encodings there."""
        carried, offset, settled = b"", 0, 0  # what is looked at again, its position, and the end of what was settled
        remaining = iter(chunks)
        chunk = next(remaining, None)
        while chunk is not None:
            following = next(remaining, None)
            window = carried + chunk
            limit = len(window) if following is None else len(window) - _LOOK_ASIDE
            for start, pattern in self._matches(window):
                end = start + len(pattern)
                if settled < offset + end <= offset + limit:
                    yield from self._found(window, start, end, offset)
            settled = max(settled, offset + limit)
            carried = window[-self._margin - _LOOK_ASIDE :]
            offset += len(window) - len(carried)
            chunk = following

    def _found(self, window: bytes, start: int, end: int, offset: int) -> Iterator[Found]:
        pattern = window[start:end]
        for owner in self._owners[pattern]:
            if _stands(window, start, end, owner.alone):
                ambiguous = owner.needle in self._ambiguous_needles or pattern in self._ambiguous_patterns
                yield Found(offset + start, owner.encoding, self._columns[owner.needle], ambiguous)

    def _matches(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        for anchor, start, _ in self._automaton.find_matches_as_indexes(text, overlapping=True):
            for length in self._lengths[anchor]:
                pattern = text[start : start + length]
                if len(pattern) == length and pattern in self._owners:
                    yield start, pattern


def _stands(text: bytes, start: int, end: int, alone: bool) -> bool:
    """Whether a form counts where it was found."""
    if not alone:
        return True
    escape = start > 1 and text[start - 2 : start] in _ESCAPES
    return (escape or not _is_word(text[start - 1 : start] if start else b"")) and not _is_word(text[end : end + 1])


_ESCAPES = (b"\\n", b"\\r", b"\\t", b"\\b", b"\\f")


def _is_word(byte: bytes) -> bool:
    return byte.isalnum() or byte >= b"\x80"
