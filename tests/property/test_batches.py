"""A batch says what the outcomes of its records say, however it is masked: at once or in steps, by one core or by both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cdc_masker import merkle
from cdc_masker.events import Fate, Note, Record
from cdc_masker.leaves import leaf
from cdc_masker.methods import NO_SUBJECTS
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy
from tests.property.cores import assert_same
from tests.unit.building import KEYS, TOPIC, change, record, rule

RULES = [
    rule("a", "keep"),
    rule("b", "tokenize"),
    rule("c", "bucket", type="int4", size=10),
    rule("id", "tokenize", type="int8"),
]
POLICY = Policy.of(7, rules=RULES, headers=["h"])
MASKER, NATIVE = Masker(POLICY, KEYS), Masker(POLICY, KEYS, native=True)
SIGNALS = Masker(Policy.of(7, envelopes=[EnvelopeShape(topic=TOPIC, shape="signals")]), KEYS)

VALUES = st.none() | st.integers(-50, 50) | st.text("xyé", max_size=20) | st.just([1])
ROWS = st.none() | st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)
EVENTS = st.builds(change, st.sampled_from("crud"), before=ROWS, after=ROWS)
VALUES_OF_RECORDS = EVENTS | EVENTS | st.sampled_from([None, change("t"), b"no JSON", {}, b"\xff"])
RECORDS = st.builds(
    record,
    VALUES_OF_RECORDS,
    st.none() | st.just({"id": 1}) | st.integers(0, 99).map(lambda number: {"id": number}),
    headers=st.lists(st.tuples(st.sampled_from("hi"), st.none() | st.binary(max_size=3)), max_size=2).map(tuple),
)
Drawn = list[tuple[Record, int, int]]
BATCHES = st.lists(st.tuples(RECORDS, st.integers(1, 3), st.integers(-1, 9)), max_size=12)


def in_order(drawn: Drawn) -> list[Record]:
    """The records with offsets that ascend, not all by one, and times."""
    offset, made = 0, []
    for each, step, timestamp in drawn:
        offset += step
        made.append(structs.replace(each, offset=offset, timestamp=timestamp))
    return made


@given(st.sampled_from([MASKER, MASKER, SIGNALS]), BATCHES)
def test_a_batch_says_what_the_outcomes_of_its_records_say(masker: Masker, drawn: Drawn) -> None:
    records = in_order(drawn)
    masked, outcomes = masker.mask_batch(records), [masker.mask(each) for each in records]
    assert masked.offsets == tuple(each.offset for each in records)
    assert masked.rows == tuple((each.timestamp, each.key, each.value, [*each.headers]) for each in outcomes if each.target)
    leaves = [
        leaf(each.offset, each.fate, each.reason, each.place, each.timestamp, each.key, each.value, each.headers)
        for each in outcomes
    ]
    assert masked.root == merkle.root([sha256(b"\0" + each).digest() for each in leaves])
    assert masked.notes == tuple(
        Note(TOPIC, 2, each.offset, each.timestamp, each.fate, each.reason, each.place)
        for each in outcomes
        if each.reason is not None
    )
    assert len(masked.rows) + len(masked.notes) == len(records)
    assert masked.fates == Counter(each.fate for each in outcomes)
    assert masked.treatments == Counter(treatment for each in outcomes for treatment in each.treatments)
    assert masked.misfits == Counter(("crm.people", *misfit) for each in outcomes for misfit in each.misfits)


@given(BATCHES, st.booleans(), st.permutations(range(12)), st.lists(st.integers(0, 12), max_size=4))
def test_it_makes_no_difference_in_which_steps_a_batch_is_masked(
    drawn: Drawn, ahead: bool, order: list[int], cuts: list[int]
) -> None:
    records = in_order(drawn)
    whole = MASKER.mask_batch(records)
    for masker in (MASKER, NATIVE):
        masking = masker.begin(records)
        if ahead:
            masking.ahead()
        left = sorted(masking.left, key=order.index)  # fewer, once the looks of these records are known
        for places in _cut(left, cuts):
            masking.go_on(places, NO_SUBJECTS)
        assert masking.left == []
        assert_same(masking.batch(), whole)


def _cut(places: Sequence[int], cuts: list[int]) -> list[Sequence[int]]:
    return [places[start:end] for start, end in pairwise([0, *sorted(cuts), len(places)])]


def test_records_like_those_that_are_drawn_come_to_every_end() -> None:
    records = [record(value, {"id": 1}) for value in (change(after={"b": [1]}), change("t"), b"no JSON")]
    masked = MASKER.mask_batch(records)
    assert masked.fates == {Fate.MASKED: 1, Fate.CONTROL: 1, Fate.QUARANTINED: 1}
    assert list(masked.misfits) == [("crm.people", "b", "type")]
    assert SIGNALS.mask_batch(records[:1]).fates == {Fate.DROPPED: 1}
