"""The way back: of what there is one, with which keys, and for whom."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.engine import Engine
from cdc_masker.errors import KeyringError, PolicyError
from cdc_masker.keys import new_keyring
from cdc_masker.lookup import Table
from cdc_masker.methods import Compute, Context, Contextual, Keys
from cdc_masker.policies import Domain, Policy, Rule
from cdc_masker.reveal import reveal
from cdc_masker.schemas import Type, from_postgres
from tests.unit.building import KEYS, rule

PEOPLE = Table("shop", "crm", "people", "shop.crm.people")
SUBJECT_KEY = b"s" * 32
PER_SUBJECT = Domain(name="mine", per_subject=True)


class OneSubject:
    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return SUBJECT_KEY


def engine(a_rule: Rule, *domains: Domain, keys: Keys = KEYS) -> Engine:
    return Engine(Policy.of(1, rules=[a_rule], domains=domains), keys)


def masked(by: Engine, value: Any, type_: Type | None = None, table: Table = PEOPLE) -> Any:
    made = by.compile(table, (("c", type_),), frozenset()).transforms["c"]
    if isinstance(made, Contextual):
        row = {"id": msgspec.Raw(b"7")}
        return made.function(value, Context("t", 0, 1, OneSubject(), row=row))
    assert isinstance(made, Compute)
    return made.function(value)


def there_and_back(by: Engine, value: Any, type_: Type | None = None) -> Any:
    return reveal(by, KEYS, PEOPLE, "c", masked(by, value, type_), type_=type_)


@given(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(-1e15, 1e15)))
def test_what_was_encrypted_comes_back(value: Any) -> None:
    by = engine(rule("c", "encrypt"))
    back = there_and_back(by, value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"alphabet": "digits"}, "0049-171 000000"),
        ({"alphabet": "digits", "check_digit": "valid"}, "4111 1111 1111 1111"),
        ({"alphabet": "digits", "check_digit": "invalid"}, "4111 1111 1111 1111"),
        ({"alphabet": "alphanumeric", "domain": "d"}, "DE89 3704 0044 0532 0130 00"),
        ({"characters": "xyzabc"}, "xx-yy-zz-aabbccx"),
    ],
)
def test_what_kept_its_format_comes_back(params: dict[str, Any], text: str) -> None:
    by = engine(rule("c", "fpe", **params))
    assert masked(by, text) != text
    assert there_and_back(by, text) == text


@pytest.mark.parametrize("value", [0, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("type_", ["int", "bigint", None])
@pytest.mark.parametrize("domain", [None, "d"])
def test_the_token_of_an_integer_comes_back(value: int, type_: str | None, domain: str | None) -> None:
    by = engine(rule("c", "tokenize", **({} if domain is None else {"domain": domain})))
    assert there_and_back(by, value, None if type_ is None else from_postgres(type_)) == value


def test_a_text_in_a_domain_of_integers_comes_back_as_text() -> None:
    by = engine(rule("c", "tokenize", type="text", domain="d"), Domain(name="d", type="bigint"))
    assert there_and_back(by, "815") == "815"


def test_the_type_is_what_the_rule_says_where_nobody_says_more() -> None:
    by = engine(rule("c", "tokenize", type="int"))
    assert there_and_back(by, 815) == 815


def test_a_part_comes_back_by_its_path() -> None:
    a_rule = Rule(schema="crm", table="people", column="c", path="$.a", method="encrypt")
    by = engine(a_rule)
    row = by.compile(PEOPLE, (("c", None),), frozenset())
    text = row.apply({"c": msgspec.Raw(b'{"a":"ana","b":1}')}, "after", Context("t", 0, 1))
    token = msgspec.json.decode(text)["c"]["a"]
    assert reveal(by, KEYS, PEOPLE, "c", token, path="$.a") == "ana"
    with pytest.raises(PolicyError, match="no rule decides"):
        reveal(by, KEYS, PEOPLE, "c", token)


def test_what_a_pattern_decides_comes_back_for_its_own_column_only() -> None:
    by = engine(Rule(schema="*", table="*", column="*", pattern=True, method="encrypt"))
    token = masked(by, "ana")
    assert reveal(by, KEYS, PEOPLE, "c", token) == "ana"
    with pytest.raises(KeyringError):
        reveal(by, KEYS, PEOPLE, "other", token)


def test_what_is_under_a_subjects_key_needs_that_key() -> None:
    by = engine(rule("c", "encrypt", domain="mine", subject="id"), PER_SUBJECT)
    token = masked(by, "ana")
    assert reveal(by, KEYS, PEOPLE, "c", token, subject_key={"mine": SUBJECT_KEY}.__getitem__) == "ana"
    with pytest.raises(KeyringError, match="name the subject"):
        reveal(by, KEYS, PEOPLE, "c", token)
    with pytest.raises(KeyringError, match="was not masked with this key"):
        reveal(by, KEYS, PEOPLE, "c", token, subject_key=lambda _: bytes(32))


@pytest.mark.parametrize(
    ("method", "params", "value"),
    [
        ("tokenize", {}, "0" * 32),
        ("tokenize", {"type": "uuid"}, "93370f70-9f20-8a82-89ba-0f80e2dd4f58"),
        ("tokenize", {"type": "int"}, 2**31),
        ("tokenize", {"type": "int"}, True),
        ("redact", {}, ""),
        ("keep", {}, "ana"),
    ],
)
def test_of_anything_else_there_is_no_way_back(method: str, params: dict[str, Any], value: Any) -> None:
    with pytest.raises(PolicyError, match="with any key"):
        reveal(engine(rule("c", method, **params)), KEYS, PEOPLE, "c", value)


@pytest.mark.parametrize("value", ["", "ana", "=", "AAAA" * 10, "ä" * 24, 5, None, ["AAAA"]])
def test_what_was_not_encrypted_here_is_refused(value: Any) -> None:
    with pytest.raises(KeyringError, match="was not masked with this key, domain and epoch"):
        reveal(engine(rule("c", "encrypt")), KEYS, PEOPLE, "c", value)


@pytest.mark.parametrize("value", ["", "12345", "4111 1111 1111 1112", "x", 5, None])
def test_what_can_not_come_from_format_preserving_encryption_is_refused(value: Any) -> None:
    by = engine(rule("c", "fpe", alphabet="digits", check_digit="valid"))
    with pytest.raises(KeyringError, match="was not masked with this key"):
        reveal(by, KEYS, PEOPLE, "c", value)


def test_a_changed_token_or_another_key_give_nothing() -> None:
    by = engine(rule("c", "encrypt"))
    token = masked(by, "ana maria")
    changed = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    for keys, value in [(KEYS, changed), (KEYS, token[:-2]), (new_keyring(), token)]:
        with pytest.raises(KeyringError):
            reveal(by, keys, PEOPLE, "c", value)
