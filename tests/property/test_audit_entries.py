"""Whatever records come: the entry of their batch is one that is read again, else nobody could store it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.events import Record
from cdc_masker.evidence import audit_entry, decode_entry, encode_entry
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, TableDefault
from tests.property.events import Case, cases
from tests.property.test_masking import many
from tests.unit.building import KEYS, TOPIC, change, compact

LAST = 2**63 - 1
NAMES = st.sampled_from(["\0", "\\u0000", "\x01", "é" * 300, "\U0010ffff", "people"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)
ROWS = st.dictionaries(NAMES, st.integers() | NAMES, max_size=3)
EVENTS = st.builds(lambda row, table: compact(change(after=row, table=table)).encode(), ROWS, st.just("people") | NAMES)
TIMES = st.sampled_from([-(2**63), -1, LAST]) | st.integers(-(2**63), LAST)
RECORDS = st.builds(
    Record,
    st.just(TOPIC),
    st.just(0),
    st.sampled_from([0, LAST - 1]),
    TIMES,
    st.none() | st.binary(max_size=8) | ROWS.map(lambda row: compact(row).encode()),
    EVENTS | st.binary(max_size=8),
)
SHELL = st.fixed_dictionaries(
    {
        "generation": st.integers(1, 2**31 - 1),
        "incarnation": st.uuids().map(str),
        "masked_at": st.integers(0, 2**42),
        "worker": st.from_regex(r"[ -~]{1,64}", fullmatch=True),
        "shape_version": st.none() | st.integers(0, LAST),
        "previous": st.sampled_from(["", "sha256:" + "0" * 64]),
    }
)
POLICIES = [
    Policy.of(7, tables=[TableDefault(schema="crm", table="people", default=default)]) for default in ("redact", "quarantine")
]


@many
@given(cases(), SHELL)
def test_the_entry_of_a_masked_record_is_read_again(case: Case, shell: dict[str, Any]) -> None:
    assert_is_read_again(case.policy, case.record, shell)


@many
@given(st.sampled_from(POLICIES), RECORDS, SHELL)
def test_the_entry_of_any_record_is_read_again(policy: Policy, record: Record, shell: dict[str, Any]) -> None:
    assert_is_read_again(policy, record, shell)


def assert_is_read_again(policy: Policy, record: Record, shell: dict[str, Any]) -> None:
    masked = Masker(policy, KEYS).mask_batch([record])
    entry = audit_entry(
        masked, topic=TOPIC, partition=record.partition, start=record.offset, end=record.offset + 1, policy=policy, **shell
    )
    assert decode_entry(encode_entry(entry)) == entry
