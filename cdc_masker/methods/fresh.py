"""`random`, and the draws of methods that leave it to chance.

A draw is HMAC-SHA-256 over the length-prefixed domain of the column and the position of the value (`Context.position`): 256
bits, the same on a replay. A choice among some numbers takes the remainder, which favours none of them by more than 2^-128.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated, Any, ClassVar, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import Column, Context, Contextual, Disclosure, Keys, Method, Transform, Unmaskable
from cdc_masker.methods.generalise import Finite, exact
from cdc_masker.methods.numbers import EXACT, NUMERIC, limits, rewriting, scale
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Draw", "Masking", "Random", "draws"]

_WHOLE = frozenset((Kind.SMALL_INTEGER, Kind.INTEGER))
_INT64, _DOUBLE = Type(base="int64"), Type(base="double")
_MOST = 1 << 128

Draw = Callable[[Context], int]
Masking = Callable[[Any, Context], Any]


def draws(column: Column, keys: Keys, purpose: str) -> Draw:
    """Draws of 256 bits for the values of a column."""
    space = column.space(None)
    name = space.name.encode()
    state = hmac.new(column.key(keys, purpose, space), len(name).to_bytes(4, "big") + name, "sha256")

    def draw(context: Context) -> int:
        copy = state.copy()
        copy.update(context.position())
        return int.from_bytes(copy.digest(), "big")

    return draw


class Random(Method, frozen=True):
    """A fresh value for each one: 32 hex digits for a text, a number from `min` to `max` with `digits` after the point.

    Integers that state no bound go to the end of their type; other numbers need both.
    """

    name: ClassVar[str] = "random"
    kinds: ClassVar[frozenset[Kind]] = NUMERIC | {Kind.TEXT, Kind.ENUM, Kind.UUID, Kind.BOOLEAN}
    output: ClassVar[str] = "the column's; of an enum a text"
    deterministic: ClassVar[bool] = False
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS,))
    min: Finite | None = None
    max: Finite | None = None
    digits: Annotated[int, msgspec.Meta(ge=0, le=30)] = 0

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise PolicyError(place, "params.min has to be below params.max")
        if declared is not None and kind_of(declared) in NUMERIC and not self.accepts(declared):
            raise PolicyError(
                place,
                "method random needs params.min and params.max that leave numbers of the column's type, and at most 2^128",
            )
        super().check(place, declared, domains)

    def accepts(self, type_: Type) -> bool:
        kind = kind_of(type_)
        return kind in self.kinds and (kind not in NUMERIC or self._choice(type_) is not None)

    def shows_no_more_than(self, other: Self) -> bool:
        return True

    def compile(self, column: Column, keys: Keys) -> Transform:
        draw, type_ = draws(column, keys, self.name), column.type
        if type_ is None:
            return Contextual(self._untyped(draw), None, may_return_input=True)
        match kind_of(type_):
            case Kind.TEXT | Kind.ENUM:
                return Contextual(_text(draw), type_.plain_text())
            case Kind.UUID:
                return Contextual(_uuid(draw), type_)
            case Kind.BOOLEAN:
                return Contextual(_boolean(draw), type_, may_return_input=True)
            case _:
                return Contextual(self._number(draw, type_), type_, may_return_input=True)

    def _untyped(self, draw: Draw) -> Masking:
        """Where no type is known, the JSON value itself tells."""
        by_type: dict[type, Masking] = {
            str: _text(draw),
            bool: _boolean(draw),
            int: self._number(draw, _INT64),
            float: self._number(draw, _DOUBLE),
        }
        return lambda value, context: by_type.get(type(value), _refuse)(value, context)

    def _number(self, draw: Draw, type_: Type) -> Masking:
        choice = self._choice(type_)
        if choice is None:
            return _refuse
        rewrite, (first, count, digits) = rewriting(type_), choice
        return lambda value, context: rewrite(value, lambda _: Decimal(first + draw(context) % count).scaleb(-digits, EXACT))

    def _choice(self, type_: Type) -> tuple[int, int, int] | None:
        """The first number and how many there are, counted in units of the last of so many digits after the point; None: there
        is none, or more than a draw chooses from.
        """
        range_, digits = limits(type_), scale(type_, self.digits)
        least, greatest = range_ if range_ is not None and kind_of(type_) in _WHOLE else (None, None)
        low = least if self.min is None else exact(self.min)
        high = greatest if self.max is None else exact(self.max)
        if low is None or high is None:
            return None
        if range_ is not None:
            low, high = max(low, range_[0]), min(high, range_[1])
        first = int(low.scaleb(digits, EXACT).to_integral_value(ROUND_CEILING))
        last = int(high.scaleb(digits, EXACT).to_integral_value(ROUND_FLOOR))
        return (first, last - first + 1, digits) if first <= last < first + _MOST else None


def _refuse(_value: Any, _context: Context) -> Any:
    raise Unmaskable


def _text(draw: Draw) -> Masking:
    def text(value: Any, context: Context) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        return f"{draw(context) >> 128:032x}"

    return text


def _uuid(draw: Draw) -> Masking:
    fixed, free = 0x8 << 76 | 0x2 << 62, ~(0xF << 76 | 0x3 << 62)  # version 8 and variant of RFC 9562

    def uuid(value: Any, context: Context) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        digits = f"{draw(context) >> 128 & free | fixed:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    return uuid


def _boolean(draw: Draw) -> Masking:
    def boolean(value: Any, context: Context) -> bool:
        if not isinstance(value, bool):
            raise Unmaskable
        return bool(draw(context) & 1)

    return boolean
