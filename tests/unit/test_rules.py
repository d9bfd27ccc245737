"""What rules of one policy may not do together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.policies import Policy, Rule
from tests.unit.building import rule

CARD = "payment card"


def about(column: str, method: str, classification: str | None = CARD, **params: Any) -> Rule:
    return msgspec.structs.replace(rule(column, method, **params), classification=classification)


def problem(*rules: Rule) -> str:
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=rules))
    return str(caught.value)


@dataclass(frozen=True)
class Shown:
    """A way to show a part of a card number."""

    method: str
    params: dict[str, Any]


SHOWN = [Shown("partial", {"last": 4}), Shown("truncate", {"length": 6})]


@pytest.mark.parametrize("shown", [*SHOWN, Shown("card", {})], ids=lambda shown: shown.method)
def test_equal_tokens_and_parts_of_card_numbers_are_refused_together_and_both_rules_named(shown: Shown) -> None:
    token, part = about("number", "tokenize"), about("short", shown.method, **shown.params)
    for rules in ((token, part), (part, token)):
        message = problem(*rules)
        assert "rule crm.people.number" in message
        assert "rule crm.people.short" in message


def test_a_part_of_a_column_counts_as_a_column() -> None:
    inside = msgspec.structs.replace(about("profile", "tokenize"), path="$.card")
    assert "rule crm.people.profile$.card" in problem(inside, about("short", "partial", last=4))


def test_tables_and_servers_make_no_difference() -> None:
    elsewhere = msgspec.structs.replace(about("number", "tokenize"), server="other", schema="pay", table="cards")
    assert "rule other:pay.cards.number" in problem(elsewhere, about("short", "partial", last=4))


def test_methods_for_card_numbers_need_no_classification_to_be_seen() -> None:
    encrypted = about("number", "fpe", None, alphabet="digits", check_digit="valid")
    assert "payment cards" in problem(encrypted, about("short", "card", None))
    assert "payment cards" in problem(about("number", "tokenize"), about("short", "card", None))
    assert "payment cards" in problem(encrypted, about("short", "truncate", length=4))


@pytest.mark.parametrize("spelling", ["payment card", "payment_card", "Payment-Card", " PAYMENT  CARD "])
def test_the_classification_is_read_in_each_spelling(spelling: str) -> None:
    assert "payment cards" in problem(about("a", "tokenize", spelling), about("b", "partial", spelling, last=4))


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.method)
def test_either_alone_is_fine_and_so_is_another_kind_of_column_beside_it(shown: Shown) -> None:
    token, part = about("number", "tokenize"), about("short", shown.method, **shown.params)
    for rules in (
        (token, about("other", "tokenize")),
        (part, about("other", shown.method, **shown.params)),
        (token, about("name", shown.method, "name", **shown.params)),
        (token, about("name", shown.method, None, **shown.params)),
        (part, about("name", "tokenize", None)),
        (token, about("gone", "redact"), about("null", "null"), about("fixed", "fixed", value="x"), about("kept", "keep")),
    ):
        check(Policy.of(1, rules=rules))


@pytest.mark.parametrize(
    ("method", "params"),
    [("partial", {"first": 7}), ("partial", {"last": 5}), ("partial", {"first": 6, "last": 5}), ("truncate", {"length": 7})],
)
def test_more_than_the_first_six_and_the_last_four_of_a_card_number_is_refused(method: str, params: dict[str, Any]) -> None:
    message = problem(about("number", method, **params))
    assert "rule crm.people.number" in message
    assert "first 6 and the last 4" in message
    check(Policy.of(1, rules=[about("number", method, "serial number", **params)]))


@pytest.mark.parametrize(
    ("method", "params"), [("partial", {"first": 6, "last": 4}), ("partial", {"last": 4}), ("truncate", {"length": 6})]
)
def test_as_much_as_that_is_not(method: str, params: dict[str, Any]) -> None:
    check(Policy.of(1, rules=[about("number", method, **params)]))


@pytest.mark.parametrize(
    ("method", "params"), [("tokenize", {}), ("encrypt", {}), ("date_shift", {"days": 200, "subject": "id", "type": "date"})]
)
def test_no_domain_is_named_as_that_of_a_column_without_one_is(method: str, params: dict[str, Any]) -> None:
    own = json.dumps(["*", "crm", "people", "a"])
    assert "begin with another" in problem(rule("a", "tokenize"), rule("b", method, domain=own, **params))
    check(Policy.of(1, rules=[rule("b", "tokenize", domain="[a]")]))
