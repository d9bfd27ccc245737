"""`pseudonym`: consistent, made up, of the right kind and language, and never the value itself."""

from __future__ import annotations

import hashlib
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import Engine, check
from cdc_masker.errors import InputError, PolicyError
from cdc_masker.lookup import Table
from cdc_masker.methods import Column, Compute, Unmaskable
from cdc_masker.methods.vocabulary import KINDS, LOCALES, Vocabulary, vocabulary
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, change, masker, payload, record, rule

TEXT = Type(base="string")


def pseudonym(
    kind: str, type_: Type | None = TEXT, *, domains: tuple[Domain, ...] = (), own: str = "own", **params: Any
) -> Any:
    declared = {domain.name: domain for domain in domains}
    column = Column(place="c", type=type_, domain=own, declared=declared)
    made = methods.build(rule("c", "pseudonym", kind=kind, **params)).compile(column, KEYS)
    assert isinstance(made, Compute)
    assert made.type == type_
    return made.function


def available(kind: str, locale: str) -> Vocabulary:
    found = vocabulary(kind, locale)
    assert found is not None
    return found


_SHAPES = {
    "first_name": r"[^@\d]+",
    "last_name": r"[^@\d]+",
    "name": r"[^@\d]+ [^@\d]+",
    "email": r"[a-z]+\.[a-z]+\d{1,4}@example\.(com|net|org)",
    "street": r"\d{1,3} .+|.+ \d{1,3}",
    "city": r".+",
    "company": r".+ & .+",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", ["en", "de", "fr", "pl", "ru", "ja"])
@given(value=st.text())
def test_it_looks_like_what_it_stands_for(kind: str, locale: str, value: str) -> None:
    made = pseudonym(kind, locale=locale)(value)
    assert isinstance(made, str)
    assert locale == "ja" or re.fullmatch(_SHAPES[kind], made)
    assert made != value


def test_equal_values_get_equal_ones_in_one_domain_only() -> None:
    one, other = pseudonym("name", domain="d", own="a"), pseudonym("name", None, domain="d", own="b")
    assert one("Ana Maria") == other("Ana Maria")
    assert len({made("Ana Maria") for made in (one, pseudonym("name", own="a"), pseudonym("name", own="b"))}) == 3


def test_domains_decide_what_is_equal() -> None:
    folded = Domain(name="d", type="text", fold_case=True)
    made = pseudonym("name", domain="d", domains=(folded,))
    assert made("ANA") == made("ana") != made("anna")


@given(st.sampled_from(range(1000)))
def test_no_value_becomes_itself(index: int) -> None:
    words = available("city", "de")
    made = pseudonym("city", locale="de", domain="d", domains=(Domain(name="d", fold_case=True),))
    city = words[index]
    assert made(city).casefold() != city.casefold()
    assert made(city.upper()) == made(city)


def test_where_the_drawn_one_is_the_value_the_next_one_stands_in() -> None:
    words = available("first_name", "ar-om")
    names = {words[index] for index in range(words.size)}
    for domain in map(str, range(10)):  # in each, some name is likely to be drawn for itself
        made = pseudonym("first_name", locale="ar-om", domain=domain)
        assert not [name for name in names if made(name) == name]
        assert {made(name) for name in names} <= names


def test_global_randomness_decides_nothing_and_stays_as_it_is() -> None:
    random.seed(1)
    first, state = pseudonym("email")("a@b.c"), random.getstate()
    random.seed(2)
    vocabulary.cache_clear()
    assert pseudonym("email")("a@b.c") == first
    random.seed(1)
    assert random.getstate() == state


@pytest.mark.parametrize("value", [5, 1.5, True, ["ana"], {"a": "ana"}])
def test_only_texts_are_taken(value: Any) -> None:
    with pytest.raises(Unmaskable):
        pseudonym("name")(value)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_locale_has_each_kind(kind: str, locale: str) -> None:
    words = available(kind, locale)
    made = {words[index] for index in [*range(0, words.size, max(1, words.size // 97)), words.size - 1]}
    assert len(made) >= 20
    assert all(each == each.strip() and "{" not in each and "  " not in each for each in made)
    with pytest.raises(IndexError):
        words[words.size]


def test_the_lists_are_those_of_the_release_that_is_pinned() -> None:
    """With other lists each value would get another pseudonym: that is a new generation of topics, and not by accident."""
    digest = hashlib.sha256()
    for locale in LOCALES:
        for kind in KINDS:
            digest.update(repr(available(kind, locale).variants).encode())
    assert digest.hexdigest() == "69b74e9870fbf0ce8af61ec481eba589bd67a6996fbf8079cad5f9d36f83b4ef"


def test_a_few_are_known_for_good() -> None:
    assert [pseudonym(kind, domain="d")("ana@example.org") for kind in KINDS] == [
        "Theressa",
        "Graham",
        "Allyn Guerra",
        "theressa.cannon1007@example.net",
        "62 Jessie Mall",
        "Beloit",
        "Graham & Berry",
    ]


def test_a_column_of_a_key_needs_a_rule_that_accepts_collisions() -> None:
    engine = Engine(Policy.of(1, rules=[rule("c", "pseudonym", kind="name")]), KEYS)
    with pytest.raises(InputError, match=r"unfit_key_rule at key\.c"):
        engine.compile(Table("shop", "crm", "people", "shop.crm.people"), (("c", TEXT),), frozenset("c"))


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params of method pseudonym"),
        ({"kind": "ssn"}, "params of method pseudonym"),
        ({"kind": "name", "locale": "xx"}, "params.locale of method pseudonym is one of ar-ae, "),
        ({"kind": "name", "domain": "mine"}, "per subject: params.subject"),
        ({"kind": "name", "seed": 5}, "params of method pseudonym"),
    ],
)
def test_parameters_are_refused_by_name(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        check(Policy.of(1, rules=[rule("c", "pseudonym", **params)], domains=[Domain(name="mine", per_subject=True)]))


def test_through_a_masker() -> None:
    outcome = masker(rule("c", "pseudonym", kind="email"), rule("d", "pseudonym", kind="name")).mask(
        record(change(after={"c": "ana@corp.com", "d": None}))
    )
    after = payload(outcome.value)["after"]
    assert after["c"].rpartition("@")[2].startswith("example.")
    assert after["d"] is None


def test_the_docs_tell_how_many_there_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text()
    for kind in KINDS:
        size = available(kind, "en").size
        even = math.isqrt(int(2 * size * math.log(2))) + 1
        assert re.search(rf"^\| `{kind}` \| {size:,} \| {even:,}( values)? \|$", page, re.MULTILINE)
