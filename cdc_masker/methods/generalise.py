"""Methods that put a coarser number in the place of a number, the same one for all numbers around it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Annotated, ClassVar, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Compute, Disclosure, Keys, Method, Misfit, Transform, Unmaskable
from cdc_masker.methods.numbers import EXACT, NUMERIC, Change, decimals, rewriting
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Age", "Bucket", "Finite", "Positive", "Round", "exact"]

Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
"""A number as a parameter: of the digits that the policy shows (`exact`)."""

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e300)]


def exact(number: float) -> Decimal:
    """The number that the policy writes, not the nearest one with a finite binary fraction."""
    return Decimal(repr(number)).normalize()


class _Coarse(Method, frozen=True):
    kinds: ClassVar[frozenset[Kind]] = NUMERIC | {Kind.TEXT}
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.MAGNITUDE))

    def compile(self, column: Column, keys: Keys) -> Transform:
        rewrite, change = rewriting(column.type), self.change()
        return Compute(lambda value: rewrite(value, change), column.type, may_return_input=True)

    def change(self) -> Change:
        raise NotImplementedError


class Bucket(_Coarse, frozen=True):
    """The lower bound of the bucket of `size` in which a number lies; one below `min` or above `max` counts as that.

    Buckets begin at `offset` and at every multiple of `size` from there.
    """

    name: ClassVar[str] = "bucket"
    size: Positive
    offset: Finite = 0.0
    min: Finite | None = None
    max: Finite | None = None

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise PolicyError(place, "params.min has to be below params.max")

    def shows_no_more_than(self, other: Self) -> bool:
        aligned = (self.offset, self.min, self.max) == (other.offset, other.min, other.max)
        return aligned and not EXACT.remainder(exact(self.size), exact(other.size))

    def change(self) -> Change:
        size, offset = exact(self.size), exact(self.offset)
        least = None if self.min is None else exact(self.min)
        greatest = None if self.max is None else exact(self.max)
        used = (number for number in (size, offset, least, greatest) if number is not None)
        last = Decimal(1).scaleb(-max(0, *map(decimals, used)))

        def bound(number: Decimal) -> Decimal:
            if least is not None and number < least:
                number = least
            if greatest is not None and number > greatest:
                number = greatest
            rest = EXACT.remainder(EXACT.subtract(number, offset), size)
            lower = EXACT.subtract(number, rest)
            return (EXACT.subtract(lower, size) if rest < 0 else lower).quantize(last, context=EXACT)

        return bound


class Round(_Coarse, frozen=True):
    """The number rounded to `digits` after the point, ties to even; to tens with -1, to hundreds with -2, and so on."""

    name: ClassVar[str] = "round"
    digits: Annotated[int, msgspec.Meta(ge=-30, le=30)]

    def shows_no_more_than(self, other: Self) -> bool:
        return self.digits <= other.digits

    def change(self) -> Change:
        digits, step = self.digits, Decimal(1).scaleb(-self.digits)

        def rounded(number: Decimal) -> Decimal:
            return number.quantize(step, ROUND_HALF_EVEN, EXACT) if decimals(number) > digits else number

        return rounded


class Age(_Coarse, frozen=True):
    """An age in whole years, where all above `pooled_above`, which is 89 at most, are one year more than that."""

    name: ClassVar[str] = "age"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART, Disclosure.MAGNITUDE))
    pooled_above: Annotated[int, msgspec.Meta(ge=0, le=89)] = 89

    def shows_no_more_than(self, other: Self) -> bool:
        return self.pooled_above <= other.pooled_above

    def change(self) -> Change:
        last, pool = self.pooled_above, Decimal(self.pooled_above + 1)

        def pooled(age: Decimal) -> Decimal:
            if age < 0:
                raise Unmaskable(Misfit.RANGE)
            years = age.to_integral_value(ROUND_FLOOR)
            return years if years <= last else pool

        return pooled
