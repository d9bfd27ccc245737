"""The form in which a domain compares values: what joins, what doesn't, and what has no such form."""

from __future__ import annotations

import base64
import json
import unicodedata
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import Engine, check
from cdc_masker.errors import InputError, PolicyError
from cdc_masker.kinds import Kind
from cdc_masker.lookup import Table
from cdc_masker.methods import Column, Compute, Unmaskable
from cdc_masker.methods.canonical import Form, form_of, reader
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, rule
from tests.unit.connect_json import misfits

UUID = "93370f70-9f20-4a82-89ba-0f80e2dd4f58"


def transform(type_: str | None, domain: Domain | None) -> Compute:
    column = Column(
        place="c",
        type=None if type_ is None else from_postgres(type_),
        domain="own",
        declared={} if domain is None else {domain.name: domain},
    )
    params = {} if domain is None else {"domain": domain.name}
    made = methods.build(rule("c", "tokenize", **params)).compile(column, KEYS)
    assert isinstance(made, Compute)
    return made


def token(type_: str | None, value: Any, domain: str | None, *, fold_case: bool = False) -> Any:
    return transform(type_, Domain(name="d", type=domain, fold_case=fold_case)).function(value)


@pytest.mark.parametrize(
    ("domain", "one", "other"),
    [
        ("bigint", ("int", 5), ("bigint", 5)),
        ("int", ("int", 5), ("bigint", 5)),
        ("bigint", (None, 5), ("bigint", 5)),
        ("text", ("text", "5"), ("int", 5)),
        ("text", (None, 5), ("varchar", "5")),
        ("text", ("enum", "gold"), ("varchar(10)", "gold")),
        ("text", ("uuid", UUID), ("text", UUID)),
        ("uuid", ("uuid", UUID), ("text", UUID.upper())),
        ("numeric", ("int", 1), ("text", "1")),
        ("numeric", ("int", 1), ("text", "1.0")),
        ("numeric", (None, 1.0), ("bigint", 1)),
        ("numeric", ("text", "100"), ("text", "+1.00e2")),
        ("numeric", ("text", "-0"), ("int", 0)),
        ("numeric", ("text", "0.10"), (None, 0.1)),
        ("numeric", ("numeric(10,2)", "ZA=="), ("int", 1)),
        ("numeric", ("numeric", {"scale": 3, "value": "A+g="}), ("bigint", 1)),
        ("numeric", ("money", "/5w="), ("text", "-1")),
        ("numeric", ("double precision", 0.1), ("text", "0.1")),
        ("bigint", ("numeric(10,2)", "ZA=="), ("int", 1)),
    ],
)
def test_columns_of_several_types_join_in_a_domain_that_declares_one(domain: str, one: Any, other: Any) -> None:
    assert token(one[0], one[1], domain) == token(other[0], other[1], domain)


@pytest.mark.parametrize(
    ("domain", "one", "other"),
    [
        ("text", ("text", "1"), ("text", "1.0")),
        ("text", ("text", "a"), ("text", "A")),
        ("text", ("text", "5"), ("text", "05")),
        ("numeric", ("text", "0.1"), ("text", "0.10000000000000000000000000000000000001")),
        ("numeric", ("text", "1"), ("text", "-1")),
        ("numeric", ("text", "12"), ("text", "1.2")),
        (None, ("int", 5), ("bigint", 5)),
        (None, ("text", UUID), ("uuid", UUID)),
    ],
)
def test_what_the_form_tells_apart_does_not_join(domain: str | None, one: Any, other: Any) -> None:
    assert token(one[0], one[1], domain) != token(other[0], other[1], domain)


def test_a_text_in_a_domain_of_integers_is_the_token_as_text() -> None:
    assert token("text", "5", "bigint") == str(token("bigint", 5, "bigint"))


