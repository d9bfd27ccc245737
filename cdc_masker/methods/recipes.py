"""Computations as data, so that a compiled core can do them without calling the method's function.

What always holds: a recipe says what the function of its `Compute` does with JSON texts of ordinary form: strings of ASCII
characters without escapes, and integers of 64 bits that are written as short as can be. Whoever follows a recipe calls the
function for all other values, and for those that the recipe says nothing about. The function is what counts; the tests hold
recipes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CardEnds", "Ends", "Hashed", "Permuted", "Recipe", "Start", "Tokens"]


@dataclass(frozen=True, slots=True)
class Hashed:
    """The first half of HMAC-SHA-256 over `head` and the value: as 32 hex digits, or as a uuid of version 8.

    Over the value's text, over that text `folded` to lower case, or over the 16 bytes of the uuid that it writes.
    """

    form: Literal["text", "folded", "uuid"]
    key: bytes = field(repr=False)
    head: bytes


@dataclass(frozen=True, slots=True)
class Permuted:
    """FF1 over integers of `bits` bits, 32 or 64, in two's complement: what an integer outside of them is, is not said."""

    key: bytes = field(repr=False)
    tweak: bytes
    bits: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """What becomes of strings, and of integers; None: that is not said."""

    of_string: Hashed | None
    of_integer: Hashed | Permuted | None


@dataclass(frozen=True, slots=True)
class Ends:
    """Of a string the `first` and the `last` characters, and `mark` for each one between; if there is none, for each one."""

    first: int
    last: int
    mark: str


@dataclass(frozen=True, slots=True)
class Start:
    """Of a string the first `length` characters."""

    length: int


@dataclass(frozen=True, slots=True)
class CardEnds:
    """Of a card number in a string the first and last digits, and `mark` for each one between, as `methods.card` says."""

    first: int
    last: int
    mark: str


Recipe = Tokens | Ends | Start | CardEnds
