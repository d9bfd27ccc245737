"""Card numbers, shown as the card industry allows it: the ends, and enough of the middle hidden.

The limits are those of PCI DSS for truncated numbers: at most the first six and the last four digits, and at least four hidden
ones of sixteen, five of fifteen or fewer. A check digit is not asked for: a mistyped number is as telling as a right one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.methods.base import Disclosure, Misfit, Unmaskable
from cdc_masker.methods.recipes import CardEnds, Recipe
from cdc_masker.methods.texts import DigitMask, TextMethod
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Card"]

_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18} *")  # char(n) pads with blanks
_SEPARATORS = " -"
_LAST_AND_HIDDEN = 4 + 5  # what a short number leaves for the first digits is the rest


class Card(TextMethod, frozen=True):
    """The first `first` (at most 6) and last `last` (at most 4) digits of a card number, and `mask` for each one between.

    Numbers have 12 to 19 digits; blanks and hyphens between them stay. Of fewer than 15 digits fewer first ones are shown.
    """

    name: ClassVar[str] = "card"
    length_preserving: ClassVar[bool] = True
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(
        (Disclosure.NULLS, Disclosure.LENGTH, Disclosure.FORMAT, Disclosure.PART)
    )
    first: Annotated[int, msgspec.Meta(ge=0, le=6)] = 6
    last: Annotated[int, msgspec.Meta(ge=0, le=4)] = 4
    mask: DigitMask = "*"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if self.first + self.last == 0:
            raise PolicyError(place, "method card needs params.first or params.last; to hide all, use redact or fixed")
        super().check(place, declared, domains)

    def shows_no_more_than(self, other: Self) -> bool:
        return self.first <= other.first and self.last <= other.last

    def masking(self) -> Callable[[str], str]:
        first, last, mask, is_number = self.first, self.last, self.mask, _NUMBER.fullmatch

        def masked(text: str) -> str:
            if not is_number(text):
                raise Unmaskable(Misfit.FORMAT)
            digits = len(text) - text.count(" ") - text.count("-")
            start, end = min(first, digits - _LAST_AND_HIDDEN), digits - last
            written, seen = [], 0
            for character in text:
                if character in _SEPARATORS:
                    written.append(character)
                else:
                    written.append(mask if start <= seen < end else character)
                    seen += 1
            return "".join(written)

        return masked

    def recipe(self) -> Recipe:
        return CardEnds(self.first, self.last, self.mask)
