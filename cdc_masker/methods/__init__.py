"""The masking methods, one file per family, and their registry: an explicit literal."""

from __future__ import annotations

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.methods.base import Column, Compute, Constant, Keep, Keys, Method, Rewrite, Transform, Unmaskable, redaction
from cdc_masker.methods.constant import Fixed, KeepValue, Null, Redact
from cdc_masker.methods.partial import Partial, Truncate
from cdc_masker.methods.token import Tokenize
from cdc_masker.policies import Rule

__all__ = [
    "METHODS",
    "Column",
    "Compute",
    "Constant",
    "Keep",
    "Keys",
    "Method",
    "Rewrite",
    "Transform",
    "Unmaskable",
    "build",
    "redaction",
]

METHODS: dict[str, type[Method]] = {
    KeepValue.name: KeepValue,
    Null.name: Null,
    Redact.name: Redact,
    Fixed.name: Fixed,
    Truncate.name: Truncate,
    Partial.name: Partial,
    Tokenize.name: Tokenize,
}


def build(rule: Rule) -> Method:
    """The method that a rule names, with its parameters. Raises `PolicyError` naming the rule; params may be confidential
    (a `fixed` value, say), so the message tells their names and types only.
    """
    known = METHODS.get(rule.method)
    if known is None:
        raise PolicyError(rule.place, f"there is no method {rule.method!r}; there are {', '.join(METHODS)}")
    try:
        return msgspec.convert(rule.params, known)
    except msgspec.ValidationError as error:
        raise PolicyError(rule.place, f"params of method {rule.method}: {error}") from None
