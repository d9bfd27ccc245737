"""`fpe`: format-preserving encryption, for texts that have to look like what they were.

FF1 (NIST SP 800-38G; FF3-1 was withdrawn in 2025) over the characters of an alphabet, with the domain as tweak. It is a
permutation of the texts of one length and one set of places: lengths stay, distinct texts stay distinct, about one text among
all is mapped to itself, and whoever has the key can turn it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.methods import ff1, subjects
from cdc_masker.methods.alphabets import ALPHABETS, Alphabet
from cdc_masker.methods.base import Column, Compute, Disclosure, Keys, Method, Misfit, Transform, Uniqueness, Unmaskable
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["LONGEST", "Fpe", "changed"]

LONGEST = 256
"""Characters of the alphabet in one text: what takes long is refused, as texts of people's own may be of any length."""

_INVALID = 5


class Fpe(Method, frozen=True):
    """Texts of the same length and format; each character of the alphabet becomes another one, what separates them stays.

    `alphabet` names the characters that are encrypted, or `characters` lists them. `check_digit`: texts of digits whose last
    one is a check digit (Luhn), as in card numbers; in what comes out it is right again, or always wrong.
    """

    name: ClassVar[str] = "fpe"
    kinds: ClassVar[frozenset[Kind]] = frozenset((Kind.TEXT,))
    reversible: ClassVar[bool] = True
    length_preserving: ClassVar[bool] = True
    uniqueness: ClassVar[Uniqueness] = Uniqueness.PRESERVED
    discloses: ClassVar[frozenset[Disclosure]] = frozenset(
        (Disclosure.NULLS, Disclosure.EQUALITY, Disclosure.LENGTH, Disclosure.FORMAT, Disclosure.REVERSIBLE)
    )
    alphabet: (
        Literal["digits", "lower", "upper", "letters", "lower_alphanumeric", "upper_alphanumeric", "alphanumeric"] | None
    ) = None
    characters: Annotated[str, msgspec.Meta(min_length=2, max_length=1_000)] | None = None
    check_digit: Literal["valid", "invalid"] | None = None
    domain: subjects.Name | None = None

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        super().check(place, declared, domains)
        if (self.alphabet is None) == (self.characters is None):
            raise PolicyError(place, "method fpe needs params.alphabet or params.characters, one of both")
        if self.characters is not None and len(set(self.characters)) < len(self.characters):
            raise PolicyError(place, "params.characters of method fpe has a character twice")
        if self.check_digit is not None and self.alphabet != "digits":
            raise PolicyError(place, "params.check_digit of method fpe is for the alphabet digits")
        space = domains.get(self.domain or "")
        if space is not None and (space.per_subject or space.fold_case):
            raise PolicyError(
                place, f"fpe works neither per subject nor with folded case, as domain {space.name!r} is declared"
            )

    @property
    def of(self) -> Alphabet:
        return ALPHABETS[self.alphabet] if self.alphabet is not None else Alphabet.of(self.characters or "")

    @property
    def purpose(self) -> str:
        """Of the key. A number with its check digit is another thing than one that is a digit shorter."""
        return self.name if self.check_digit is None else f"{self.name}.check_digit"

    @property
    def wrong_by(self) -> int | None:
        """By how much the check digit of the output is wrong, modulo 10; None where there is none."""
        return None if self.check_digit is None else 0 if self.check_digit == "valid" else _INVALID

    def takes(self, length: int) -> bool:
        """Whether there are enough texts with so many characters of the alphabet."""
        encrypted = length if self.check_digit is None else length - 1
        return ff1.enough(self.of.radix, encrypted)

    def compile(self, column: Column, keys: Keys) -> Transform:
        space, alphabet, wrong_by = column.space(self.domain), self.of, self.wrong_by
        key, tweak = column.key(keys, self.purpose, space), space.name.encode()
        known: dict[int, Callable[[int], int]] = {}

        def permute(number: int, length: int) -> int:
            permutation = known.get(length)
            if permutation is None:
                permutation = known[length] = ff1.permutation(key, alphabet.radix, length, tweak)
            return permutation(number)

        def encrypt(value: Any) -> str:
            if not isinstance(value, str):
                raise Unmaskable
            return changed(value, alphabet, permute, 0 if wrong_by is not None else None, wrong_by)

        # A permutation may map a text to itself.
        return Compute(encrypt, column.type, may_return_input=True)


def changed(
    text: str, alphabet: Alphabet, change: Callable[[int, int], int], wrong_before: int | None, wrong_after: int | None
) -> str:
    """The text with the number that its numerals write changed by `change(number, how many numerals)`.

    Where its last digit is a check digit, it has to be wrong by `wrong_before` and will be by `wrong_after`, modulo 10. Raises
    `Unmaskable`.
    """
    numerals = alphabet.read(text)
    if wrong_before is not None:
        *numerals, last = numerals or [0]
        if (_check_digit(numerals) + wrong_before) % 10 != last:
            raise Unmaskable(Misfit.FORMAT)
    length, radix = len(numerals), alphabet.radix
    if length > LONGEST or not ff1.enough(radix, length):
        raise Unmaskable(Misfit.RANGE)
    number = change(reduce(lambda number, numeral: number * radix + numeral, numerals, 0), length)
    for place in reversed(range(length)):
        number, numerals[place] = divmod(number, radix)
    if wrong_after is not None:
        numerals.append((_check_digit(numerals) + wrong_after) % 10)
    return alphabet.write(text, numerals)


def _check_digit(digits: Sequence[int]) -> int:
    """The digit to append, after Luhn (ISO/IEC 7812-1, annex B): each second one from the end counts double."""
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-1::-2])
    return -(doubled + sum(digits[-2::-2])) % 10
