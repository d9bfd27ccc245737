"""The form in which a domain compares values, so that columns of several types join, or a domain says that they don't.

A domain has one form. One that is declared with a type has the form of that type: text, uuid, a 4- or 8-byte integer, or
numeric. In any other the column's own type decides, and columns of several types don't join.

- Text: NFC, and folded (`str.casefold`) where the domain says so; in a column's own domain as it stands, so that distinct
  keys stay distinct. An integer is its decimal text, a uuid its usual one.
- Uuid: the 16 bytes, of text of that shape, too.
- Integer: the number, if it is in the declared type's range; of decimal text and of numbers with nothing behind the point, too.
- Numeric: 1, 1.0 and "1" are one number.

A value without that form raises `Unmaskable`. Forms of distinct values are distinct, but for what the form calls equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NoReturn

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import Column, Misfit, Unmaskable
from cdc_masker.methods.numbers import rewriting
from cdc_masker.methods.subjects import Keyed
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type, from_postgres

__all__ = ["INEXACT", "Form", "Joining", "check_domain", "form_of", "integers", "joins", "reader"]


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` is text, uuid, integer or decimal; `bits` are an integer's; texts are brought to NFC or not, and folded or not."""

    kind: Kind
    bits: int = 0
    normalise: bool = True
    fold: bool = False


_JOINING = {
    Kind.TEXT: frozenset((Kind.TEXT, Kind.ENUM, Kind.UUID, Kind.INTEGER)),
    Kind.UUID: frozenset((Kind.UUID, Kind.TEXT)),
    Kind.INTEGER: frozenset((Kind.INTEGER, Kind.DECIMAL, Kind.TEXT)),
    Kind.DECIMAL: frozenset((Kind.DECIMAL, Kind.FLOAT, Kind.INTEGER, Kind.TEXT)),
}
"""For each form the columns whose values can have it."""


def form_of(space: Domain, type_: Type | None, *, named: bool) -> Form | None:
    """The form of a column's values in that domain; None: nothing tells the type, so that each value tells its own.

    `named`: a rule names the domain, which else is the column's own. Under the keys of many subjects integers are compared as
    text: permuted under several keys, distinct ones would meet.
    """
    form = _form(from_postgres(space.type) if space.type is not None else type_)
    if space.per_subject and (form is None or form.kind is Kind.INTEGER):
        form = Form(Kind.TEXT)
    return None if form is None else replace(form, normalise=named, fold=space.fold_case)


def _form(type_: Type | None) -> Form | None:
    match None if type_ is None else kind_of(type_):
        case Kind.TEXT | Kind.ENUM:
            return Form(Kind.TEXT)
        case Kind.UUID:
            return Form(Kind.UUID)
        case Kind.INTEGER:
            return Form(Kind.INTEGER, 0 if type_ is None else type_.integer_bits or 0)
        case Kind.DECIMAL | Kind.FLOAT:
            return Form(Kind.DECIMAL)
        case _:
            return None


def check_domain(domain: Domain) -> None:
    """Raises `PolicyError` where values can't be compared as the domain is declared."""
    if domain.type is None:
        return
    place, type_ = f"domain {domain.name}", from_postgres(domain.type)
    if type_ is None:
        raise PolicyError(place, f"type {domain.type!r} is no PostgreSQL type that is known")
    form = _form(type_)
    if form is None:
        raise PolicyError(place, "values are compared as text, uuid, integer, bigint or numeric; declare one of these types")
    if domain.fold_case and form.kind is not Kind.TEXT:
        raise PolicyError(place, "fold_case is for texts; leave it out, or declare the domain with type text")


def reader(form: Form, type_: Type | None) -> Callable[[Any], bytes]:
    """From a value of a column of that type to its form, as bytes."""
    if not joins(form, type_):
        return _refuse
    match form.kind:
        case Kind.TEXT:
            return _texts(form, type_)
        case Kind.UUID:
            return _uuid
        case Kind.INTEGER:
            read = integers(form, type_)
            return lambda value: b"%d" % read(value)
        case _:
            number = _numbers(type_)
            return lambda value: _number_text(number(value))


