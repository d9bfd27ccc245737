"""The masking methods, one file per family, and their registry: an explicit literal."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.kinds import has_few_values
from cdc_masker.methods.base import (
    NO_SUBJECTS,
    UNCHANGED,
    UNCHANGED_TEXT,
    Column,
    Compute,
    Constant,
    Context,
    Contextual,
    Disclosure,
    Drop,
    Keep,
    Keys,
    Method,
    Misfit,
    MissingSubject,
    Rewrite,
    Subjects,
    Transform,
    Uniqueness,
    Unmaskable,
    redaction,
)
from cdc_masker.methods.card import Card
from cdc_masker.methods.constant import DropColumn, Fixed, KeepValue, Null, Redact
from cdc_masker.methods.contact import Email
from cdc_masker.methods.dates import Date, Month, Year
from cdc_masker.methods.encrypt import Encrypt
from cdc_masker.methods.fpe import Fpe
from cdc_masker.methods.fresh import Random
from cdc_masker.methods.generalise import Age, Bucket, Round
from cdc_masker.methods.network import Ip, Url
from cdc_masker.methods.noise import Noise
from cdc_masker.methods.partial import Partial, Truncate
from cdc_masker.methods.phone import Phone
from cdc_masker.methods.places import Geo, Postcode
from cdc_masker.methods.pseudonym import Pseudonym
from cdc_masker.methods.scrub import Scrub
from cdc_masker.methods.shift import DateShift
from cdc_masker.methods.token import Tokenize
from cdc_masker.policies import Rule
from cdc_masker.schemas import Type

__all__ = [
    "METHODS",
    "NO_SUBJECTS",
    "UNCHANGED",
    "UNCHANGED_TEXT",
    "Column",
    "Compute",
    "Constant",
    "Context",
    "Contextual",
    "Disclosure",
    "Drop",
    "Keep",
    "Keys",
    "Method",
    "Misfit",
    "MissingSubject",
    "Rewrite",
    "Subjects",
    "Transform",
    "Uniqueness",
    "Unmaskable",
    "build",
    "fits",
    "redaction",
]

METHODS: dict[str, type[Method]] = {
    KeepValue.name: KeepValue,
    Null.name: Null,
    Redact.name: Redact,
    Fixed.name: Fixed,
    DropColumn.name: DropColumn,
    Truncate.name: Truncate,
    Partial.name: Partial,
    Email.name: Email,
    Ip.name: Ip,
    Url.name: Url,
    Card.name: Card,
    Phone.name: Phone,
    Tokenize.name: Tokenize,
    Encrypt.name: Encrypt,
    Fpe.name: Fpe,
    Pseudonym.name: Pseudonym,
    Random.name: Random,
    Noise.name: Noise,
    Bucket.name: Bucket,
    Round.name: Round,
    Age.name: Age,
    Year.name: Year,
    Month.name: Month,
    Date.name: Date,
    DateShift.name: DateShift,
    Postcode.name: Postcode,
    Geo.name: Geo,
    Scrub.name: Scrub,
}


def build(rule: Rule, known: Mapping[str, type[Method]] = METHODS) -> Method:
    """The method that a rule names, among those that there are, with its parameters.

    Raises `PolicyError` naming the rule; params may be confidential (a `fixed` value, say), so the message tells their
    names and types only.
    """
    method = known.get(rule.method)
    if method is None:
        raise PolicyError(rule.place, f"there is no method {rule.method!r}; there are {', '.join(known)}")
    try:
        return msgspec.convert(rule.params, method)
    except msgspec.ValidationError as error:
        raise PolicyError(rule.place, f"params of method {rule.method}: {error}") from None


def fits(method: Method, type_: Type, *, few: bool) -> bool:
    """Whether it may mask columns whose real type is this one. `few`: somebody accepted that it allows few values."""
    return method.accepts(type_) and (few or not method.tells_equal or not has_few_values(type_))
