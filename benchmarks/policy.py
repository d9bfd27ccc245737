"""Policies of benchmarks: as a document, as a masker made of it, and as what a revision says, for a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from cdc_masker.cores import is_compiled
from cdc_masker.guard import EgressGuard
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.settings import load

__all__ = ["CUSTOMERS", "masked", "masker", "operations"]

_LARGEST = 1 << 26

Rule = dict[str, Any]


def masked(column: str, type_: str, method: str, **params: str) -> Rule:
    """A rule that masks a column of the customers."""
    rule: Rule = {"schema": "crm", "table": "customers", "column": column, "type": type_, "method": method}
    return {**rule, **({"params": params} if params else {}), "classification": "personal"}


def _kept(column: str, type_: str) -> Rule:
    return {"schema": "crm", "table": "customers", "column": column, "type": type_, "method": "keep", "reason": "not personal"}


CUSTOMERS: dict[str, Any] = {
    "format": 1,
    "version": 1,
    "domains": [{"name": "email", "type": "text"}, {"name": "ssn", "type": "text"}],
    "rules": [
        masked("email", "text", "tokenize", domain="email"),
        masked("full_name", "text", "null"),
        masked("phone", "varchar", "fixed", value="***"),
        masked("ssn", "char(11)", "tokenize", domain="ssn"),
        masked("card_number", "varchar", "card"),
        _kept("id", "bigint"),
        _kept("balance", "numeric(12,2)"),
        _kept("tier", "enum"),
        _kept("created_at", "timestamptz"),
        _kept("updated_at", "timestamp"),
        _kept("ref", "uuid"),
        _kept("notes", "text"),
        _kept("active", "boolean"),
        _kept("score", "double precision"),
    ],
}
"""For `benchmarks.events`: five columns are masked, two of them tokenized, and all others are kept."""


def masker(document: Mapping[str, Any], *, guard_every: int = 1) -> Masker:
    """What masks by that policy in memory, as a worker would: `CDC_MASKER_CORE` chooses its core."""
    policy = Policy.from_document(orjson.dumps(document))
    guard = EgressGuard(guard_every)
    return Masker(policy, new_keyring(), max_record_bytes=_LARGEST, guard=guard, native=is_compiled(load().core))


def operations(document: Mapping[str, Any]) -> list[str]:
    """What a policy revision has to say for the same rules."""
    said = [f"op.declare_domain({domain['name']!r}, type={domain['type']!r})" for domain in document["domains"]]
    for rule in document["rules"]:
        named = {name: rule[name] for name in ("type", "reason", "classification") if name in rule}
        if rule["method"] != "keep":
            named |= {"method": rule["method"], **rule.get("params", {})}
        arguments = "".join(f", {name}={value!r}" for name, value in named.items())
        operation = "keep_column" if rule["method"] == "keep" else "mask_column"
        said.append(f"op.{operation}({rule['schema'] + '.' + rule['table']!r}, {rule['column']!r}{arguments})")
    return said
