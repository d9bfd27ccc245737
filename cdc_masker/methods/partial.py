"""Methods that show an end of a text, whatever the text is. Lengths are counted in Unicode code points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Disclosure
from cdc_masker.methods.recipes import Ends, Recipe, Start
from cdc_masker.methods.texts import Mask, TextMethod
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Partial", "Truncate"]

Length = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Truncate(TextMethod, frozen=True):
    """The first `length` characters."""

    name: ClassVar[str] = "truncate"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT, Kind.ENUM))
    output: ClassVar[str] = "text"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    may_return_input: ClassVar[bool] = True
    length: Length

    def shows_no_more_than(self, other: Self) -> bool:
        return self.length <= other.length

    def masking(self) -> Callable[[str], str]:
        length = self.length
        return lambda text: text[:length]

    def recipe(self) -> Recipe:
        return Start(self.length)


class Partial(TextMethod, frozen=True):
    """The first `first` and the last `last` characters, and `mask` for each one between.

    A text with nothing left to hide between them (of at most `first + last` characters) is hidden whole.
    """

    name: ClassVar[str] = "partial"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT, Kind.ENUM))
    output: ClassVar[str] = "text"
    length_preserving: ClassVar[bool] = True
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.LENGTH, Disclosure.PART))
    may_return_input: ClassVar[bool] = True
    first: Length = 0
    last: Length = 0
    mask: Mask = "*"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if self.first + self.last == 0:
            raise PolicyError(place, "method partial needs params.first or params.last; to hide all, use redact or fixed")
        super().check(place, declared, domains)

    def shows_no_more_than(self, other: Self) -> bool:
        # With smaller ones, ends of texts are seen that were too short to show anything before.
        return (self.first, self.last) == (other.first, other.last)

    def masking(self) -> Callable[[str], str]:
        first, last, mask = self.first, self.last, self.mask

        def masked(text: str) -> str:
            hidden = len(text) - first - last
            if hidden <= 0:
                return mask * len(text)
            return text[:first] + mask * hidden + text[len(text) - last :]

        return masked

    def recipe(self) -> Recipe:
        return Ends(self.first, self.last, self.mask)
