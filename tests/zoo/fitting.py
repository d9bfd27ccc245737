"""A policy that gives each column of the zoo a method for its type, another one in each table, and each method some columns.

Dates have none that moves them by days: so few are possible that some would become others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods import build
from cdc_masker.policies import Policy, Rule, TableDefault
from cdc_masker.schemas import Type, from_postgres
from tests.zoo.animals import ANIMALS, Animal

__all__ = ["FITTING"]

_PARAMS: dict[str, dict[str, Any]] = {
    "truncate": {"length": 2},
    "partial": {"first": 1, "last": 1},
    "email": {},
    "ip": {},
    "url": {},
    "card": {},
    "phone": {},
    "tokenize": {},
    "encrypt": {},
    "fpe": {"alphabet": "alphanumeric"},
    "pseudonym": {"kind": "street"},
    "random": {"min": -9, "max": 9, "digits": 3},
    "noise": {"distribution": "uniform", "bound": 5_000},
    "bucket": {"size": 1_000_000},
    "round": {"digits": -4},
    "age": {},
    "year": {},
    "month": {},
    "date": {},
    "date_shift": {"subject": "id", "domain": "fitting"},
    "postcode": {"sparse": []},
    "geo": {"degrees": 45},
}
_OF_DAYS = {"noise", "year", "month", "date_shift"}


def _fitting(animal: Animal) -> Iterator[Rule]:
    """A rule with each method that takes values of the column's type; `tokenize` and `encrypt` need not know the type."""
    stated = animal.type if from_postgres(animal.type) is not None else None
    type_ = None if stated is None else from_postgres(stated)
    for name, params in _PARAMS.items():
        rule = Rule(schema="zoo", table="", column=animal.name, type=stated, method=name, params=params)
        if _takes(rule, type_):
            yield rule


def _takes(rule: Rule, type_: Type | None) -> bool:
    if type_ is None:
        return rule.method == "encrypt" and not rule.column.endswith(("_array", "_matrix"))
    if type_.base == "array" or (kind_of(type_) is Kind.DATE and rule.method in _OF_DAYS):
        return False
    return build(rule).accepts(type_)


def _rules() -> Iterator[Rule]:
    used = dict.fromkeys(_PARAMS, 0)
    for animal in ANIMALS:
        few = list(_fitting(animal))
        for table in ("Type Zoo", "required", "partial") if few else ():
            rule = min(few, key=lambda each: used[each.method])
            used[rule.method] += 1
            yield Rule(
                schema="zoo", table=table, column=rule.column, type=rule.type, method=rule.method, params=rule.params,
                allow_small_domain=True, reason="a test",
            )  # fmt: skip


FITTING = Policy.of(
    1,
    rules=[
        *_rules(),
        Rule(schema="zo*", table="parts*", column="se*", pattern=True, method="encrypt"),
        Rule(schema="*", table="indexed", column="*", pattern=True, method="tokenize", params={"domain": "fitting"}),
        Rule(schema="zoo", table="Gr*", column="*", pattern=True, method="redact", allow_uniqueness_loss=True, reason="a test"),
    ],
    tables=[TableDefault(schema="zoo", table="nokey", default="drop")],
)
