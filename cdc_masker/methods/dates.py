"""Methods that cut a date or timestamp down to when its year, month or day began, on the clock that it was written by."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Self

import msgspec

from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Compute, Disclosure, Keys, Method, Transform
from cdc_masker.methods.times import Change, day_of, rewriting, start_of

__all__ = ["Date", "Month", "Year"]


class _Cut(Method, frozen=True):
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.DATE, Kind.TIMESTAMP, Kind.TEXT))
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    needs_type: ClassVar[bool] = True
    with_clock: ClassVar[bool] = False

    def compile(self, column: Column, keys: Keys) -> Transform:
        rewrite, change = rewriting(column.type, with_clock=self.with_clock), self.change()
        return Compute(lambda value: rewrite(value, change), column.type, may_return_input=True)

    def change(self) -> Change:
        raise NotImplementedError


class Year(_Cut, frozen=True):
    """The first of January of the year; years before `earliest` become that one, as those of the very old should."""

    name: ClassVar[str] = "year"
    earliest: Annotated[int, msgspec.Meta(ge=1, le=9999)] | None = None

    def shows_no_more_than(self, other: Self) -> bool:
        return other.earliest is None or (self.earliest is not None and self.earliest >= other.earliest)

    def change(self) -> Change:
        earliest = self.earliest or 1
        return lambda moment: start_of(date(max(day_of(moment).year, earliest), 1, 1))


class Month(_Cut, frozen=True):
    """The first day of the month."""

    name: ClassVar[str] = "month"

    def change(self) -> Change:
        return lambda moment: start_of(day_of(moment).replace(day=1))


class Date(_Cut, frozen=True):
    """The day of a timestamp, at midnight."""

    name: ClassVar[str] = "date"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TIMESTAMP, Kind.TEXT))
    with_clock: ClassVar[bool] = True

    def change(self) -> Change:
        return lambda moment: start_of(day_of(moment))
