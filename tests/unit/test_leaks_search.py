"""Which forms a value has, which values are worth a search, and that the search finds them wherever the stream is cut."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from cdc_masker.errors import SetupError
from cdc_masker.leaks import selftest
from cdc_masker.leaks.encodings import ENCODINGS, forms, telling
from cdc_masker.leaks.search import Found, Searcher

VALUE = 'Zoë "Z" O\\Brien/1234567 +?>~ü'

# What other programs make of a text, written without the module under test.
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16le": lambda text: text.encode("utf-16-le"),
    "utf-16be": lambda text: text.encode("utf-16-be"),
    "json": lambda text: json.dumps([text], ensure_ascii=False).encode(),
    "json-ascii": lambda text: json.dumps([text]).encode(),
    "json-twice": lambda text: json.dumps(json.dumps({"a": text}, ensure_ascii=False), ensure_ascii=False).encode(),
    "json-escaped": lambda text: "".join(f"\\u{ord(character):04x}" for character in text).encode(),
    "python": lambda text: repr(text.encode()).encode(),
    "url": lambda text: quote(text, safe="").encode(),
    "lower": lambda text: text.lower().encode(),
    "upper": lambda text: text.upper().encode(),
    "reversed": lambda text: text[::-1].encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "hex-upper": lambda text: text.encode().hex().upper().encode(),
    **{
        f"base64+{shift}": lambda text, shift=shift: base64.b64encode(b"xyz"[:shift] + text.encode() + b"tail")  # type: ignore[misc]
        for shift in range(3)
    },
    **{
        f"base64url+{shift}": lambda text, shift=shift: base64.urlsafe_b64encode(b"xyz"[:shift] + text.encode() + b"tail")  # type: ignore[misc]
        for shift in range(3)
    },
}


def found(value: bytes, text: bytes) -> list[Found]:
    return list(Searcher({value: ("t.c",)}).find([text]))


@pytest.mark.parametrize("encoding", WRITTEN)
def test_a_value_is_found_in_each_encoding(encoding: str) -> None:
    text = b"before " + WRITTEN[encoding](VALUE) + b" after"
    assert [one.encoding for one in found(VALUE.encode(), text)] == [encoding]


@pytest.mark.parametrize(
    "written",
    [
        json.dumps([VALUE]).encode().replace(b"\\u00eb", b"\\u00EB").replace(b"\\u00fc", b"\\u00FC"),
        json.dumps(json.dumps([VALUE])).encode(),
        quote(VALUE).lower().replace("zo%", "Zo%").replace("z%22", "Z%22").replace("o%5cbrien", "O%5cBrien").encode(),
        quote_plus(VALUE).encode(),
    ],
)
def test_spellings_of_an_encoding_are_found(written: bytes) -> None:
    assert len(found(VALUE.encode(), written)) == 1


def test_digits_are_found_without_what_stands_between_them() -> None:
    assert [one.encoding for one in found(b"+1-202-555-0147", b'{"phone":"12025550147"}')] == ["digits"]


def test_every_encoding_has_a_form() -> None:
    texts = {form.encoding for value in (VALUE + " 9988776655", "\\") for form in forms(value.encode())}
    assert texts | {form.encoding for form in forms(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9")} == set(ENCODINGS)


@pytest.mark.parametrize(
    "value", ["123456789", "Okafor", "171-40-2486", "王小明", "AB12 CDE", "2026-11-21T00:00:00.5Z", "1795219200001"]
)
def test_values_that_are_telling(value: str) -> None:
    assert telling(value.encode())
    assert found(value.encode(), b'{"a":"' + value.encode() + b'"}')


_DATES = [
    "2026-11-21",
    "2026-11-21Z",
    "2026-11-21T00:00:00Z",
    "2026-11-21 00:00:00.000+02",
    "1795219200000",
    "-1795219200000000",
]


@pytest.mark.parametrize("value", ["", "12345678", "Smith", "127.0.0.1", "aaaaaaaa", "xyxyxyxyxy", "- . -", *_DATES])
def test_values_that_tell_too_little(value: str) -> None:
    assert not telling(value.encode())
    assert forms(value.encode()) == []


def test_bytes_that_are_no_text() -> None:
    value = b"\xde\xad\xbe\xef\xfe\xed\xfa"
    assert telling(value)
    assert not telling(value[:6])
    assert not telling(b"\xff" * 20)
    assert {one.encoding for one in found(value, b"- " + base64.b64encode(b"?" + value + b"?"))} == {"base64+1"}
    assert {one.encoding for one in found(value, value.hex().encode())} == {"hex"}


@pytest.mark.parametrize(
    ("value", "text", "counts"),
    [
        ("Okafor", b"by Okafor, Ivan", True),
        ("Okafor", b"deOkaforestation", False),
        ("Okafor", b'"first line\\nOkafor"', True),
        ("123456789", b'{"id":123456789}', True),
        ("123456789", b'{"id":1234567890}', False),
        ("1234567812345678", b"00123456781234567800", True),
        ("deadbeefab", b"0deadbeefab0", False),
        ("deadbeefab", b'"deadbeefab"', True),
    ],
)
def test_what_could_come_about_by_chance_counts_only_alone(value: str, text: bytes, counts: bool) -> None:
    assert bool(found(value.encode(), text)) is counts


def test_a_long_value_is_found_by_its_parts() -> None:
    value = "".join(f"{number:03d}-word;" for number in range(100))
    start, end = value[:60], value[-60:]
    assert found(value.encode(), start.encode())
    assert found(value.encode(), end.upper().encode())
    assert found(value.encode(), base64.b64encode(value.encode()))
    assert not found(value.encode(), value[60:100].encode())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
def test_positions_don_t_depend_on_chunks(size: int) -> None:
    text = b"x" * 50 + b" Okafor " + VALUE.encode() + b"-" * 40 + VALUE.encode().hex().encode() + b" Okafor"
    searcher = Searcher({VALUE.encode(): ("t.c",), b"Okafor": ("t.d",)})
    positions = [
        (one.position, one.encoding) for one in searcher.find(text[at : at + size] for at in range(0, len(text), size))
    ]
    assert sorted(positions) == [
        (51, "utf-8"),
        (58, "utf-8"),
        (58 + len(VALUE.encode()) + 40, "hex"),
        (len(text) - 6, "utf-8"),
    ]


def test_nothing_is_found_in_nothing() -> None:
    assert list(Searcher({b"Okafor": ("t.c",)}).find([])) == []
    assert list(Searcher({b"Okafor": ("t.c",)}).find([b""])) == []


def test_what_is_kept_makes_a_needle_ambiguous() -> None:
    searcher = Searcher({b"enterprise": ("t.a",), b"Professional": ("t.b",)})
    searcher.learn(b"plan\nenterprise\nsome professionals")
    assert searcher.ambiguous() == [("t.a",)]
    ambiguous = {(one.encoding, one.ambiguous) for one in searcher.find([b"enterprise esirpretne professional Professional"])}
    # Of a needle that stands there in another case, only those very bytes are explained.
    assert ambiguous == {("utf-8", True), ("reversed", True), ("lower", True), ("utf-8", False)}


def test_the_self_test_finds_every_marker_beside_other_needles() -> None:
    markers = selftest.new_markers()
    searcher = Searcher({b"Okafor": ("t.c",), **markers})
    assert selftest.prove(searcher, markers) == sum(len(forms(marker)) for marker in markers) * len(selftest.PLANTS)
    assert len(selftest.PLANTS) > 8


class _Blind(Searcher):
    """Overlooks one encoding."""

    def __init__(self, markers: dict[bytes, tuple[str, ...]], encoding: str) -> None:
        super().__init__(markers)
        self._owners = {pattern: [o for o in owners if o.encoding != encoding] for pattern, owners in self._owners.items()}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_self_test_refuses_a_search_that_overlooks_an_encoding(encoding: str) -> None:
    markers = selftest.new_markers()
    with pytest.raises(SetupError, match=r"self-test: a marker in .* was not found"):
        selftest.prove(_Blind(markers, encoding), markers)


def test_the_self_test_refuses_when_an_encoding_is_not_tried() -> None:
    markers = {b"plain ascii": (selftest.COLUMN,)}
    with pytest.raises(SetupError, match="no marker was planted in"):
        selftest.prove(Searcher(markers), markers)


def test_markers_have_a_form_of_their_own_in_each_encoding_whatever_is_random_in_them() -> None:
    for _ in range(300):
        assert {form.encoding for marker in selftest.new_markers() for form in forms(marker)} == set(ENCODINGS)
