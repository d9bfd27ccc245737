"""What keeps the rows of a generation in the shape in which it began, whatever is decided about them later.

A column that later leaves the rows, comes back or gets another type would break whoever reads them. Until a new generation
begins, such a column stays as it was, and says nothing: so it shows no more than either decision lets it. Types are those of
one input: that the source's own columns change is no decision. Whether a value may be null is not looked at.
"""

from __future__ import annotations

from dataclasses import replace

from cdc_masker.methods import Drop, Keep, Transform, redaction
from cdc_masker.schemas import Type, to_connect

__all__ = ["NoKeys", "alike", "in_shape_of", "output"]


class NoKeys:
    """Keys for whoever asks for types only: nothing is masked with them."""

    def derive(self, method: str, domain: str, epoch: int) -> bytes:
        return bytes(32)


def in_shape_of(began: Transform, wanted: Transform, type_: Type | None) -> Transform:
    """`wanted`, if a column of that type has the shape that `began` gave it; else what says nothing and has it."""
    if isinstance(began, Drop):
        return began
    shape = output(began, type_)
    if isinstance(wanted, Drop) or not alike(shape, output(wanted, type_)):
        return redaction(shape)
    return wanted


def output(transform: Transform, type_: Type | None) -> Type | None:
    """The type of what comes out of a column of that type; None if nothing tells it."""
    match transform:
        case Keep():
            return type_
        case Drop():
            return None
        case _:
            return transform.type


def alike(one: Type | None, other: Type | None) -> bool:
    """Whether readers see one type, as far as that is known."""
    if one is None or other is None:
        return True
    return to_connect(replace(one, optional=False)) == to_connect(replace(other, optional=False))
