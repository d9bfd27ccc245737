"""What the parameters of a rule show of a value on purpose, by method, so that the search counts it as kept.

Read from the descriptions of the methods, not from their code. A method that shows nothing is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdc_masker.leaks.leaves import Number
from cdc_masker.policies import Rule

__all__ = ["shown"]

_Params = Mapping[str, Any]


def shown(rule: Rule, value: Any) -> Any:
    """What stands in the output of that value by the rule's parameters: a constant, or parts of a text. None: nothing."""
    if rule.method == "fixed":
        return str(rule.params.get("value", ""))
    if isinstance(value, Number) or not isinstance(value, str):
        return None
    of_text = _OF_TEXT.get(rule.method)
    return None if of_text is None else of_text(rule.params, value)


def _truncated(params: _Params, text: str) -> list[str]:
    return [text[: params.get("length", 0)]]


def _ends(params: _Params, text: str) -> list[str]:
    first, last = params.get("first", 0), params.get("last", 0)
    return [text[:first], text[len(text) - last :]] if first + last < len(text) else []


_OF_TEXT: dict[str, Callable[[_Params, str], list[str]]] = {"truncate": _truncated, "partial": _ends}
