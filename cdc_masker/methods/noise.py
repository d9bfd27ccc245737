"""`noise`: a number, date or time is moved by a distance that follows from where it stands (`methods.fresh.draws`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context as Arithmetic
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import numbers, times
from cdc_masker.methods.base import Column, Context, Contextual, Disclosure, Keys, Method, Misfit, Transform, Unmaskable
from cdc_masker.methods.fresh import Masking, draws
from cdc_masker.methods.generalise import Positive, exact
from cdc_masker.methods.numbers import EXACT, NUMERIC
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Noise"]

_STEPWISE = frozenset((Kind.SMALL_INTEGER, Kind.INTEGER, Kind.DATE))
_TEMPORAL = frozenset((Kind.DATE, Kind.TIME, Kind.TIMESTAMP))
_NOWHERE = Decimal(0)
_PARTS = 1 << 64
_TOLD = 12
"""So many digits of a distance come out: with as many as `_PARTS` has, they would tell which part was drawn, and the number."""
# Rounded to the last digit as the standard of decimal arithmetic says, the same on every machine: no libm promises that.
_ARITHMETIC = Arithmetic(prec=28)


class Noise(Method, frozen=True):
    """The number, moved at random by at most `bound`: days for a date, seconds for a time or timestamp.

    `uniform`: each distance is as likely; `laplace`: near ones are likelier, with a mean distance of about `scale`.
    """

    name: ClassVar[str] = "noise"
    kinds: ClassVar[frozenset[Kind]] = NUMERIC | _TEMPORAL | {Kind.TEXT}
    deterministic: ClassVar[bool] = False
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.MAGNITUDE))
    needs_type: ClassVar[bool] = True
    distribution: Literal["uniform", "laplace"]
    bound: Positive
    scale: Positive | None = None

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if (self.scale is not None) != (self.distribution == "laplace"):
            raise PolicyError(place, "params.scale is that of the laplace distribution, which needs it")
        if self.scale is not None and self.scale >= self.bound:
            raise PolicyError(place, "params.scale has to be below params.bound")
        if declared is not None and kind_of(declared) in _STEPWISE and self.bound < 1:
            raise PolicyError(place, "params.bound is less than one, so it would move nothing in a column of this type")

    def shows_no_more_than(self, other: Self) -> bool:
        alike = self.distribution == other.distribution
        return alike and self.bound >= other.bound and (self.scale or 0) >= (other.scale or 0)

    def compile(self, column: Column, keys: Keys) -> Transform:
        draw, type_ = draws(column, keys, self.name), column.type
        chance = _laplace(self.scale, self.bound) if self.scale is not None else _uniform(self.bound)
        bound = exact(self.bound)

        def shift(number: Decimal, context: Context, digits: int) -> Decimal:
            """Moved by chance, at most `bound` in either direction, and rounded to so many digits after the point."""
            step = Decimal(1).scaleb(-digits)
            found = EXACT.add(number, chance(draw(context))).quantize(step, context=EXACT)
            distance = EXACT.subtract(found, number)
            return found if abs(distance) <= bound else EXACT.subtract(found, step.copy_sign(distance))

        kind = None if type_ is None else kind_of(type_)
        if kind in _TEMPORAL:
            return Contextual(_moved_moments(type_, kind, shift), type_, may_return_input=True)
        return Contextual(_moved_numbers(type_, bound, shift), type_, may_return_input=True)


_Shift = Callable[[Decimal, Context, int], Decimal]


def _uniform(bound: float) -> Callable[[int], Decimal]:
    reach = exact(bound)

    def chance(draw: int) -> Decimal:
        part = _ARITHMETIC.divide(Decimal(2 * (draw % _PARTS) + 1 - _PARTS), Decimal(_PARTS))  # between -1 and 1
        return _ARITHMETIC.multiply(part, reach)

    return chance


def _laplace(scale: float, bound: float) -> Callable[[int], Decimal]:
    """By the inverse of the distribution function of what is left of the distribution within the bound."""
    mean = exact(scale)
    within = _ARITHMETIC.subtract(Decimal(1), _ARITHMETIC.exp(_ARITHMETIC.divide(-exact(bound), mean)))

    def chance(draw: int) -> Decimal:
        part = _ARITHMETIC.divide(Decimal(draw % _PARTS), Decimal(_PARTS))
        outside = _ARITHMETIC.subtract(Decimal(1), _ARITHMETIC.multiply(part, within))
        distance = _ARITHMETIC.multiply(mean, _ARITHMETIC.ln(outside))
        return distance if draw & _PARTS else -distance

    return chance


def _moved_numbers(type_: Type | None, bound: Decimal, shift: _Shift) -> Masking:
    rewrite, range_ = numbers.rewriting(type_), numbers.limits(type_)
    telling = max(0, 2 - bound.adjusted())  # so many digits after the point that the distance has three
    finest = _TOLD - 1 - bound.adjusted()
    drowned = _drowned(type_, bound)

    def move(value: Any, context: Context) -> Any:
        def moved(number: Decimal) -> Decimal:
            if abs(number) > drowned:
                raise Unmaskable(Misfit.RANGE)
            digits = numbers.scale(type_, max(numbers.decimals(number), telling))
            number = shift(number, context, min(digits, finest))
            return number if range_ is None else min(max(number, range_[0]), range_[1])

        return rewrite(value, moved)

    return move


def _drowned(type_: Type | None, bound: Decimal) -> Decimal:
    """Past this size a floating-point number has no digits left for distances within the bound: it would stay as it is."""
    if type_ is not None and kind_of(type_) is not Kind.FLOAT:
        return Decimal("Infinity")
    significand = 24 if type_ is not None and type_.base == "float" else 53  # bits, after IEEE 754
    return bound * (1 << (significand - 8))


def _moved_moments(type_: Type | None, kind: Kind | None, shift: _Shift) -> Masking:
    rewrite, (first, last) = times.rewriting(type_), times.limits(type_)
    unit, digits = (times.DAY, 0) if kind is Kind.DATE else (times.SECOND, 9)

    def move(value: Any, context: Context) -> Any:
        return rewrite(value, lambda moment: min(max(moment + int(shift(_NOWHERE, context, digits) * unit), first), last))

    return move
