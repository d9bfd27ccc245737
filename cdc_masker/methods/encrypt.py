"""`encrypt`: what whoever holds the key can have back, and nobody else.

AES-SIV (RFC 5297) with 512-bit keys, the domain and the epoch as associated data: deterministic, so that equal values of a
domain stay equal, and authenticated, so that no other text is taken for an encrypted value. The plaintext is the value as JSON
text, so that a number comes back as a number; the result is the 16 bytes of the synthetic IV and the ciphertext, in base64
with the URL alphabet and no padding. Nothing here decrypts: `cdc_masker.reveal` does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import EVERY_KIND, Column, Disclosure, Keys, Misfit, Transform, Uniqueness, Unmaskable
from cdc_masker.methods.canonical import INEXACT
from cdc_masker.methods.subjects import Keyed
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["PURPOSES", "Encrypt", "associated"]

PURPOSES = ("encrypt.mac", "encrypt.ctr")
"""What the two halves of the key are for, in the order of RFC 5297: the key of S2V and that of CTR."""

_WHOLE = frozenset((Kind.SMALL_INTEGER, Kind.INTEGER))


class Encrypt(Keyed, frozen=True):
    """AES-SIV: equal values of a `domain` become equal texts, which `cdc-masker reveal` turns back for who has the key."""

    name: ClassVar[str] = "encrypt"
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    output: ClassVar[str] = "text"
    reversible: ClassVar[bool] = True
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(
        (Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.LENGTH, Disclosure.REVERSIBLE)
    )

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        space = domains.get(self.domain or "")
        if space is not None and space.fold_case:
            raise PolicyError(place, f"encrypt keeps values as they are; domain {space.name!r} folds case, so name another")

    def compile(self, column: Column, keys: Keys) -> Transform:
        data = associated(column.space(self.domain), column.epoch)
        kind = None if column.type is None else kind_of(column.type)

        def make(mac: bytes, ctr: bytes) -> Callable[[Any], str]:
            seal = AESSIV(mac + ctr).encrypt

            def encrypt(value: Any) -> str:
                if kind is None:
                    _check(value)
                elif kind in _WHOLE and type(value) is not int:  # one of more than 64 bits was read as another number
                    raise Unmaskable
                return (
                    base64.urlsafe_b64encode(seal(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), data)).rstrip(b"=").decode()
                )

            return encrypt

        return self.keyed(column, keys, PURPOSES, make, None if column.type is None else column.type.plain_text())


def associated(space: Domain, epoch: int) -> list[bytes]:
    """The associated data: two strings, as S2V takes them."""
    return [space.name.encode(), str(epoch).encode()]


def _check(value: Any) -> None:
    """Of what describes itself only: texts, and numbers that were read as they were written. Of truth values there are two."""
    if type(value) not in (str, int, float):
        raise Unmaskable
    if isinstance(value, float) and abs(value) >= INEXACT:
        raise Unmaskable(Misfit.RANGE)
