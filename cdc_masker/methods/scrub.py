"""`scrub`: what detectors find in a free text is replaced, the rest stays as it is.

Spans that overlap become one, of the label of the longest; of equally long ones, of the one that begins first, and then of the
detector that the rule names first. Spans that only touch stay apart. A span that is no part of the text redacts the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import (
    Column,
    Compute,
    Context,
    Contextual,
    Disclosure,
    Keys,
    Misfit,
    Transform,
    Unmaskable,
    redaction,
)
from cdc_masker.methods.detectors import DETECTORS, Detector, Span
from cdc_masker.methods.subjects import Keyed
from cdc_masker.methods.token import Tokenize
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Scrub"]

_TEXT = Type(base="string")


class Scrub(Keyed, frozen=True, kw_only=True):
    """Free text, with a label such as `[EMAIL]` for all that `detectors` find in it, or the token that `tokenize` gives it."""

    name: ClassVar[str] = "scrub"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(
        (Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.LENGTH, Disclosure.FORMAT, Disclosure.PART)
    )
    known: ClassVar[Mapping[str, Detector]] = DETECTORS
    detectors: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    by: Literal["label", "token"] = "label"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        for name in self.detectors:
            if name not in self.known:
                raise PolicyError(place, f"there is no detector {name!r}; there are {', '.join(self.known) or 'none'}")
        if self.by == "label" and self.domain is not None:
            raise PolicyError(place, "params.domain is that of tokens; with it, params.by is token")

    def shows_no_more_than(self, other: Self) -> bool:
        told = (self.by, self.domain, self.subject)
        return set(self.detectors) >= set(other.detectors) and (
            self.by == "label" or told == (other.by, other.domain, other.subject)
        )

    def compile(self, column: Column, keys: Keys) -> Transform:
        finders = [self.known[name].find for name in self.detectors]
        return Contextual(_scrubbing(finders, self._stand_in(column, keys)), redaction(column.type).type, may_return_input=True)

    def _stand_in(self, column: Column, keys: Keys) -> _StandIn:
        if self.by == "label":
            return lambda span, _, __: f"[{span.label}]"
        tokens = Tokenize(domain=self.domain, subject=self.subject).compile(replace(column, type=_TEXT), keys)
        if isinstance(tokens, Contextual):
            aware = tokens.function
            return lambda _, part, context: str(aware(part, context))
        assert isinstance(tokens, Compute)
        function = tokens.function
        return lambda _, part, __: str(function(part))


_StandIn = Callable[[Span, str, Context], str]
"""From a span and its part of the text to what stands in its place."""


def _scrubbing(finders: Sequence[Callable[[str], Iterable[Span]]], stand_in: _StandIn) -> Callable[[Any, Context], str]:
    def scrubbed(value: Any, context: Context) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        pieces, end = [], 0
        for span in _merged([span for find in finders for span in find(value)], len(value)):
            pieces += [value[end : span.start], stand_in(span, value[span.start : span.end], context)]
            end = span.end
        return "".join([*pieces, value[end:]])

    return scrubbed


def _merged(spans: list[Span], length: int) -> list[Span]:
    """The spans in order, apart from each other. Raises `Unmaskable` when one is not within a text of that length."""
    if not all(0 <= span.start < span.end <= length for span in spans):
        raise Unmaskable(Misfit.FORMAT)
    merged: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda each: (each.start, each.start - each.end)):
        size = span.end - span.start
        if not merged or span.start >= merged[-1].end:
            merged.append(span)
            longest = size
            continue
        last = merged[-1]
        label = span.label if size > longest else last.label
        merged[-1] = Span(last.start, max(last.end, span.end), label)
        longest = max(longest, size)
    return merged
