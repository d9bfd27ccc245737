"""`fpe`: what it keeps of a text, what it changes, and what it does not take."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Column, Compute, Misfit, Unmaskable
from cdc_masker.methods.alphabets import ALPHABETS
from cdc_masker.methods.ff1 import permutation
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, change, masker, payload, record, rule

TEXT = Type(base="string")
CARD = "4111 1111-1111 1111"


def fpe(type_: Type | None = TEXT, own: str = "own", **params: Any) -> Any:
    made = methods.build(rule("c", "fpe", **params)).compile(Column(place="c", type=type_, domain=own), KEYS)
    assert isinstance(made, Compute)
    assert made.type is type_
    return made.function


def luhn(text: str) -> bool:
    """Whether the digits' check digit is right, by the rule as people state it."""
    digits = [int(each) for each in text if each.isdigit()][::-1]
    return sum(digit if place % 2 == 0 else sum(map(int, str(2 * digit))) for place, digit in enumerate(digits)) % 10 == 0


def test_it_is_ff1_with_the_domain_as_tweak() -> None:
    permute = permutation(KEYS.derive("fpe", "d", 1), 10, 10, b"d")
    digits = f"{permute(123456789):010d}"
    assert fpe(alphabet="digits", domain="d")("0123-456.789") == f"{digits[:4]}-{digits[4:7]}.{digits[7:]}"


@pytest.mark.parametrize("name", ALPHABETS)
@given(data=st.data())
def test_length_places_and_alphabet_stay(name: str, data: st.DataObject) -> None:
    characters = ALPHABETS[name].characters
    separators = " -./()+,:;_'€"
    core = data.draw(st.text(st.sampled_from(characters), min_size=6, max_size=40))
    text = data.draw(st.text(st.sampled_from(characters + separators), max_size=20)) + core
    masked = fpe(alphabet=name)(text)
    assert len(masked) == len(text)
    for before, after in zip(text, masked, strict=True):
        assert after in characters if before in characters else after == before


@given(st.sets(st.text(st.sampled_from(string.digits), min_size=6, max_size=6), min_size=2))
def test_distinct_texts_of_the_smallest_size_stay_distinct(texts: set[str]) -> None:
    masked = fpe(alphabet="digits")
    assert len({masked(text) for text in texts}) == len(texts)


def test_texts_of_other_lengths_or_places_stay_distinct_too() -> None:
    masked = fpe(alphabet="digits")
    texts = ["1234567", "123-4567", "12-34567", "01234567", "00123456", "123456"]
    assert len({masked(text) for text in texts}) == len(texts)


def test_an_alphabet_of_ones_own_may_be_any_distinct_characters() -> None:
    greek = "αβγδεζηθικλμνξοπρστυφχψω🙂"
    masked = fpe(characters=greek)("αβγ-δε🙂")
    assert masked[3] == "-"
    assert set(masked) <= set(greek + "-")
    assert masked != "αβγ-δε🙂"


@pytest.mark.parametrize(
    ("alphabet", "text", "reason"),
    [
        ("digits", "", Misfit.RANGE),
        ("digits", "12345", Misfit.RANGE),
        ("digits", "1" * 257, Misfit.RANGE),
        ("lower", "abcd", Misfit.RANGE),
        ("alphanumeric", "a1B", Misfit.RANGE),
        ("digits", "AB-123456", Misfit.FORMAT),
        ("letters", "Zoë Müller", Misfit.FORMAT),
        ("letters", "Zoe\u0308 Muller", Misfit.FORMAT),
        ("digits", "123456\u0661", Misfit.FORMAT),
        ("digits", "1234567🙂", Misfit.FORMAT),
        ("digits", "1234567\u202e", Misfit.FORMAT),
        ("digits", "1234567\n", Misfit.FORMAT),
    ],
)
def test_what_would_show_or_hide_too_little_is_not_taken(alphabet: str, text: str, reason: Misfit) -> None:
    with pytest.raises(Unmaskable) as caught:
        fpe(alphabet=alphabet)(text)
    assert caught.value.reason is reason