@pytest.mark.parametrize(
    ("domain", "type_", "values"),
    [
        ("int", "bigint", [2**31, -(2**31) - 1, "5", 5.0, True]),
        ("bigint", "text", ["", "x", "5.5", "1e999999", "9223372036854775808", " 5", "\u0665", 5]),
        ("bigint", None, [5.5, 2.0**53, True, ["5"]]),
        ("uuid", "text", ["", "x", UUID[:-1], "{" + UUID + "}", 5]),
        ("numeric", "text", ["", "NaN", "Infinity", "1_000", "1e9999999", ".", "½", "1" + "0" * 5 + "x"]),
        ("numeric", None, [2.0**53, -(2.0**60), True, {"a": 1}]),
        ("text", "int", ["5", 5.0, False]),
        ("text", "text", [5, 5.0, None]),
        ("numeric", "enum", ["1"]),
        ("numeric", "numeric(10,2)", ["", "1", "*", 1, 1.0]),
        ("numeric", "numeric", ["ZA==", {"scale": 0}, {"scale": 10**9, "value": "ZA=="}, {"scale": 0, "value": ""}]),
        ("numeric", "double precision", ["NaN", "1", True]),
        ("bigint", "numeric(10,2)", ["AQ=="]),
        ("text", "numeric(10,2)", ["ZA=="]),
        ("uuid", "int", [1]),
    ],
)
def test_a_value_without_that_form_is_not_taken(domain: str, type_: str | None, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(Unmaskable) as caught:
            token(type_, value, domain)
        assert str(value) not in str(caught.value) or value == ""


@given(st.text())
def test_folding_joins_what_differs_in_case_or_spelling_only(text: str) -> None:
    spelled = (text, text.casefold(), unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text))
    assert len({token("text", each, "text", fold_case=True) for each in spelled}) == 1


