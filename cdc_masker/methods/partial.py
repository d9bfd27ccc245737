"""Methods that show a part of a text. Lengths are counted in Unicode code points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Compute, Disclosure, Keys, Method, Transform, Unmaskable, redaction
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Partial", "Truncate"]

Length = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class _Text(Method, frozen=True):
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT, Kind.ENUM))
    output: ClassVar[str] = "text"

    def compile(self, column: Column, keys: Keys) -> Transform:
        # Part of an enum's label is no label: the output of an enum is a plain string.
        return Compute(self._of_any, redaction(column.type).type, may_return_input=True)

    def _of_any(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        return self.of(value)

    def of(self, text: str) -> str:
        raise NotImplementedError


class Truncate(_Text, frozen=True):
    """The first `length` characters."""

    name: ClassVar[str] = "truncate"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    length: Length

    def shows_no_more_than(self, other: Self) -> bool:
        return self.length <= other.length

    def of(self, text: str) -> str:
        return text[: self.length]


class Partial(_Text, frozen=True):
    """The first `first` and the last `last` characters; each one between becomes `mask`.

    A text with nothing left to hide between them (of at most `first + last` characters) is hidden whole.
    """

    name: ClassVar[str] = "partial"
    length_preserving: ClassVar[bool] = True
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.LENGTH, Disclosure.PART))
    first: Length = 0
    last: Length = 0
    mask: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = "*"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if self.first + self.last == 0:
            raise PolicyError(place, "method partial needs params.first or params.last; to hide all, use redact or fixed")
        super().check(place, declared, domains)

    def shows_no_more_than(self, other: Self) -> bool:
        return self.first <= other.first and self.last <= other.last

    def of(self, text: str) -> str:
        hidden = len(text) - self.first - self.last
        if hidden <= 0:
            return self.mask * len(text)
        return text[: self.first] + self.mask * hidden + text[len(text) - self.last :]
