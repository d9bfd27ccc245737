"""The law of card numbers: the first six and the last four at most, and enough hidden between them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.methods import Misfit, Unmaskable
from cdc_masker.methods.card import Card
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal

NUMBER = "4000001234567899"
DIGITS = "0123456789"


@st.composite
def _numbers(draw: st.DrawFn) -> str:
    """Card numbers of each length, written in groups or not, and padded as `char(n)` does."""
    digits = draw(st.text(DIGITS, min_size=12, max_size=19))
    gaps = draw(st.lists(st.sampled_from(["", "", " ", "-"]), min_size=len(digits) - 1, max_size=len(digits) - 1))
    return digits[0] + "".join(gap + digit for gap, digit in zip(gaps, digits[1:], strict=True)) + " " * draw(st.integers(0, 3))


@pytest.mark.parametrize(
    ("number", "params", "expected"),
    [
        (NUMBER, {}, "400000******7899"),
        ("4000 0012 3456 7899", {}, "4000 00** **** 7899"),
        ("4000-0012-3456-7899", {"first": 0}, "****-****-****-7899"),
        (NUMBER, {"last": 0, "mask": "X"}, "400000XXXXXXXXXX"),
        ("340000000000009", {}, "340000*****0009"),
        ("3400-000000-00009", {"first": 6, "last": 4}, "3400-00****-*0009"),
        ("30000000000004", {}, "30000*****0004"),
        ("400000000002", {}, "400*****0002"),
        ("4000001234567890123", {"mask": "•"}, "400000•••••••••0123"),
        ("4000001234567899   ", {}, "400000******7899   "),
    ],
)
def test_shows_the_ends_of_the_number(number: str, params: dict[str, Any], expected: str) -> None:
    assert masking("card", **params)(number) == expected


@given(_numbers(), st.integers(0, 6), st.integers(0, 4))
def test_never_shows_more_than_the_rules_for_cards_allow(number: str, first: int, last: int) -> None:
    masked = masking("card", TEXT, first=first, last=last)(number)
    raw, shown = (text.replace(" ", "").replace("-", "") for text in (number, masked))
    hidden = shown.count("*")
    assert hidden >= (4 if len(raw) >= 16 else 5)
    assert shown == raw[: shown.index("*")] + "*" * hidden + raw[len(raw) - last :]
    assert shown.index("*") <= first
    assert shown.index("*") == first or len(raw) < 15


@given(_numbers())
def test_separators_and_length_stay(number: str) -> None:
    masked = masking("card", TEXT)(number)
    assert len(masked) == len(number)
    assert [one if one in " -" else "" for one in masked] == [one if one in " -" else "" for one in number]


@given(_numbers(), st.integers(0, 6), st.integers(0, 4), st.integers(0, 6), st.integers(0, 4))
def test_less_of_a_number_is_less_of_every_number(number: str, first: int, last: int, more: int, later: int) -> None:
    """Policies are compared by their parameters: a rule with smaller ones shows no digit that the other hides."""
    smaller = Card(first=min(first, more), last=min(last, later))
    assert smaller.no_weaker_than(Card(first=more, last=later))
    less = smaller.masking()(number)
    assert all(one in ("*", other) for one, other in zip(less, masking("card", first=more, last=later)(number), strict=True))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "4000001234",
        "40000012345",
        "40000012345678991234",
        f" {NUMBER}",
        f"{NUMBER}\n",
        "4000--0012-3456-7899",
        "4000.0012.3456.7899",
        "4000\u00a00012 3456 7899",
        "4000\u20110012\u20113456\u20117899",
        "-4000001234567899",
        "VISA 4000001234567899",
        "4000001234567899 4000001234567899",
        "400000XXXXXX7899",
        "٤٠٠٠٠٠١٢٣٤٥٦٧٨٩٩",
        "\uff14" + NUMBER[1:],
        "4000001234567899\u0301",
        "400000123456789\N{SUPERSCRIPT NINE}",
        "\u202e4000001234567899",
    ],
)
def test_what_is_no_card_number_is_not_taken(value: str) -> None:
    assert refusal(masking("card"), value) is Misfit.FORMAT


@given(st.text())
def test_no_text_passes_as_it_is(text: str) -> None:
    with contextlib.suppress(Unmaskable):
        assert masking("card")(text) != text


@pytest.mark.parametrize("value", [int(NUMBER), 4e15, True, [NUMBER], {"number": NUMBER}])
def test_only_texts_are_taken(value: Any) -> None:
    assert refusal(masking("card"), value) is Misfit.TYPE


@pytest.mark.parametrize(
    "params",
    [
        {"first": 7},
        {"last": 5},
        {"first": -1},
        {"first": 0, "last": 0},
        {"mask": ""},
        {"mask": "**"},
        {"mask": "4"},
        {"mask": "٤"},
        {"mask": " "},
        {"mask": "-"},
        {"mask": "*\n"},
        {"show": 4},
    ],
)
def test_parameters_beyond_the_limits_are_refused_by_name(params: dict[str, Any]) -> None:
    message = problem(rule("c", "card", **params))
    assert "rule crm.people.c" in message
    assert "card" in message


@pytest.mark.parametrize("type_name", ["bigint", "numeric", "enum", "uuid", "jsonb", "text[]"])
def test_a_column_of_another_type_is_refused(type_name: str) -> None:
    assert "method card can't be used on a column of this type" in problem(rule("c", "card", type=type_name))


def test_in_whole_records() -> None:
    rows = [{"number": NUMBER}, {"number": None}, {"number": "none"}]
    plain = masker(rule("number", "card", type="text"))
    images = [payload(plain.mask(record(change(after=row))).value)["after"] for row in rows]
    assert images == [{"number": "400000******7899"}, {"number": None}, {"number": ""}]
    schema = envelope_schema({"number": {"type": "string", "optional": True}})
    for row in rows:
        masked = masker(rule("number", "card")).mask(record(described(schema, change(after=row))))
        assert misfits(masked.value) == []
        assert NUMBER not in json.dumps(payload(masked.value))
