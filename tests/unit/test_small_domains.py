"""Keyed equality of few values: refused when the policy is made, redacted when the type turns out so, if nobody said why."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_masker.engine import Engine, check
from cdc_masker.errors import PolicyError
from cdc_masker.kinds import has_few_values, longest
from cdc_masker.lookup import Table
from cdc_masker.methods import Compute, Constant
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, rule

PEOPLE = Table("shop", "crm", "people", "shop.crm.people")
FEW = ["boolean", "bit", "bit(13)", "varbit(5)", "enum", "smallint", "numeric(3)", "numeric(2,2)"]
MANY = ["bit(14)", "varbit", "bytea", "int", "bigint", "numeric", "numeric(4)", "money", "text", "uuid", "date", "jsonb"]
CODES = ["char", "character", "char(1)", "CHAR(2)", "varchar(2)", "character varying (1)", "bpchar(2)"]


def accepting(column: str, method: str, reason: str | None, *, type: str | None = None, **params: Any) -> Rule:  # noqa: A002
    return Rule(
        schema="crm",
        table="people",
        column=column,
        type=type,
        method=method,
        params=params,
        allow_small_domain=True,
        reason=reason,
    )


@pytest.mark.parametrize("name", [*FEW, *MANY])
def test_types_of_few_values_are_told_from_others(name: str) -> None:
    type_ = from_postgres(name)
    assert type_ is not None
    assert has_few_values(type_) == (name in FEW)


@pytest.mark.parametrize(
    ("name", "length"),
    [("char", 1), ("character", 1), ("char(11)", 11), ("varchar(255)", 255), ("character varying( 3 )", 3)]
    + [
        (name, None)
        for name in ("text", "varchar", "bpchar", "name", "bit(3)", "numeric(3)", "char(x)", '"char"', "varchar(2)[]")
    ],
)
def test_the_length_of_a_text_is_what_its_type_says(name: str, length: int | None) -> None:
    assert longest(name) == length


@pytest.mark.parametrize("name", [*FEW, *CODES])
def test_encryption_of_few_values_is_refused_unless_somebody_says_why(name: str) -> None:
    with pytest.raises(PolicyError, match=r"rule crm\.people\.c: type .* allows so few values .* allow_small_domain"):
        check(Policy.of(1, rules=[rule("c", "encrypt", type=name)]))
    check(Policy.of(1, rules=[accepting("c", "encrypt", "a code that is public", type=name)]))


@pytest.mark.parametrize("name", [*MANY, "char(3)", "varchar", "varchar(3)"])
def test_encryption_of_many_values_is_not_refused(name: str) -> None:
    check(Policy.of(1, rules=[rule("c", "encrypt", type=name)]))


@pytest.mark.parametrize("name", ["enum", "char(2)"])
@pytest.mark.parametrize(("method", "params"), [("redact", {}), ("keep", {}), ("null", {}), ("fixed", {"value": "x"})])
def test_methods_that_tell_no_equality_or_all_are_not_refused(name: str, method: str, params: dict[str, Any]) -> None:
    check(Policy.of(1, rules=[rule("c", method, type=name, **params)]))


def test_tokens_of_few_values_are_refused() -> None:
    with pytest.raises(PolicyError, match="type enum allows so few values"):
        check(Policy.of(1, rules=[rule("c", "tokenize", type="enum")]))


@pytest.mark.parametrize("reason", [None, "", "  "])
@pytest.mark.parametrize("accepted", ["allow_small_domain", "allow_uniqueness_loss"])
def test_what_is_accepted_needs_a_reason(reason: str | None, accepted: str) -> None:
    given: dict[str, Any] = {accepted: True, "reason": reason}
    with pytest.raises(PolicyError, match=r"rule crm\.people\.c: allow_small_domain and allow_uniqueness_loss need a reason"):
        check(Policy.of(1, rules=[Rule(schema="crm", table="people", column="c", method="redact", **given)]))


@pytest.mark.parametrize(("type_", "alphabet"), [("char(5)", "digits"), ("varchar(4)", "lower"), ("char(3)", "alphanumeric")])
def test_format_preserving_encryption_of_too_short_texts_is_refused(type_: str, alphabet: str) -> None:
    with pytest.raises(PolicyError, match=r"rule crm\.people\.c: texts of at most \d characters are too short"):
        check(Policy.of(1, rules=[rule("c", "fpe", type=type_, alphabet=alphabet)]))
    with pytest.raises(PolicyError, match="too short"):
        check(Policy.of(1, rules=[accepting("c", "fpe", "why not", type=type_, alphabet=alphabet)]))


def test_a_check_digit_is_none_of_the_characters_that_are_encrypted() -> None:
    check(Policy.of(1, rules=[rule("c", "fpe", type="char(6)", alphabet="digits")]))
    with pytest.raises(PolicyError, match="too short"):
        check(Policy.of(1, rules=[rule("c", "fpe", type="char(6)", alphabet="digits", check_digit="valid")]))


_ENUM = Type(base="string", name="io.debezium.data.Enum", version=1)


@pytest.mark.parametrize("type_", [_ENUM, Type(base="boolean"), Type(base="int16")])
def test_a_column_that_turns_out_to_have_few_values_is_redacted_and_told(type_: Type) -> None:
    plan = Engine(Policy.of(1, rules=[rule("c", "encrypt")]), KEYS).compile(PEOPLE, (("c", type_),), frozenset())
    assert isinstance(plan.transforms["c"], Constant)
    assert plan.undecided == {"c"}
    plan = Engine(Policy.of(1, rules=[accepting("c", "encrypt", "why not")]), KEYS).compile(
        PEOPLE, (("c", type_),), frozenset()
    )
    assert not isinstance(plan.transforms["c"], Constant)
    assert plan.undecided == frozenset()


def test_a_part_that_turns_out_to_have_few_values_is_redacted() -> None:
    fields = [{"type": "boolean", "optional": True, "field": "a"}, {"type": "string", "optional": True, "field": "b"}]
    columns = {"c": {"type": "struct", "fields": fields}}
    rules = [Rule(schema="crm", table="people", column="c", path=path, method="encrypt") for path in ("$.a", "$.b")]
    event = described(envelope_schema(columns), change(after={"c": {"a": True, "b": "yes"}}))
    after = payload(Masker(Policy.of(1, rules=rules), KEYS).mask(record(event)).value)["after"]["c"]
    assert after["a"] is None
    assert isinstance(after["b"], str)


def test_an_enum_in_a_key_that_nobody_decided_about_gets_a_token() -> None:
    """Few values or not: rows have to keep their identity, or compaction would lose some."""
    plan = Engine(Policy.of(1), KEYS).compile(PEOPLE, (("c", _ENUM),), frozenset("c"))
    assert isinstance(plan.transforms["c"], Compute)
    assert not plan.collapsed
