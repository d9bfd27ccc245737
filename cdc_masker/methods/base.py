"""What a masking method is.

A method is a frozen value: its fields are its parameters, checked by type and bound when a policy is made. Compiled for one
column it becomes a `Transform`: keep the text, put a constant there, or compute a new value. A transform carries the type of
its output, so that an embedded schema can tell the truth about it.

Laws that the tests hold each method to: a constant says the same whatever came in, null included; a computed method leaves
null alone, gives equal output for equal input where it is `deterministic`, and raises `Unmaskable` for a value that it can't
take, which the engine turns into a redaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.schemas import Type, neutral

__all__ = ["Column", "Compute", "Constant", "Keep", "Keys", "Method", "Rewrite", "Transform", "Unmaskable", "redaction"]


class Keys(Protocol):
    """Derived keys. Implementations pickle, and their `repr` shows no key."""

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        """256 bits for one method, domain and epoch. Raises `KeyringError` when the epoch has no root key."""
        ...


class Unmaskable(Exception):
    """The value is not one that this method can take. Carries nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Where a method is applied: the column's names, its type if anything tells it, and the epoch of its domain's key.

    `domain` is the column's own key space, used where the rule names none.
    """

    place: str
    type: Type | None
    domain: str
    epochs: Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Keep:
    """The text stays as it is."""


@dataclass(frozen=True, slots=True)
class Constant:
    """`value` stands there whatever came in; `type` describes it, None where the input had no type either."""

    value: Any
    type: Type | None


@dataclass(frozen=True, slots=True)
class Compute:
    """`function` gets the decoded value (never null) and gives the new one; `type` as in `Constant`.

    `may_return_input`: a value can come out as it went in, because that is what the method does with some.
    """

    function: Callable[[Any], Any]
    type: Type | None
    may_return_input: bool = False


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`function` gets the JSON text of a value (never null) and gives the masked text, or raises `Unmaskable`."""

    function: Callable[[bytes], bytes]
    type: Type | None


Transform = Keep | Constant | Compute | Rewrite


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all methods. `deterministic`: equal inputs of one column give equal outputs."""

    name: ClassVar[str]
    deterministic: ClassVar[bool] = True

    def check(self, place: str, declared: Type | None) -> None:
        """Raises `PolicyError` when the method can't work on a column of the declared type; `None`: nothing is declared."""
        if declared is not None and not self.accepts(declared):
            raise PolicyError(place, f"method {self.name} can't be used on a column of this type")

    def accepts(self, type_: Type) -> bool:
        """Whether columns of this type can be masked."""
        raise NotImplementedError

    def compile(self, column: Column, keys: Keys) -> Transform:
        """The transform for a column whose type is unknown or accepted."""
        raise NotImplementedError


def redaction(type_: Type | None) -> Constant:
    """The constant that says nothing about a value of this type; null where the type is unknown."""
    if type_ is None:
        return Constant(None, None)
    output = type_.plain_text() if type_.is_text else type_
    return Constant(neutral(output), output)