def test_folding_is_of_all_scripts_and_not_of_accents() -> None:
    same = [("STRASSE", "straße"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("Ǆ", "ǆ"), ("I", "i"), ("\u03aa\u0301", "\u0390")]
    assert all(token("text", a, "text", fold_case=True) == token("text", b, "text", fold_case=True) for a, b in same)
    assert token("text", "e", "text", fold_case=True) != token("text", "é", "text", fold_case=True)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
def test_numbers_have_equal_tokens_exactly_where_they_are_equal(numbers: list[Any]) -> None:
    tokens = [token("text", str(number), "numeric") for number in numbers]
    for number, made in zip(numbers, tokens, strict=True):
        assert [other == made for other in tokens] == [other == number for other in numbers]


@given(st.sets(st.integers(-(10**12), 10**12), min_size=2))
def test_decimals_of_a_column_of_their_own_stay_distinct_as_texts(values: set[int]) -> None:
    made = transform("numeric(14,2)", None)
    assert made.type == Type(base="string")
    written = {base64.b64encode(value.to_bytes(8, "big", signed=True)).decode() for value in values}
    assert len({made.function(text) for text in written}) == len(values)
    assert made.function("ZA==") == made.function("AGQ=")  # the same number in more bytes


@given(st.sets(st.integers(-(2**31), 2**31 - 1), min_size=2))
def test_integers_stay_in_the_declared_range_and_distinct(values: set[int]) -> None:
    tokens = {token("bigint", value, "int") for value in values}
    assert len(tokens) == len(values)
    assert all(-(2**31) <= each < 2**31 for each in tokens)


_COLUMNS = {
    "small": ("int32", "bigint"),
    "big": ("int64", "int"),
    "code": ("string", "bigint"),
    "number": ("int64", "text"),
    "ref": ("string", "uuid"),
    "amount": ("int64", "numeric"),
}
_EXPECTED = {"small": "int64", "big": "int32", "code": "string", "number": "string", "ref": "string", "amount": "string"}


def test_the_schema_of_the_output_tells_the_declared_type() -> None:
    columns = {name: {"type": base} for name, (base, _) in _COLUMNS.items()}
    event = change(after={"small": 1, "big": 2, "code": "3", "number": 4, "ref": UUID, "amount": 5})
    domains = [Domain(name=name, type=type_) for name, (_, type_) in _COLUMNS.items()]
    policy = Policy.of(1, rules=[rule(name, "tokenize", domain=name) for name in columns], domains=domains)
    outcome = Masker(policy, KEYS).mask(record(described(envelope_schema(columns), event)))
    assert misfits(outcome.value) == []
    after = payload(outcome.value)["after"]
    assert {name: type(after[name]) for name in columns} == {
        "small": int,
        "big": int,
        "code": str,
        "number": str,
        "ref": str,
        "amount": str,
    }
    assert outcome.value is not None
    row = json.loads(outcome.value)["schema"]["fields"][1]
    assert {field["field"]: field["type"] for field in row["fields"]} == _EXPECTED
    assert uuid.UUID(after["ref"]).version == 8


@pytest.mark.parametrize(
    ("domain", "type_"),
    [("bigint", "uuid"), ("uuid", "bigint"), ("numeric", "uuid"), ("numeric", "enum"), ("bigint", "enum"), ("uuid", "enum")],
)
def test_a_column_that_can_not_have_the_form_is_refused(domain: str, type_: str) -> None:
    with pytest.raises(PolicyError, match=r"rule crm\.people\.c: values of this type can't be compared in domain 'd'"):
        check(Policy.of(1, rules=[rule("c", "tokenize", type=type_, domain="d")], domains=[Domain(name="d", type=domain)]))


@pytest.mark.parametrize("type_", ["date", "boolean", "smallint", "jsonb", "text[]", "bytea", "point"])
def test_a_domain_can_not_be_declared_with_a_type_that_nothing_is_compared_in(type_: str) -> None:
    with pytest.raises(PolicyError, match=r"domain d: .*text, uuid, integer, bigint or numeric"):
        check(Policy.of(1, domains=[Domain(name="d", type=type_)]))


@pytest.mark.parametrize("type_", ["uuid", "bigint", "numeric"])
def test_only_texts_are_folded(type_: str) -> None:
    with pytest.raises(PolicyError, match="domain d: fold_case is for texts"):
        check(Policy.of(1, domains=[Domain(name="d", type=type_, fold_case=True)]))


def test_rules_of_several_types_need_a_domain_that_is_declared_with_one() -> None:
    rules = [rule("a", "tokenize", type="int", domain="d"), rule("b", "tokenize", type="bigint", domain="d")]
    with pytest.raises(PolicyError, match=r"crm\.people\.b: .*rule crm\.people\.a.*declare domain 'd' with the type"):
        check(Policy.of(1, rules=rules))
    with pytest.raises(PolicyError, match="declare domain 'd'"):
        check(Policy.of(1, rules=rules, domains=[Domain(name="d")]))
    check(Policy.of(1, rules=rules, domains=[Domain(name="d", type="bigint")]))
    check(
        Policy.of(1, rules=[rule("a", "tokenize", type="text", domain="d"), rule("b", "tokenize", type="varchar", domain="d")])
    )
    check(Policy.of(1, rules=[rule("a", "tokenize", type="int", domain="d"), rule("b", "tokenize", domain="d")]))


@pytest.mark.parametrize(("type_", "value"), [("int", 5), ("bigint", 5), (None, 5)])
def test_integers_under_keys_of_subjects_are_compared_as_texts(type_: str | None, value: int) -> None:
    """Permuted under many keys they would meet."""
    space = Domain(name="d", per_subject=True)
    form = form_of(space, None if type_ is None else from_postgres(type_), named=True)
    assert form == Form(Kind.TEXT)
    assert reader(form, None if type_ is None else from_postgres(type_))(value) == b"5"


@pytest.mark.parametrize(
    ("column", "form", "fold_case", "fits"),
    [
        ("text", "text", False, True),
        ("text", "text", True, False),
        ("text", "bigint", False, False),
        ("text", "numeric", False, False),
        ("text", "uuid", False, False),
        ("bigint", "bigint", False, True),
        ("bigint", "numeric", False, True),
        ("bigint", "text", False, True),
        ("uuid", "uuid", False, True),
    ],
)
@pytest.mark.parametrize("with_schema", [True, False])
def test_a_domain_that_calls_distinct_texts_equal_is_no_domain_of_keys(
    column: str, form: str, fold_case: bool, fits: bool, with_schema: bool
) -> None:
    """`7` and `007` are two rows."""
    rules, domains = [rule("c", "tokenize", type=column, domain="d")], [Domain(name="d", type=form, fold_case=fold_case)]
    engine = Engine(Policy.of(1, rules=rules, domains=domains), KEYS)
    table, layout = Table("shop", "crm", "people", "shop.crm.people"), (("c", from_postgres(column) if with_schema else None),)
    if fits:
        engine.compile(table, layout, frozenset("c"))
    else:
        with pytest.raises(InputError, match=r"unfit_key_rule at key\.c"):
            engine.compile(table, layout, frozenset("c"))
