"""Numbers in each of Debezium's representations, read exactly as `Decimal` and written back in the same one.

- Integers: JSON integers in the range of their type. Floats: JSON numbers, taken with the digits that JSON shows.
- Connect's decimal: a big-endian two's complement integer in base64, with the scale that the schema states; one of variable
  scale: the same in a struct that states it.
- Text: digits with a sign and a decimal point, as the connector writes numbers with `decimal.handling.mode=string`.
- No type: JSON numbers only; an integer stays one, and one past 64 bits is none.

What comes out is rounded to what the column can hold, ties to even. NaN, the infinities, numbers past the column's range and
those of more than 1,000 digits on a side of the point are `Unmaskable`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import Misfit, Unmaskable
from cdc_masker.schemas import Type

__all__ = ["EXACT", "NUMERIC", "Change", "Rewriting", "decimals", "limits", "rewriting", "scale"]

NUMERIC = frozenset((Kind.SMALL_INTEGER, Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL))
"""The kinds that are always numbers; text may hold one."""

_DIGITS = 1_000
EXACT = Context(prec=3 * _DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic that loses no digit of a number that can be read here."""

Change = Callable[[Decimal], Decimal]
Rewriting = Callable[[Any, Change], Any]
"""From a JSON value, and what to do with the number that it writes, to the JSON value that writes the new one."""

_INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_GREATEST = {"float": Decimal("3.4028234663852886e38"), "double": Decimal("1.7976931348623157e308")}  # of IEEE 754
_CHARACTERS = 2 * _DIGITS + 2
_NUMBER = re.compile(rf"-?[0-9]{{1,{_DIGITS}}}(?:\.[0-9]{{1,{_DIGITS}}})?")
_NO_NUMBERS = frozenset(
    ("NaN", "Infinity", "-Infinity", "NAN", "POSITIVE_INFINITY", "NEGATIVE_INFINITY")  # the latter: Debezium, as text
)


def rewriting(type_: Type | None) -> Rewriting:
    """The way to rewrite numbers of that type; of a type that holds none, each value is `Unmaskable`."""
    if type_ is None:
        return _untyped
    match kind_of(type_):
        case Kind.SMALL_INTEGER | Kind.INTEGER:
            return _integers(_INTEGER_BITS[type_.base])
        case Kind.FLOAT:
            return _floats(_GREATEST[type_.base])
        case Kind.DECIMAL if type_.base == "struct":
            return _variable_decimal
        case Kind.DECIMAL if (stated := _parameter(type_, "scale")) is not None:
            return _decimals(stated, limits(type_))
        case Kind.TEXT:
            return _text
        case _:
            return _nothing


def limits(type_: Type | None) -> tuple[Decimal, Decimal] | None:
    """The least and the greatest number that a column of that type holds; None where no such limit is known."""
    if type_ is None or kind_of(type_) not in NUMERIC:
        return None
    base = type_.base
    if base in _INTEGER_BITS:
        half = 1 << (_INTEGER_BITS[base] - 1)
        return Decimal(-half), Decimal(half - 1)
    if base in _GREATEST:
        return -_GREATEST[base], _GREATEST[base]
    precision = _parameter(type_, "connect.decimal.precision")
    if precision is None:
        return None
    greatest = Decimal(10**precision - 1).scaleb(-scale(type_, 0), EXACT)
    return -greatest, greatest


def scale(type_: Type | None, free: int) -> int:
    """How many digits after the point a column of that type has; `free` where each number has its own."""
    if type_ is not None and type_.base in _INTEGER_BITS:
        return 0
    stated = None if type_ is None else _parameter(type_, "scale")
    return free if stated is None else stated


