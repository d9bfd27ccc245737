"""Methods whose output does not depend on the value: but for `keep`, nothing of it is left, not even whether it was null."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import (
    EVERY_KIND,
    Column,
    Constant,
    Disclosure,
    Drop,
    Keep,
    Keys,
    Method,
    Transform,
    Uniqueness,
    redaction,
)
from cdc_masker.methods.numbers import limits
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["DropColumn", "Fixed", "KeepValue", "Null", "Redact"]


class KeepValue(Method, frozen=True):
    """The value as it is, byte by byte."""

    name: ClassVar[str] = "keep"
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    length_preserving: ClassVar[bool] = True
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(Disclosure)

    def compile(self, column: Column, keys: Keys) -> Transform:
        return Keep()


class Null(Method, frozen=True):
    """Null; the output's schema becomes optional."""

    name: ClassVar[str] = "null"
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    output: ClassVar[str] = "the column's, optional; of an enum a text"

    def compile(self, column: Column, keys: Keys) -> Transform:
        output = None if column.type is None else redaction(column.type.nullable()).type
        return Constant(None, output)


class Redact(Method, frozen=True):
    """A constant of the column's type: null where the schema allows it, else the type's neutral value."""

    name: ClassVar[str] = "redact"
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    output: ClassVar[str] = "the column's; of an enum a text"

    def compile(self, column: Column, keys: Keys) -> Transform:
        return redaction(column.type)


class DropColumn(Method, frozen=True):
    """The column leaves the row and its schema; never one of the key."""

    name: ClassVar[str] = "drop"
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    output: ClassVar[str] = "none"

    def compile(self, column: Column, keys: Keys) -> Transform:
        return Drop()


class Fixed(Method, frozen=True):
    """`value`, a text, boolean or number (an integer of at most 64 bits) that fits the column's type."""

    name: ClassVar[str] = "fixed"
    kinds: ClassVar[frozenset[Kind]] = frozenset(
        (Kind.TEXT, Kind.ENUM, Kind.BOOLEAN, Kind.SMALL_INTEGER, Kind.INTEGER, Kind.FLOAT)
    )
    output: ClassVar[str] = "the column's; of an enum a text"
    value: str | Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | float | bool

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if declared is not None and not self.accepts(declared):
            raise PolicyError(place, "params.value does not fit a column of this type")

    def accepts(self, type_: Type) -> bool:
        if type_.is_text:
            return isinstance(self.value, str)
        if type_.name is not None:
            return False
        if type_.base == "boolean":
            return isinstance(self.value, bool)
        range_ = limits(type_)
        if range_ is None or isinstance(self.value, str | bool):
            return False
        whole = kind_of(type_) is not Kind.FLOAT
        return range_[0] <= Decimal(self.value) <= range_[1] and not (whole and isinstance(self.value, float))

    def compile(self, column: Column, keys: Keys) -> Transform:
        return Constant(self.value, redaction(column.type).type)
