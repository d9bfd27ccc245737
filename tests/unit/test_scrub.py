"""`scrub`: what detectors find is replaced and nothing else, however spans lie to each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError
from cdc_masker.methods import METHODS, Column, Context, Contextual, Method, Misfit, Unmaskable
from cdc_masker.methods.detectors import DETECTORS, Detector, Span
from cdc_masker.methods.scrub import Scrub
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Domain, Policy
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, change, described, envelope_schema, payload, record, rule
from tests.unit.connect_json import misfits
from tests.unit.partially import masking


class Pattern:
    def __init__(self, pattern: str, label: str) -> None:
        self.pattern, self.label = pattern, label

    def find(self, text: str) -> Iterable[Span]:
        return (Span(*match.span(), self.label) for match in re.finditer(self.pattern, text))


class Fixed:
    def __init__(self, *spans: tuple[int, int, str]) -> None:
        self.spans = [Span(*span) for span in spans]

    def find(self, text: str) -> Iterable[Span]:
        return self.spans


class Here(Scrub, frozen=True, kw_only=True):
    """The method with detectors of these tests: a registry of methods takes it as any other."""

    known: ClassVar = {
        "email": Pattern(r"\w+@\w+\.test", "EMAIL"),
        "word": Pattern(r"canary\w*", "NAME"),
        "digits": Pattern(r"\d+", "NUMBER"),
        "outside": Fixed((0, 1000, "X")),
        "negative": Fixed((-1, 1, "X")),
        "empty": Fixed((1, 1, "X")),
    }


KNOWN: dict[str, type[Method]] = {**METHODS, "scrub": Here}
TEXT = Type(base="string")


def scrubbed(value: Any, *detectors: str, known: dict[str, Detector] | None = None, **params: Any) -> Any:
    method: type[Scrub] = Here if known is None else type("There", (Scrub,), {"known": known}, frozen=True, kw_only=True)
    built = methods.build(rule("c", "scrub", detectors=list(detectors), **params), {"scrub": method})
    transform = built.compile(Column(place="c", type=TEXT, domain="own"), KEYS)
    assert isinstance(transform, Contextual)
    return transform.function(value, Context("t", 0, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("nothing here", "nothing here"),
        ("ana@mail.test", "[EMAIL]"),
        ("to ana@mail.test, bob@mail.test.", "to [EMAIL], [EMAIL]."),
        ("Zoë 🙂 e\u0301 ana@mail.test שלום", "Zoë 🙂 e\u0301 [EMAIL] שלום"),
        ("call 0791234567 or ana@mail.test", "call [NUMBER] or [EMAIL]"),
        ("ana7@mail.test", "[EMAIL]"),
    ],
)
def test_what_is_found_becomes_its_label(text: str, expected: str) -> None:
    assert scrubbed(text, "email", "digits") == expected


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(2, 4, "A"), (4, 6, "B")], "ab[A][B]ghij"),
        ([(4, 6, "B"), (2, 4, "A")], "ab[A][B]ghij"),
        ([(2, 5, "A"), (4, 6, "B")], "ab[A]ghij"),
        ([(2, 4, "A"), (3, 6, "B")], "ab[B]ghij"),
        ([(2, 4, "A"), (3, 5, "B")], "ab[A]fghij"),
        ([(0, 10, "A"), (3, 5, "B")], "[A]"),
        ([(3, 5, "B"), (0, 10, "A")], "[A]"),
        ([(2, 4, "A"), (2, 4, "B")], "ab[A]efghij"),
        ([(2, 4, "A"), (2, 7, "B")], "ab[B]hij"),
        ([(0, 3, "A"), (2, 5, "B"), (4, 9, "C")], "[C]j"),
        ([(0, 1, "A"), (9, 10, "B")], "[A]bcdefghi[B]"),
    ],
)
def test_spans_that_overlap_are_one(spans: list[tuple[int, int, str]], expected: str) -> None:
    assert scrubbed("abcdefghij", "fixed", known={"fixed": Fixed(*spans)}) == expected


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)).filter(lambda span: span[0] < span[1]), max_size=6))
def test_nothing_in_a_span_stays_and_everything_else_does(spans: list[tuple[int, int]]) -> None:
    text = "".join(chr(0x4E00 + place) for place in range(30))
    detector = Fixed(*((start, end, "X") for start, end in spans))
    hidden = {place for start, end in spans for place in range(start, end)}
    found = scrubbed(text, "fixed", known={"fixed": detector})
    assert found.replace("[X]", "") == "".join(text[place] for place in range(30) if place not in hidden)
    assert scrubbed(text, "fixed", "again", known={"fixed": detector, "again": detector}) == found


@pytest.mark.parametrize("detector", ["outside", "negative", "empty"])
def test_a_span_that_is_no_part_of_the_text_redacts_it(detector: str) -> None:
    with pytest.raises(Unmaskable) as caught:
        scrubbed("canary", "word", detector)
    assert caught.value.reason is Misfit.FORMAT


@pytest.mark.parametrize("value", [5, 1.5, True, ["canary"], {"a": "canary"}, None])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(Unmaskable):
        scrubbed(value, "word")


def test_a_token_is_that_of_tokenize_in_the_same_domain() -> None:
    token = masking("tokenize", TEXT, domain="mail")("ana@mail.test")
    assert scrubbed("to ana@mail.test!", "email", by="token", domain="mail") == f"to {token}!"
    own = masking("tokenize", TEXT)("ana@mail.test")
    assert scrubbed("to ana@mail.test!", "email", by="token") == f"to {own}!"
    assert own != token


class _Kept:
    def key(self, domain: str, subject: str, topic: str, partition: int, offset: int) -> bytes:
        return subject.encode().rjust(32)


def test_in_a_domain_per_subject_tokens_are_the_subject_s() -> None:
    domain = Domain(name="mail", per_subject=True)
    column = Column(place="c", type=TEXT, domain="own", declared={"mail": domain})
    params = {"domain": "mail", "subject": "id"}
    scrub = methods.build(rule("c", "scrub", detectors=["email"], by="token", **params), KNOWN).compile(column, KEYS)
    tokens = methods.build(rule("c", "tokenize", **params)).compile(column, KEYS)
    assert isinstance(scrub, Contextual)
    assert isinstance(tokens, Contextual)
    seven, eight = (Context("t", 0, 1, _Kept(), row={"id": msgspec.Raw(subject)}) for subject in (b"7", b"8"))
    assert scrub.function("ana@mail.test", seven) == tokens.function("ana@mail.test", seven)
    assert scrub.function("ana@mail.test", seven) != scrub.function("ana@mail.test", eight)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "detectors"),
        ({"detectors": []}, "detectors"),
        ({"detectors": ["person"]}, "there is no detector 'person'; there are email"),
        ({"detectors": ["email", "person"]}, "there is no detector 'person'"),
        ({"detectors": ["email"], "by": "stars"}, "by"),
        ({"detectors": ["email"], "domain": "mail"}, "params.domain is that of tokens"),
        ({"detectors": ["email"], "by": "token", "subject": "id"}, "params.subject needs a domain"),
        ({"detectors": ["email"], "type": "integer"}, "can't be used on a column of this type"),
        ({"detectors": ["email"], "type": "jsonb"}, "can't be used on a column of this type"),
    ],
)
def test_what_would_not_work_is_refused_by_name(params: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        check(Policy.of(1, rules=[rule("c", "scrub", **params)]), KNOWN)
    assert said in str(caught.value)


def test_there_are_no_detectors_yet() -> None:
    assert METHODS["scrub"] is Scrub
    assert not DETECTORS
    with pytest.raises(PolicyError, match="there is no detector 'email'; there are none"):
        check(Policy.of(1, rules=[rule("c", "scrub", detectors=["email"])]))


def test_what_shows_less_is_known() -> None:
    one, two = Here(detectors=("email",)), Here(detectors=("digits", "email"))
    assert two.no_weaker_than(one)
    assert not one.no_weaker_than(two)
    assert two.no_weaker_than(Here(detectors=("email",), by="token", domain="mail"))
    assert not Here(detectors=("email",), by="token", domain="mail").no_weaker_than(one)


def test_a_row_is_scrubbed_and_fits_its_schema() -> None:
    """Through a whole masker, with an embedded schema and without."""
    row = {"note": "ask canary5, ana@mail.test", "none": None, "clean": "nothing"}
    schema = envelope_schema(
        {"note": {"type": "string"}, "none": {"type": "string", "optional": True}, "clean": {"type": "string"}}
    )
    rules = [rule(name, "scrub", detectors=["word", "email"]) for name in row]
    masker = Masker(Policy.of(1, rules=rules), KEYS, known=KNOWN)
    for value in (change(after=row), described(schema, change(after=row))):
        outcome = masker.mask(record(value))
        assert payload(outcome.value)["after"] == {"note": "ask [NAME], [EMAIL]", "none": None, "clean": "nothing"}
    assert misfits(outcome.value) == []
