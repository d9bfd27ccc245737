"""`cdc-masker methods` and docs/methods.md say what the code does, and methods can be compared by what they tell."""

from __future__ import annotations

import itertools
import json

import pytest
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.methods import METHODS, Disclosure, Method, Uniqueness
from cdc_masker.methods.constant import Fixed, KeepValue, Null, Redact
from cdc_masker.methods.encrypt import Encrypt
from cdc_masker.methods.fpe import Fpe
from cdc_masker.methods.partial import Partial, Truncate
from cdc_masker.methods.pseudonym import Pseudonym
from cdc_masker.methods.shift import DateShift
from cdc_masker.methods.token import Tokenize
from tests.unit.methods_page import PAGE, text

SAMPLES: list[Method] = [
    KeepValue(),
    Null(),
    Redact(),
    Fixed(value="x"),
    Truncate(length=1),
    Truncate(length=5),
    Partial(first=1),
    Partial(last=1),
    Partial(first=2, last=2),
    Tokenize(),
    Tokenize(domain="d"),
    Encrypt(),
    Encrypt(domain="d", subject="id"),
    Fpe(alphabet="digits"),
    Pseudonym(kind="name"),
    DateShift(domain="d", subject="id"),
]


def test_the_page_of_methods_is_current() -> None:
    assert PAGE.read_text() == text(), "run `python -m tests.unit.methods_page`"


def test_every_method_is_listed_with_its_parameters() -> None:
    listed = json.loads(CliRunner().invoke(app, ["methods", "--json"]).stdout)
    assert [each["method"] for each in listed] == list(METHODS)
    (partial,) = (each for each in listed if each["method"] == "partial")
    assert [each["name"] for each in partial["parameters"]] == ["first", "last", "mask"]
    assert all(each["does"] for each in listed)
    plain = CliRunner().invoke(app, ["methods"]).stdout
    assert all(f"\n{name} " in f"\n{plain}" for name in METHODS)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_what_a_method_says_of_itself_agrees(method: type[Method]) -> None:
    assert method.kinds
    if method.uniqueness is Uniqueness.PRESERVED:
        assert method.deterministic
        assert Disclosure.EQUALITY in method.discloses
    assert method.reversible == (Disclosure.REVERSIBLE in method.discloses) or method is KeepValue


def test_no_weaker_is_a_partial_order() -> None:
    for one in SAMPLES:
        assert one.no_weaker_than(one)
    for one, two, three in itertools.product(SAMPLES, repeat=3):
        if one.no_weaker_than(two) and two.no_weaker_than(three):
            assert one.no_weaker_than(three), (one, two, three)


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        (Null(), Tokenize()),
        (Redact(), Truncate(length=0)),
        (Truncate(length=1), Truncate(length=5)),
        (Tokenize(), KeepValue()),
        (Tokenize(domain="d"), KeepValue()),
        (Tokenize(), Encrypt()),
        (Partial(first=2, last=2), KeepValue()),
    ],
)
def test_what_tells_less_is_stronger(strong: Method, weak: Method) -> None:
    assert strong.no_weaker_than(weak)
    assert not weak.no_weaker_than(strong)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Partial(first=1), Partial(last=1)),
        (Truncate(length=1), Partial(first=1)),
        (Tokenize(), Truncate(length=1)),
        (Tokenize(), Tokenize(domain="d")),
        (Tokenize(domain="d"), Encrypt()),
        (Tokenize(domain="d"), Fpe(alphabet="digits", domain="d")),
        (Tokenize(domain="d"), Pseudonym(kind="name")),
        (Tokenize(), Encrypt(domain="d", subject="id")),
        (Tokenize(), DateShift(domain="d", subject="id")),
    ],
)
def test_what_tells_other_things_cannot_be_compared(one: Method, other: Method) -> None:
    assert not one.no_weaker_than(other)
    assert not other.no_weaker_than(one)
