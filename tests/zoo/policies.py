"""Policies for the zoo: one of somebody who decided nothing, one with any rule for each column, one with rules that fit."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

from cdc_masker.policies import EMPTY, Policy, Rule
from tests.zoo.animals import ANIMALS
from tests.zoo.fitting import FITTING
from tests.zoo.tables import LARGE

__all__ = ["HINT", "KEPT", "POLICIES"]

HINT = "hint"  # the prefix of the only logical messages that rules are about
KEPT = frozenset({"id", "seen", "touched"})

_METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tokenize", {}),
    ("redact", {}),
    ("partial", {"first": 1, "last": 1}),
    ("null", {}),
    ("truncate", {"length": 2}),
    ("tokenize", {"domain": "zoo"}),
    ("fixed", {"value": "gone"}),
)

_ANIMALS = [animal.name for animal in ANIMALS]
_COLUMNS = {
    "Type Zoo": _ANIMALS,
    "required": _ANIMALS,
    "partial": _ANIMALS,
    "toast": [animal.name for animal in LARGE],
    "nokey": ["a", "b"],
    "Größe": ["MixedCase", "пол", 'e\'mail "x"'],
    "parts_old": ["secret"],
    "indexed": ["email"],
    "drift": ["a", "b"],
    "signals": ["data"],
}


def _rules() -> list[Rule]:
    """Each table starts at another method, so that a type meets several."""
    rules = [
        Rule(schema="zoo", table=table, column=column, method=method, params=params)
        for start, (table, columns) in enumerate(_COLUMNS.items())
        for column, (method, params) in zip(columns, islice(cycle(_METHODS), start, None), strict=False)
    ]
    numbered = [table for table in _COLUMNS if table not in ("signals", "Größe")]
    kept = [Rule(schema="zoo", table=table, column=column, method="keep") for table in numbered for column in KEPT]
    messages = [
        Rule(schema="", table=HINT, column="prefix", method="keep"),
        Rule(schema="", table=HINT, column="content", method="null"),
    ]
    return [*rules, *kept, *messages]


POLICIES = {"empty": EMPTY, "rules": Policy.of(1, rules=_rules()), "fitting": FITTING}
