"""Whatever the value, the encoding, the place and the chunks: what was planted is found, and no canary is overlooked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdc_masker.leaks.anatomy import Anatomy
from cdc_masker.leaks.encodings import telling
from cdc_masker.leaks.needles import Needles
from cdc_masker.leaks.search import Searcher
from cdc_masker.pipeline import Masker
from tests.property.events import Case, cases
from tests.property.test_masking import everything
from tests.unit.building import KEYS

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=200).filter(lambda text: telling(text.encode()))

# Each encodes a text with something before it and behind it, as it would stand inside of something larger.
ENCODERS: list[Callable[[str, bytes, bytes], bytes]] = [
    lambda text, before, after: before + b" " + text.encode() + b" " + after,
    lambda text, before, after: before + b" " + text.encode("utf-16-le") + after,
    lambda text, before, after: before + b" " + text.encode("utf-16-be") + after,
    lambda text, before, after: before + json.dumps([text], ensure_ascii=False).encode() + after,
    lambda text, before, after: before + json.dumps({"a": text}).encode() + after,
    lambda text, before, after: before + json.dumps(json.dumps({"a": text})).encode() + after,
    lambda text, before, after: before + b" " + repr(text.encode())[2:-1].encode() + b" " + after,
    lambda text, before, after: before + b" " + quote(text, safe="").encode() + b" " + after,
    lambda text, before, after: before + b" " + text.lower().encode() + b" " + after,
    lambda text, before, after: before + b" " + text.upper().encode() + b" " + after,
    lambda text, before, after: before + b" " + text[::-1].encode() + b" " + after,
    lambda text, before, after: before + (before + text.encode() + after).hex().encode() + after,
    lambda text, before, after: before + (before + text.encode() + after).hex().upper().encode(),
]
BASE64 = [
    lambda data: base64.b64encode(data),
    lambda data: base64.urlsafe_b64encode(data),
]


@many
@given(TEXTS, st.sampled_from(ENCODERS), st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 60))
def test_a_telling_value_is_found_wherever_it_is_planted(
    text: str, encode: Callable[[str, bytes, bytes], bytes], before: bytes, after: bytes, size: int
) -> None:
    stream = encode(text, before, after)
    searcher = Searcher({text.encode(): ("t.c",)})
    assume(searcher.patterns)  # a long value of which no part is telling
    assert any(searcher.find(stream[at : at + size] for at in range(0, len(stream), size)))


@many
@given(
    st.binary(min_size=7, max_size=300).filter(telling),
    st.sampled_from(BASE64),
    st.binary(max_size=20),
    st.binary(max_size=20),
)
def test_bytes_are_found_in_base64_at_any_alignment(
    value: bytes, encode: Callable[[bytes], bytes], before: bytes, after: bytes
) -> None:
    searcher = Searcher({value: ("t.c",)})
    assume(searcher.patterns)
    assert any(searcher.find([encode(before + value + after)]))


@many
@given(cases())
def test_every_canary_of_a_masked_column_is_searched_for_and_none_is_in_the_output(case: Case) -> None:
    found = Anatomy(case.policy).dissect(case.record)
    needles = Needles()
    for column, value in found.values:
        needles.add(column, value)
    raw = b"\n".join([case.record.key or b"", case.record.value or b"", *(v or b"" for _, v in case.record.headers)])
    searched = b"\n".join(needles.columns)
    for canary in case.forbidden:
        assert canary.encode() not in raw or canary.encode() in searched
    searcher = Searcher(needles.columns)
    searcher.learn(b"\n".join(found.kept))
    output = everything(Masker(case.policy, KEYS).mask(case.record))
    assert [one for one in searcher.find([output]) if not one.ambiguous] == []
