"""Methods that tell roughly where something is: the beginning of a postcode, the nearest point of a grid."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import Column, Compute, Disclosure, Keys, Method, Misfit, Transform, Unmaskable, redaction
from cdc_masker.methods.generalise import exact
from cdc_masker.methods.numbers import EXACT, NUMERIC, Change, decimals, rewriting
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Geo", "Postcode"]

# Areas of at most 20,000 people in the census of 2000: "Guidance Regarding Methods for De-identification of Protected Health
# Information in Accordance with the HIPAA Privacy Rule", US Department of Health and Human Services, 2012.
_SPARSE_IN_THE_US = frozenset(
    ("036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890", "893")
)
_US_LENGTH = 3
_US_CODE = re.compile(r"[0-9]{5}(?:[- ]?[0-9]{4})?")
_CODE = re.compile(r"[A-Za-z0-9]{1,10}")
_SEPARATORS = str.maketrans("", "", " -")


class Postcode(Method, frozen=True):
    """The first `length` characters of a postcode, or zeros where these are `sparse`, among those that few people share.

    With `country="US"` there is a list of the sparse ones; else the rule states it.
    """

    name: ClassVar[str] = "postcode"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    output: ClassVar[str] = "text"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    length: Annotated[int, msgspec.Meta(ge=1, le=8)] = 3
    country: Literal["US"] | None = None
    sparse: tuple[str, ...] | None = None

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if self.country is None and self.sparse is None:
            raise PolicyError(
                place, "params.sparse has to list the beginnings that few people share, or params.country to be US"
            )
        if self.country == "US" and self.length > _US_LENGTH:
            raise PolicyError(place, "params.length is at most 3 in the United States")
        if not all(re.fullmatch(f"[A-Z0-9]{{{self.length}}}", each) for each in self.sparse or ()):
            raise PolicyError(place, "params.sparse holds beginnings of params.length capital letters and digits")

    def shows_no_more_than(self, other: Self) -> bool:
        alike = (self.country, self.length) == (other.country, other.length)
        return alike and self._few >= other._few

    @property
    def _few(self) -> frozenset[str]:
        return _SPARSE_IN_THE_US if self.sparse is None else frozenset(self.sparse)

    def compile(self, column: Column, keys: Keys) -> Transform:
        length, few, hidden = self.length, self._few, "0" * self.length
        read = _of_the_us if self.country == "US" else _of_anywhere

        def beginning(value: Any) -> str:
            code = read(value)
            if len(code) <= length:  # nothing would be hidden
                raise Unmaskable(Misfit.FORMAT)
            return hidden if code[:length] in few else code[:length]

        return Compute(beginning, redaction(column.type).type)


def _of_the_us(value: Any) -> str:
    if not isinstance(value, str):
        raise Unmaskable
    if not _US_CODE.fullmatch(value):
        raise Unmaskable(Misfit.FORMAT)
    return value


def _of_anywhere(value: Any) -> str:
    """The code in capital letters, without what separates its parts."""
    if not isinstance(value, str):
        raise Unmaskable
    code = value.translate(_SEPARATORS)
    if not _CODE.fullmatch(code):
        raise Unmaskable(Misfit.FORMAT)
    return code.upper()


class Geo(Method, frozen=True):
    """The nearest point of a grid of `degrees`, of a point or of a column that holds a latitude or longitude.

    A number past a full turn is no degrees, and of a large one the grid would hide next to nothing: it is a misfit.
    """

    name: ClassVar[str] = "geo"
    kinds: ClassVar[frozenset[Kind]] = NUMERIC | {Kind.TEXT, Kind.POINT}
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.MAGNITUDE))
    degrees: Annotated[float, msgspec.Meta(gt=0, le=45)]

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if EXACT.remainder(Decimal(90), exact(self.degrees)):
            raise PolicyError(place, "params.degrees has to divide 90, so that the grid ends where the world does")

    def shows_no_more_than(self, other: Self) -> bool:
        return not EXACT.remainder(exact(self.degrees), exact(other.degrees))

    def compile(self, column: Column, keys: Keys) -> Transform:
        size = exact(self.degrees)
        last = Decimal(1).scaleb(-max(0, decimals(size)))

        def nearest(number: Decimal) -> Decimal:
            if abs(number) > _FULL_TURN:
                raise Unmaskable(Misfit.RANGE)
            return EXACT.subtract(number, EXACT.remainder_near(number, size)).quantize(last, context=EXACT)

        return Compute(_masking(column.type, nearest), column.type, may_return_input=True)


_FULL_TURN = 360
_POINT = frozenset(("x", "y", "wkb", "srid"))
_coordinate = rewriting(Type(base="double"))


def _masking(type_: Type | None, change: Change) -> Callable[[Any], Any]:
    rewrite = rewriting(type_)
    if type_ is None:
        return lambda value: _moved(value, change) if isinstance(value, dict) else rewrite(value, change)
    if kind_of(type_) is Kind.POINT:
        return lambda value: _moved(value, change)
    return lambda value: rewrite(value, change)


def _moved(point: Any, change: Change) -> dict[str, Any]:
    """A point as Debezium writes it, with its coordinates in well-known binary (OGC 06-103r4) written anew."""
    if not isinstance(point, dict) or point.keys() != _POINT:
        raise Unmaskable
    system = point["srid"]
    if system is not None and (type(system) is not int or not 0 <= system < 1_000_000):
        raise Unmaskable
    x, y = _coordinate(point["x"], change), _coordinate(point["y"], change)
    written = None if point["wkb"] is None else base64.b64encode(struct.pack("<BIdd", 1, 1, x, y)).decode()
    return {**point, "x": x, "y": y, "wkb": written}
