"""The laws of constant and partial methods, and what their parameters may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Column, Compute, Constant, Keep, Transform, Unmaskable
from cdc_masker.methods.partial import Partial, Truncate
from cdc_masker.policies import Policy
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, rule

TEXT, ENUM = Type(base="string"), Type(base="string", name="io.debezium.data.Enum", version=1)
INT4, INT8 = Type(base="int32"), Type(base="int64")


def compiled(method: str, type_: Type | None = None, **params: Any) -> Transform:
    column = Column(place="column c", type=type_, domain="own")
    return methods.build(rule("c", method, **params)).compile(column, KEYS)


def computed(method: str, value: Any, type_: Type | None = None, **params: Any) -> Any:
    transform = compiled(method, type_, **params)
    assert isinstance(transform, Compute)
    return transform.function(value)


def problem(method: str, *, type: str | None = None, **params: Any) -> str:  # noqa: A002
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=[rule("c", method, type=type, **params)]))
    return str(caught.value)


def test_keep_leaves_the_text_alone() -> None:
    assert compiled("keep", INT8) == Keep()


@pytest.mark.parametrize("type_", [None, TEXT, ENUM, INT4, Type(base="string", optional=True)])
def test_null_is_null_and_its_type_allows_it(type_: Type | None) -> None:
    transform = compiled("null", type_)
    assert isinstance(transform, Constant)
    assert transform.value is None
    assert transform.type is None if type_ is None else transform.type is not None and transform.type.optional


@pytest.mark.parametrize(
    ("type_", "expected"),
    [(None, None), (TEXT, ""), (Type(base="string", optional=True), None), (INT4, 0), (Type(base="boolean"), False)],
)
def test_redact_is_null_where_it_may_be_else_the_neutral_value(type_: Type | None, expected: Any) -> None:
    transform = compiled("redact", type_)
    assert isinstance(transform, Constant)
    assert transform.value == expected
    assert transform.type == type_


@pytest.mark.parametrize("method", ["null", "redact", "fixed", "truncate", "partial", "tokenize"])
def test_a_masked_enum_becomes_a_plain_text(method: str) -> None:
    params: dict[str, dict[str, Any]] = {"fixed": {"value": "x"}, "truncate": {"length": 1}, "partial": {"last": 1}}
    transform = compiled(method, ENUM, **params.get(method, {}))
    assert isinstance(transform, Constant | Compute)
    assert transform.type is not None
    assert (transform.type.base, transform.type.name) == ("string", None)


@pytest.mark.parametrize("value", ["[removed]", 'with "quotes" and é', 0, -5, 2.5, True, ""])
def test_fixed_is_the_value_that_was_given(value: Any) -> None:
    transform = compiled("fixed", value=value)
    assert isinstance(transform, Constant)
    assert transform.value == value
    assert type(transform.value) is type(value)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", 1),
        ("text", True),
        ("integer", "1"),
        ("integer", True),
        ("integer", 1.5),
        ("integer", 2**31),
        ("smallint", -(2**15) - 1),
        ("bigint", -(2**63) - 1),
        ("bigint", 2**64),
        ("boolean", 1),
        ("double precision", "x"),
        ("double precision", False),
        ("real", 1e39),
        ("real", -1e39),
        ("smallint", 1.0),
        ("uuid", "x"),
        ("date", 1),
        ("numeric", 1),
        ("bytea", "AA=="),
        ("text[]", "x"),
    ],
)
def test_fixed_refuses_a_value_that_does_not_fit_the_column(type_name: str, value: Any) -> None:
    assert "rule crm.people.c" in problem("fixed", type=type_name, value=value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_fixed_refuses_a_number_that_json_readers_lose(value: int) -> None:
    assert "rule crm.people.c" in problem("fixed", value=value)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", "x"),
        ("enum", "x"),
        ("integer", -(2**31)),
        ("bigint", 2**63 - 1),
        ("real", 3e38),
        ("real", 1),
        ("float8", 0.5),
        ("bool", True),
    ],
)
def test_fixed_takes_a_value_that_fits(type_name: str, value: Any) -> None:
    check(Policy.of(1, rules=[rule("c", "fixed", type=type_name, value=value)]))


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("DE89370400440532013000", 2, "DE"), ("ab", 5, "ab"), ("", 3, ""), ("äöü", 2, "äö"), ("😀😁😂", 1, "😀"), ("abc", 0, "")],
)
def test_truncate_counts_code_points(text: str, length: int, expected: str) -> None:
    assert computed("truncate", text, length=length) == expected


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("4601815908301662", {"first": 6, "last": 4}, "460181******1662"),
        ("+1-202-555-0000", {"last": 2}, "*************00"),
        ("abcdef", {"first": 1}, "a*****"),
        ("abc", {"first": 1, "last": 1, "mask": "#"}, "a#c"),
        ("ab", {"first": 1, "last": 1}, "**"),
        ("a", {"first": 6, "last": 4}, "*"),
        ("", {"first": 6, "last": 4}, ""),
        ("😀é😂ö", {"first": 1, "last": 1, "mask": "·"}, "😀··ö"),
    ],
)
def test_partial_shows_both_ends_and_hides_the_middle(text: str, params: dict[str, Any], expected: str) -> None:
    assert computed("partial", text, **params) == expected


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_partial_never_shows_more_than_it_may(text: str, first: int, last: int) -> None:
    if first + last == 0:
        return
    shown = computed("partial", text, first=first, last=last, mask="\N{FULL BLOCK}")
    assert len(shown) == len(text)
    if len(text) <= first + last:
        assert set(shown) <= {"\N{FULL BLOCK}"}
    else:
        assert shown == text[:first] + "\N{FULL BLOCK}" * (len(text) - first - last) + text[len(text) - last :]


def test_smaller_ends_of_a_text_are_not_called_less() -> None:
    wide, narrow = Partial(first=6, last=4), Partial(last=4)
    assert computed("partial", "Anna Ray", first=6, last=4) == "********"
    assert computed("partial", "Anna Ray", last=4) == "**** Ray"
    assert not narrow.no_weaker_than(wide)
    assert not wide.no_weaker_than(narrow)
    assert wide.no_weaker_than(Partial(first=6, last=4, mask="#"))
    assert Truncate(length=1).no_weaker_than(Truncate(length=2))
    assert not Truncate(length=2).no_weaker_than(Truncate(length=1))


@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": "b"}])
@pytest.mark.parametrize(("method", "params"), [("truncate", {"length": 2}), ("partial", {"last": 2})])
def test_methods_of_texts_take_nothing_else(method: str, params: dict[str, Any], value: Any) -> None:
    with pytest.raises(Unmaskable):
        computed(method, value, **params)


@pytest.mark.parametrize("type_name", ["bigint", "uuid", "jsonb", "timestamptz", "bytea", "numeric", "text[]", "boolean"])
@pytest.mark.parametrize(("method", "params"), [("truncate", {"length": 2}), ("partial", {"last": 2})])
def test_methods_of_texts_are_refused_on_other_columns(method: str, params: dict[str, Any], type_name: str) -> None:
    assert f"method {method} can't be used on a column of this type" in problem(method, type=type_name, **params)


@pytest.mark.parametrize("type_name", ["smallint", "boolean", "bytea", "date", "timestamptz", "jsonb", "text[]"])
def test_tokenize_is_refused_where_it_could_not_keep_type_and_distinctness(type_name: str) -> None:
    assert "method tokenize can't be used on a column of this type" in problem("tokenize", type=type_name)


def test_partial_that_shows_nothing_is_refused() -> None:
    assert "use redact or fixed" in problem("partial")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("keep", {"x": "secret-4711"}),
        ("null", {"x": "secret-4711"}),
        ("redact", {"x": "secret-4711"}),
        ("fixed", {}),
        ("fixed", {"value": ["secret-4711"]}),
        ("fixed", {"value": None}),
        ("truncate", {}),
        ("truncate", {"length": -1}),
        ("truncate", {"length": "secret-4711"}),
        ("truncate", {"length": 10_001}),
        ("partial", {"first": 1, "mask": ""}),
        ("partial", {"first": 1, "mask": "secret-4711"}),
        ("partial", {"first": 1.5}),
        ("tokenize", {"domain": ""}),
        ("tokenize", {"domain": 4711}),
        ("tokenize", {"domain": "secret-4711" * 20}),
        ("tokenize", {"key": "secret-4711"}),
    ],
)
def test_wrong_parameters_name_the_rule_and_not_what_stood_there(method: str, params: dict[str, Any]) -> None:
    message = problem(method, **params)
    assert "rule crm.people.c" in message
    assert method in message
    assert "4711" not in message


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    message = problem("scramble")
    assert "'scramble'" in message
    assert all(name in message for name in methods.METHODS)


@pytest.mark.parametrize("name", methods.METHODS)
def test_the_registry_names_each_method_as_it_names_itself(name: str) -> None:
    assert methods.METHODS[name].name == name


@pytest.mark.parametrize("method", ["null", "redact"])
@pytest.mark.parametrize("type_name", ["text", "bigint", "uuid", "numeric", "numeric(12,2)", "jsonb", "timestamptz", "text[]"])
def test_constants_can_be_written_as_json(method: str, type_name: str) -> None:
    transform = compiled(method, from_postgres(type_name))
    assert isinstance(transform, Constant)
    json.dumps(transform.value)
