"""What methods that need no key and show a part of a text have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import msgspec

from cdc_masker.kinds import Kind
from cdc_masker.methods.base import Column, Compute, Keys, Method, Transform, Unmaskable, redaction
from cdc_masker.methods.recipes import Recipe

__all__ = ["DigitMask", "Mask", "TextMethod"]

Mask = Annotated[str, msgspec.Meta(min_length=1, max_length=1)]
"""What stands for a hidden character."""

DigitMask = Annotated[str, msgspec.Meta(pattern=r"\A[^\d\s+-]\Z")]
"""What stands for a hidden digit: one character that can't be taken for a digit, nor for what stands between digits."""


class TextMethod(Method, frozen=True):
    """Base of these methods. `may_return_input`: some texts come out as they went in."""

    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    may_return_input: ClassVar[bool] = False

    def compile(self, column: Column, keys: Keys) -> Transform:
        masked = self.masking()

        def function(value: Any) -> str:
            if not isinstance(value, str):
                raise Unmaskable
            return masked(value)

        # Part of an enum's label is no label: the output of an enum is a plain string.
        return Compute(function, redaction(column.type).type, self.may_return_input, recipe=self.recipe())

    def masking(self) -> Callable[[str], str]:
        """The function from a text to what is shown of it. It raises `Unmaskable`."""
        raise NotImplementedError

    def recipe(self) -> Recipe | None:
        """The same function as data, where it can be said so."""
        return None
