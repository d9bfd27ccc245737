"""What finds personal data in a free text: the port, and the registry from which rules name detectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

__all__ = ["DETECTORS", "Detector", "Span"]


class Span(NamedTuple):
    """Characters `start` to `end` (not included) of a text, and what they are: a word for a label, such as EMAIL."""

    start: int
    end: int
    label: str


class Detector(Protocol):
    """A pure function of a text. It has no randomness and no clock, so that a replay finds the same."""

    def find(self, text: str) -> Iterable[Span]:
        """The spans found, in any order; they may overlap. A label never holds anything of the text."""
        ...


DETECTORS: Mapping[str, Detector] = {}
"""By the name that rules use."""