def decimals(number: Decimal) -> int:
    """How many digits a finite number has after the point; below zero, how many zeros before it."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


def _parameter(type_: Type, name: str) -> int | None:
    """A parameter of the type; None where it is not stated, or is past what is read here."""
    text = dict(type_.parameters).get(name, "")
    number = int(text) if 0 < len(text) <= len(str(-_DIGITS)) else None
    return number if number is not None and abs(number) <= _DIGITS else None


def _whole(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_EVEN))


def _nothing(_value: Any, _change: Change) -> Any:
    raise Unmaskable


def _integers(bits: int) -> Rewriting:
    half = 1 << (bits - 1)

    def rewrite(value: Any, change: Change) -> int:
        if type(value) is not int:
            raise Unmaskable
        if not -half <= value < half:
            raise Unmaskable(Misfit.RANGE)
        number = _whole(change(Decimal(value)))
        if not -half <= number < half:
            raise Unmaskable(Misfit.RANGE)
        return number

    return rewrite


def _floats(greatest: Decimal) -> Rewriting:
    def rewrite(value: Any, change: Change) -> float:
        if type(value) not in (int, float):
            raise Unmaskable(Misfit.RANGE if isinstance(value, str) and value in _NO_NUMBERS else Misfit.TYPE)
        given = Decimal(repr(value))
        if abs(given) > greatest:
            raise Unmaskable(Misfit.RANGE)
        number = change(given)
        if abs(number) > greatest:
            raise Unmaskable(Misfit.RANGE)
        return float(number) + 0.0  # of zero it drops the sign, which was that of the value

    return rewrite


_whole_numbers, _fractions = _integers(64), _floats(_GREATEST["double"])


def _untyped(value: Any, change: Change) -> int | float:
    number: int | float = (_whole_numbers if type(value) is int else _fractions)(value, change)
    return number


def _text(value: Any, change: Change) -> str:
    if not isinstance(value, str):
        raise Unmaskable
    if value in _NO_NUMBERS or len(value) > _CHARACTERS:
        raise Unmaskable(Misfit.RANGE)
    if not _NUMBER.fullmatch(value):
        raise Unmaskable(Misfit.FORMAT)
    return format(EXACT.plus(change(Decimal(value))), "f")  # of zero it drops the sign


def _unscaled(value: Any) -> Decimal:
    """The integer that the bytes of a decimal are. Raises `Unmaskable` when they are none, or too many."""
    if not isinstance(value, str):
        raise Unmaskable
    if len(value) > _CHARACTERS:
        raise Unmaskable(Misfit.RANGE)
    try:
        written = base64.b64decode(value, validate=True)
    except ValueError:
        written = b""
    if not written:
        raise Unmaskable(Misfit.FORMAT)
    number = int.from_bytes(written, "big", signed=True)
    if abs(number) >= _TOO_LONG:
        raise Unmaskable(Misfit.RANGE)
    return Decimal(number)


_TOO_LONG = 10**_DIGITS


def _written(number: int) -> str:
    """As Java's `BigInteger` writes its bytes: as few as hold the number and its sign."""
    length = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return base64.b64encode(number.to_bytes(length, "big", signed=True)).decode()


def _decimals(digits: int, range_: tuple[Decimal, Decimal] | None) -> Rewriting:
    def rewrite(value: Any, change: Change) -> str:
        number = change(_unscaled(value).scaleb(-digits, EXACT))
        unscaled = _whole(number.scaleb(digits, EXACT))
        if range_ is not None and not range_[0] <= Decimal(unscaled).scaleb(-digits, EXACT) <= range_[1]:
            raise Unmaskable(Misfit.RANGE)
        return _written(unscaled)

    return rewrite


def _variable_decimal(value: Any, change: Change) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {"scale", "value"} or type(value["scale"]) is not int:
        raise Unmaskable
    if abs(value["scale"]) > _DIGITS:
        raise Unmaskable(Misfit.RANGE)
    number = change(_unscaled(value["value"]).scaleb(-value["scale"], EXACT))
    places = max(decimals(number), 0)
    return {"scale": places, "value": _written(_whole(number.scaleb(places, EXACT)))}