def integers(form: Form, type_: Type | None) -> Callable[[Any], int]:
    """From a value of a column of that type to its form, an integer of `form.bits` bits in two's complement."""
    if not joins(form, type_):
        return _refuse
    half = 1 << (form.bits - 1)
    number = _numbers(type_)

    def read(value: Any) -> int:
        exact = number(value)
        if not -half <= exact < half:
            raise Unmaskable(Misfit.RANGE)
        if (integer := int(exact)) != exact:
            raise Unmaskable(Misfit.FORMAT)
        return integer

    return read


def joins(form: Form, type_: Type | None) -> bool:
    """Whether values of a column of that type can have the form."""
    return type_ is None or kind_of(type_) in _JOINING[form.kind]


def _refuse(_: Any) -> NoReturn:
    raise Unmaskable


def _texts(form: Form, type_: Type | None) -> Callable[[Any], bytes]:
    normalise, fold = form.normalise, form.fold
    of_integers = type_ is not None and type_.integer_bits is not None

    def text(value: Any) -> bytes:
        if type(value) is int and (of_integers or type_ is None):
            return b"%d" % value
        if not isinstance(value, str) or of_integers:
            raise Unmaskable
        written = unicodedata.normalize("NFC", value) if normalise and not value.isascii() else value
        return (unicodedata.normalize("NFC", written.casefold()) if fold else written).encode()

    return text


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _uuid(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Unmaskable
    if not _UUID.fullmatch(value):
        raise Unmaskable(Misfit.FORMAT)
    return bytes.fromhex(value.replace("-", ""))


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,6})?", re.IGNORECASE)
INEXACT = 1 << 53
"""From here on a JSON number of which no type is known may have lost digits when it was read as a double."""


def _numbers(type_: Type | None) -> Callable[[Any], int | Decimal]:
    """From a number, or a text that writes one, to its exact value."""
    match None if type_ is None else kind_of(type_):
        case Kind.INTEGER:
            return _whole
        case Kind.FLOAT:
            return _double
        case Kind.TEXT:
            return _written
        case Kind.DECIMAL:
            return _decimals(type_)
        case _:
            return _any_number


def _decimals(type_: Type | None) -> Callable[[Any], Decimal]:
    rewrite = rewriting(type_)

    def number(value: Any) -> Decimal:
        seen: list[Decimal] = []

        def see(exact: Decimal) -> Decimal:
            seen.append(exact)
            return exact

        rewrite(value, see)
        return seen[0]

    return number


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise Unmaskable
    return value


def _double(value: Any) -> Decimal:
    if type(value) not in (int, float):
        raise Unmaskable
    return Decimal(repr(value))


def _written(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise Unmaskable
    if not _NUMBER.fullmatch(value):
        raise Unmaskable(Misfit.FORMAT)
    return Decimal(value)


def _any_number(value: Any) -> int | Decimal:
    if isinstance(value, str):
        return _written(value)
    if isinstance(value, float):
        if abs(value) >= INEXACT:
            raise Unmaskable(Misfit.RANGE)
        return _double(value)
    return _whole(value)


def _number_text(number: int | Decimal) -> bytes:
    """One writing for each number, whatever zeros it came with."""
    sign, digits, exponent = Decimal(number).as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return b"0"
    return f"{'-' * sign}{significant}e{int(exponent) + len(written) - len(significant)}".encode()


class Joining(Keyed, frozen=True):
    """Base of the methods that compare values in their domain's form, so that columns of several types join."""

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        space = domains.get(self.domain or "")
        if declared is None or space is None or (form := form_of(space, declared, named=True)) is None:
            return
        if kind_of(declared) not in _JOINING[form.kind]:
            raise PolicyError(place, f"values of this type can't be compared in domain {space.name!r}, of type {space.type}")

    def keeps_distinct(self, domains: Mapping[str, Domain], type_: Type | None) -> bool:
        """Not where a domain calls texts equal that are not: `7` and `007` in one of numbers, `A` and `a` in one that folds."""
        space = domains.get(self.domain or "")
        if space is None:
            return super().keeps_distinct(domains, type_)
        form = form_of(space, type_, named=True)
        read = type_ is not None and type_.is_text and form is not None and form.kind is not Kind.TEXT
        return super().keeps_distinct(domains, type_) and not space.fold_case and not read

    def form(self, column: Column) -> Form | None:
        return form_of(column.space(self.domain), column.type, named=self.domain is not None)
