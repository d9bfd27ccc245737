"""Phone numbers, of which only the country is shown. Numbers are read by the library `phonenumbers` and its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Self

import phonenumbers

from cdc_masker.errors import PolicyError
from cdc_masker.methods.base import Disclosure, Misfit, Unmaskable
from cdc_masker.methods.texts import DigitMask, TextMethod
from cdc_masker.policies import Domain
from cdc_masker.schemas import Type

__all__ = ["Phone"]


class Phone(TextMethod, frozen=True):
    """`+`, the country code, and `mask` for each further digit of a phone number, without extensions.

    Numbers without a country code are read as those of `region`, two capitals as in `DE`; without one they can't be masked.
    """

    name: ClassVar[str] = "phone"
    output: ClassVar[str] = "text such as `+49*********`"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.LENGTH, Disclosure.PART))
    region: str | None = None
    mask: DigitMask = "*"

    def check(self, place: str, declared: Type | None, domains: Mapping[str, Domain]) -> None:
        if self.region is not None and self.region not in phonenumbers.SUPPORTED_REGIONS:
            raise PolicyError(place, "params.region is no region with phone numbers; write two capitals, as in DE or US")
        super().check(place, declared, domains)

    def shows_no_more_than(self, other: Self) -> bool:
        return self.region == other.region  # a mask more or less tells nothing

    def masking(self) -> Callable[[str], str]:
        region, mask = self.region, self.mask

        def masked(text: str) -> str:
            try:
                number = phonenumbers.parse(text, region)
            except phonenumbers.NumberParseException:
                raise Unmaskable(Misfit.FORMAT) from None
            if not phonenumbers.is_possible_number(number):  # of a length that the country has
                raise Unmaskable(Misfit.FORMAT)
            return f"+{number.country_code}{mask * len(phonenumbers.national_significant_number(number))}"

        return masked
