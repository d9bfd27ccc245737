"""What a column is about, by a sample of its values: the few forms that leave little doubt."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from cdc_masker.drafting.names import Classification
from cdc_masker.drafting.tables import SourceColumn, SourceTable
from cdc_masker.kinds import Kind

__all__ = ["ByValues"]

_FEWEST, _SHARE = 5, 0.8
_EMAIL = re.compile(r"[^\s@,;:<>]{1,64}@[^\s@.,;:<>]+(\.[^\s@.,;:<>]+)+")
_CARD = re.compile(r"[0-9]{4}(?:[ -]?[0-9]){8,15}")


def _is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def _is_card(text: str) -> bool:
    """12 to 19 digits with a check digit after Luhn (ISO/IEC 7812-1, annex B)."""
    if not _CARD.fullmatch(text):
        return False
    digits = [int(digit) for digit in text if digit.isdigit()][::-1]
    return sum(digits[::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_FORMS: tuple[tuple[str, Callable[[str], bool], bool], ...] = (
    ("email", _is_email, True),
    ("payment card", _is_card, False),
    ("ip address", _is_ip, False),
)


class ByValues:
    """Where at least five values are known and four of five have the form. It tells how many, and shows none."""

    def classify(self, table: SourceTable, column: SourceColumn, sample: Sequence[str]) -> Classification | None:
        if len(sample) < _FEWEST or column.kind is not Kind.TEXT:
            return None
        for label, has_form, joins in _FORMS:
            count = sum(map(has_form, sample))
            if count >= _SHARE * len(sample):
                return Classification(
                    label=label,
                    evidence=f"{count} of {len(sample)} sampled values have the form: {label}",
                    confidence=0.9,
                    joins=joins,
                )
        return None
