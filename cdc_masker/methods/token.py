"""`tokenize`: the same value gets the same token wherever its domain is used, and nobody without the key can tell which.

What is the same is said by the domain's form (`methods.canonical`), which also decides what a token looks like:

- Of a text or a number with digits behind the point: 32 hex digits, 128 bits of HMAC-SHA-256 over the length-prefixed domain
  and the form.
- Of a uuid: a uuid of version 8 (RFC 9562), 122 bits of the same.
- Of an integer of 4 or 8 bytes: another one, by a keyed permutation (FF1), so that keys never collide.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import ff1
from cdc_masker.methods.base import Column, Disclosure, Keys, Transform, Uniqueness
from cdc_masker.methods.canonical import Form, Joining, integers, joins, reader
from cdc_masker.methods.recipes import Hashed, Permuted, Tokens
from cdc_masker.schemas import Type

__all__ = ["Tokenize", "digests", "named"]

_HEX_DIGITS = 32


class Tokenize(Joining, frozen=True):
    """Keyed pseudonyms; columns whose rules name the same `domain` join."""

    name: ClassVar[str] = "tokenize"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT, Kind.ENUM, Kind.UUID, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT))
    output: ClassVar[str] = "what the domain's type says, by default the column's; of enums, decimals and floats text"
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.EQUALITY))

    def compile(self, column: Column, keys: Keys) -> Transform:
        domain, form, type_ = column.space(self.domain).name, self.form(column), column.type

        def make(hashing: bytes, permuting: bytes) -> Callable[[Any], Any]:
            if form is None:
                text, number = Form(Kind.TEXT, normalise=self.domain is not None), Form(Kind.INTEGER, 64)
                return _by_kind(
                    _text_token(hashing, domain, reader(text, None)), _integer_token(permuting, domain, number, None)
                )
            if form.kind is Kind.INTEGER:
                return _integer_token(permuting, domain, form, type_)
            return (_uuid_token if form.kind is Kind.UUID else _text_token)(hashing, domain, reader(form, type_))

        def describe(hashing: bytes, permuting: bytes) -> Tokens | None:
            return _recipe(hashing, permuting, domain, form, type_)

        # Two algorithms never share a key.
        purposes = (self.name, f"{self.name}.integer")
        return self.keyed(column, keys, purposes, make, _output(form, type_), may_return_number=True, describe=describe)


def _recipe(hashing: bytes, permuting: bytes, domain: str, form: Form | None, type_: Type | None) -> Tokens | None:
    """What `Tokenize` does with strings of ASCII characters, which are in NFC, and with integers."""
    text, permuted = Hashed("text", hashing, named(domain)), Permuted(permuting, domain.encode(), 64)
    if form is None:
        return Tokens(text, permuted)
    if not joins(form, type_):
        return None
    of_integers = type_ is None or kind_of(type_) is Kind.INTEGER
    of_strings = type_ is None or not of_integers
    match form.kind:
        case Kind.TEXT:
            string = Hashed("folded" if form.fold else "text", hashing, named(domain))
            return Tokens(string if of_strings else None, text if of_integers else None)
        case Kind.UUID:
            return Tokens(Hashed("uuid", hashing, named(domain)), None)
        case Kind.INTEGER if of_integers:
            return Tokens(None, replace(permuted, bits=form.bits))
        case _:
            return None


def _output(form: Form | None, type_: Type | None) -> Type | None:
    """The type of the tokens of a column: texts stay texts, else it is the one of the domain's form."""
    if form is None or type_ is None:
        return None
    if form.kind is Kind.UUID and type_.is_uuid:
        return type_
    if form.kind is Kind.INTEGER and not type_.is_text:
        return Type(base=f"int{form.bits}", optional=type_.optional)
    return type_.plain_text()


def named(domain: str) -> bytes:
    """What stands before the value in the message: the domain, with its length in front."""
    name = domain.encode()
    return len(name).to_bytes(4, "big") + name


def digests(key: bytes, head: bytes) -> Callable[[bytes], hmac.HMAC]:
    """HMAC-SHA-256 over the head and what follows, with the head hashed once."""
    state = hmac.new(key, head, "sha256")

    def digest(value: bytes) -> hmac.HMAC:
        copy = state.copy()
        copy.update(value)
        return copy

    return digest


def _text_token(key: bytes, domain: str, read: Callable[[Any], bytes]) -> Callable[[Any], str]:
    keyed = digests(key, named(domain))
    return lambda value: keyed(read(value)).hexdigest()[:_HEX_DIGITS]


def _uuid_token(key: bytes, domain: str, read: Callable[[Any], bytes]) -> Callable[[Any], str]:
    keyed = digests(key, named(domain))

    def token(value: Any) -> str:
        digits = keyed(read(value)).hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]  # of RFC 9562; the 8 before it says version 8, custom
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"

    return token


def _integer_token(key: bytes, domain: str, form: Form, type_: Type | None) -> Callable[[Any], Any]:
    """The token of an integer that a text writes is a text, too."""
    read = integers(form, type_)
    of_texts = type_ is None or type_.is_text
    permute = ff1.permutation(key, 2, form.bits, domain.encode())
    half = 1 << (form.bits - 1)

    def token(value: Any) -> Any:
        permuted = permute(read(value) + half) - half
        return str(permuted) if of_texts and isinstance(value, str) else permuted

    return token


def _by_kind(of_text: Callable[[Any], str], of_integer: Callable[[Any], int]) -> Callable[[Any], Any]:
    """Where no type is known, the JSON value itself tells: a string or an integer of at most 8 bytes."""

    def token(value: Any) -> Any:
        return of_text(value) if isinstance(value, str) else of_integer(value)

    return token
