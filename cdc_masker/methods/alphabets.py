"""Alphabets for format-preserving encryption: the characters that are encrypted, each a numeral.

What stands between them keeps its place and is shown, so only what separates may: punctuation, spaces and the signs of
arithmetic and money. A letter, digit or anything else that is not in the alphabet has no place in the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits

from cdc_masker.methods.base import Misfit, Unmaskable

__all__ = ["ALPHABETS", "Alphabet"]


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Distinct characters in the order of their numerals."""

    characters: str
    _numerals: dict[str, int]

    @classmethod
    def of(cls, characters: str) -> Alphabet:
        return cls(characters, {character: numeral for numeral, character in enumerate(characters)})

    @property
    def radix(self) -> int:
        return len(self.characters)

    def read(self, text: str) -> list[int]:
        """The numerals of a text. Raises `Unmaskable` where something in it is neither in the alphabet nor separates."""
        numerals = self._numerals
        found = [numerals[character] for character in text if character in numerals]
        if len(found) < len(text) and not all(each in numerals or _separates(each) for each in text):
            raise Unmaskable(Misfit.FORMAT)
        return found

    def write(self, text: str, numerals: Sequence[int]) -> str:
        """The text with these numerals in place of its own."""
        written = map(self.characters.__getitem__, numerals)
        if len(numerals) == len(text):
            return "".join(written)
        return "".join(next(written) if each in self._numerals else each for each in text)


def _separates(character: str) -> bool:
    return unicodedata.category(character) in _SEPARATING


_SEPARATING = frozenset(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Zs", "Sm", "Sc"))


def _named(pairs: Iterable[tuple[str, str]]) -> dict[str, Alphabet]:
    return {name: Alphabet.of(characters) for name, characters in pairs}


ALPHABETS = _named(
    (
        ("digits", digits),
        ("lower", ascii_lowercase),
        ("upper", ascii_uppercase),
        ("letters", ascii_uppercase + ascii_lowercase),
        ("lower_alphanumeric", digits + ascii_lowercase),
        ("upper_alphanumeric", digits + ascii_uppercase),
        ("alphanumeric", digits + ascii_uppercase + ascii_lowercase),
    )
)