@pytest.mark.parametrize("value", [1234567, 1.5, True, ["1234567"], {"a": "1234567"}])
@pytest.mark.parametrize("type_", [TEXT, None])
def test_only_texts_are_taken(value: Any, type_: Type | None) -> None:
    with pytest.raises(Unmaskable):
        fpe(type_, alphabet="digits")(value)


@given(st.text(st.sampled_from(string.digits), min_size=7, max_size=30))
def test_a_check_digit_is_right_again_or_always_wrong(digits: str) -> None:
    card = next(digits + each for each in string.digits if luhn(digits + each))
    valid, invalid = fpe(alphabet="digits", check_digit="valid")(card), fpe(alphabet="digits", check_digit="invalid")(card)
    assert len(valid) == len(invalid) == len(card)
    assert luhn(valid)
    assert not luhn(invalid)


def test_a_card_number_keeps_its_separators() -> None:
    masked = fpe(alphabet="digits", check_digit="valid")(CARD)
    assert [place for place, each in enumerate(masked) if not each.isdigit()] == [4, 9, 14]
    assert luhn(masked)
    assert masked != CARD


@pytest.mark.parametrize("check_digit", ["valid", "invalid"])
def test_a_wrong_check_digit_is_not_taken(check_digit: str) -> None:
    for text in ("4111 1111 1111 1112", "0000001", ""):
        with pytest.raises(Unmaskable):
            fpe(alphabet="digits", check_digit=check_digit)(text)


def test_a_number_with_its_check_digit_and_one_without_have_nothing_in_common() -> None:
    assert fpe(alphabet="digits", check_digit="valid")(CARD)[:-1] != fpe(alphabet="digits")(CARD[:-1])


def test_domains_and_columns_are_separate() -> None:
    made = {
        fpe(alphabet="digits", domain="d")("1234567890"),
        fpe(alphabet="digits", domain="e")("1234567890"),
        fpe(alphabet="digits", own="a")("1234567890"),
        fpe(alphabet="digits", own="b")("1234567890"),
    }
    assert len(made) == 4
    assert fpe(alphabet="digits", domain="d", own="a")("1234567890") == fpe(None, alphabet="digits", domain="d")("1234567890")


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "needs params.alphabet or params.characters"),
        ({"alphabet": "digits", "characters": "01"}, "one of both"),
        ({"alphabet": "hex"}, "params of method fpe"),
        ({"characters": "0120"}, "params.characters of method fpe has a character twice"),
        ({"characters": "0"}, "params of method fpe"),
        ({"alphabet": "letters", "check_digit": "valid"}, "is for the alphabet digits"),
        ({"characters": "0123456789", "check_digit": "valid"}, "is for the alphabet digits"),
        ({"alphabet": "digits", "check_digit": "any"}, "params of method fpe"),
        ({"alphabet": "digits", "domain": "subjects"}, "neither per subject nor with folded case"),
        ({"alphabet": "digits", "domain": "folded"}, "neither per subject nor with folded case"),
        ({"alphabet": "digits", "subject": "id"}, "params of method fpe"),
    ],
)
def test_parameters_are_refused_by_name(params: dict[str, Any], problem: str) -> None:
    domains = [Domain(name="subjects", per_subject=True), Domain(name="folded", fold_case=True)]
    with pytest.raises(PolicyError, match=problem) as caught:
        check(Policy.of(1, rules=[rule("c", "fpe", **params)], domains=domains))
    assert caught.value.place == "rule crm.people.c"


def test_what_does_not_fit_is_redacted_and_counted() -> None:
    outcome = masker(rule("c", "fpe", alphabet="digits"), rule("d", "fpe", alphabet="digits")).mask(
        record(change(after={"c": "12345", "d": "1234567890"}))
    )
    after = payload(outcome.value)["after"]
    assert after["c"] is None
    assert after["d"] == fpe(None, own='["*", "crm", "people", "d"]', alphabet="digits")("1234567890")
