"""`tokenize`: the same value gets the same token wherever its domain is used, and nobody without the key can tell which.

- A text becomes 32 hex digits: 128 bits of HMAC-SHA-256 over the length-prefixed domain and the value. In a domain that a
  rule names, the text is normalised to NFC first, so that the same name written in two ways joins; in a column's own domain
  it is taken as it stands, so that distinct keys stay distinct.
- A uuid becomes a uuid of version 8 (RFC 9562): 122 bits of the same.
- A 4- or 8-byte integer becomes another one of its type by a keyed permutation (FF1), so that keys never collide.
- Anything else is refused.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Callable
from typing import Any, ClassVar

from cdc_masker.kinds import Kind
from cdc_masker.methods import ff1
from cdc_masker.methods.base import Column, Disclosure, Keys, Transform, Uniqueness, Unmaskable
from cdc_masker.methods.subjects import Keyed

__all__ = ["Tokenize"]

_HEX_DIGITS = 32


class Tokenize(Keyed, frozen=True):
    """Keyed pseudonyms; columns whose rules name the same `domain` join."""

    name: ClassVar[str] = "tokenize"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT, Kind.ENUM, Kind.UUID, Kind.INTEGER))
    output: ClassVar[str] = "the column's; of an enum a text"
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.EQUALITY))

    def compile(self, column: Column, keys: Keys) -> Transform:
        domain, normalise, type_ = column.space(self.domain).name, self.domain is not None, column.type

        def make(hashing: bytes, permuting: bytes) -> Callable[[Any], Any]:
            if type_ is None:
                return _by_kind(_text_token(hashing, domain, normalise), _integer_token(permuting, domain, 64))
            if type_.integer_bits is not None:
                return _integer_token(permuting, domain, type_.integer_bits)
            return _uuid_token(hashing, domain) if type_.is_uuid else _text_token(hashing, domain, normalise)

        output = type_.plain_text() if type_ is not None and type_.is_text else type_
        # Two algorithms never share a key.
        return self.keyed(column, keys, (self.name, f"{self.name}.integer"), make, output)


def _keyed(key: bytes, domain: str) -> Callable[[bytes], hmac.HMAC]:
    """HMAC-SHA-256 over (length of domain, domain, value), with all but the value hashed once."""
    name = domain.encode()
    state = hmac.new(key, len(name).to_bytes(4, "big") + name, "sha256")

    def digest(value: bytes) -> hmac.HMAC:
        copy = state.copy()
        copy.update(value)
        return copy

    return digest


def _text_token(key: bytes, domain: str, normalise: bool) -> Callable[[Any], str]:
    keyed = _keyed(key, domain)

    def token(value: Any) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        if normalise and not value.isascii():
            value = unicodedata.normalize("NFC", value)
        return keyed(value.encode()).hexdigest()[:_HEX_DIGITS]

    return token


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _uuid_token(key: bytes, domain: str) -> Callable[[Any], str]:
    keyed = _keyed(key, domain)

    def token(value: Any) -> str:
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise Unmaskable
        digits = keyed(bytes.fromhex(value.replace("-", ""))).hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]  # of RFC 9562; the 8 before it says version 8, custom
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"

    return token


def _integer_token(key: bytes, domain: str, bits: int) -> Callable[[Any], int]:
    permute = ff1.permutation(key, 2, bits, domain.encode())
    half = 1 << (bits - 1)

    def token(value: Any) -> int:
        if type(value) is not int or not -half <= value < half:
            raise Unmaskable
        return permute(value + half) - half

    return token


def _by_kind(of_text: Callable[[Any], str], of_integer: Callable[[Any], int]) -> Callable[[Any], Any]:
    """Where no type is known, the JSON value itself tells: a string or an integer of at most 8 bytes."""

    def token(value: Any) -> Any:
        return of_text(value) if isinstance(value, str) else of_integer(value)

    return token
