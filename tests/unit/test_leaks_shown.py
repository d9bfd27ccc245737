"""What the search for leaks counts as shown is what the methods show: the two share no code."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import methods
from cdc_masker.leaks.leaves import Number
from cdc_masker.leaks.shown import shown
from cdc_masker.methods import Column, Compute
from cdc_masker.schemas import Type
from tests.unit.building import KEYS, rule

_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
_SITE = st.lists(_LABEL, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "test"]))
_PATH = st.lists(st.text("abcXYZ0;=%", max_size=30), max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))
_EMAILS = st.builds("{}@{}".format, _LABEL, _SITE)
_URLS = st.builds("{}://{}{}{}{}".format, st.sampled_from(["https", "FTP"]), st.sampled_from(["", "a:b@"]), _SITE, _PATH,
                  st.sampled_from(["", "?q=/x", "#f"]))  # fmt: skip
_CARDS = st.builds(str.join, st.sampled_from(["", " "]), st.text("0123456789", min_size=12, max_size=19))
_IPV6 = st.ip_addresses(v=6, network="2001:db8::/32")
_ADDRESSES = st.builds("{}{}".format, st.ip_addresses(v=4) | _IPV6, st.sampled_from(["", "/28", "/7"]))
_PHONES = st.builds("+{}{}".format, st.sampled_from(["1 ", "49-", "420"]), st.text("0123456789", min_size=9, max_size=9))

CASES: list[tuple[str, dict[str, Any], st.SearchStrategy[str]]] = [
    ("email", {}, _EMAILS),
    ("email", {"keep": "tld"}, _EMAILS),
    ("url", {}, _URLS),
    ("url", {"path": "keep"}, _URLS),
    ("card", {}, _CARDS),
    ("card", {"first": 2, "last": 0}, _CARDS),
    ("card", {"first": 0, "last": 3}, _CARDS),
    ("ip", {}, _ADDRESSES),
    ("ip", {"ipv4_prefix": 16, "ipv6_prefix": 32}, _ADDRESSES),
    ("phone", {}, _PHONES),
    ("truncate", {"length": 3}, st.text()),
    ("partial", {"first": 2, "last": 1}, st.text()),
]


@pytest.mark.parametrize(("method", "params", "texts"), CASES, ids=[f"{method}-{params}" for method, params, _ in CASES])
@given(data=st.data())
def test_what_a_method_shows_is_all_told(
    method: str, params: dict[str, Any], texts: st.SearchStrategy[str], data: st.DataObject
) -> None:
    """One of the texts that are told stands in the output, with nothing of the input left beside them."""
    text = data.draw(texts)
    stated = rule("c", method, **params)
    transform = methods.build(stated).compile(Column(place="c", type=None, domain="own"), KEYS)
    assert isinstance(transform, Compute)
    try:
        output = transform.function(text)
    except methods.Unmaskable:
        return
    told = [part for part in shown(stated, text) if part]
    standing = [part for part in told if part in output]
    left = output
    for part in sorted(standing, key=len, reverse=True):
        left = left.replace(part, "", 1)
    if method == "email":
        assert standing == told
        left = left[32:].removesuffix(".invalid").strip("@")  # the token
    elif method == "ip":
        assert standing
        left = left.lstrip("/0123456789")
    assert set(left) <= set("* -")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("bucket", {"size": 100}),
        ("bucket", {"size": 0.25, "offset": 0.1, "min": -5, "max": 5e8}),
        ("round", {"digits": 1}),
        ("round", {"digits": -3}),
    ],
)
@given(data=st.data())
def test_a_coarser_number_is_told_however_it_is_written(method: str, params: dict[str, Any], data: st.DataObject) -> None:
    number = data.draw(st.integers(-(1 << 60), 1 << 60))
    stated = rule("c", method, **params)
    for base, value in (("int64", number), ("double", number / 64), ("string", f"{number}.{abs(number) % 1000}")):
        transform = methods.build(stated).compile(Column(place="c", type=Type(base=base), domain="own"), KEYS)
        assert isinstance(transform, Compute)
        output = str(transform.function(value))
        told = shown(stated, value if isinstance(value, str) else Number(repr(value)))
        assert output in told or (base == "int64" and any(output == str(round(Decimal(each))) for each in told))


def test_of_a_postcode_the_beginning_is_told() -> None:
    transform = methods.build(stated := rule("c", "postcode", length=5, sparse=[])).compile(
        Column(place="c", type=None, domain="own"), KEYS
    )
    assert isinstance(transform, Compute)
    assert shown(stated, "sw1a-1 aa") == [transform.function("sw1a-1 aa")] == ["SW1A1"]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("bucket", "many"),
        ("round", "NaN"),
        ("email", "nobody"),
        ("email", "@example.com"),
        ("ip", "elsewhere"),
        ("ip", "10.0.0.999"),
        ("url", "example.com/private"),
        ("card", "4000"),
        ("card", "4" * 20),
        ("phone", "030 1234567"),
        ("tokenize", "Ann"),
    ],
)
def test_of_what_a_method_does_not_take_nothing_is_shown(method: str, text: str) -> None:
    assert not shown(rule("c", method), text)


@pytest.mark.parametrize("method", ["truncate", "partial", "email", "ip", "url", "card", "phone"])
@pytest.mark.parametrize("value", [Number("4000001234567899"), None, True, ["a@b.example"]])
def test_of_what_is_no_text_nothing_is_shown(method: str, value: Any) -> None:
    assert shown(rule("c", method, length=9, first=2, last=2), value) is None
