"""The audit entry of a batch says what happened, and nothing of what the records held."""

from __future__ import annotations

import json

import msgspec
import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import AuditEntry, Fate, QuarantineNote
from cdc_masker.evidence import audit_entry, decode_entry, encode_entry, encode_note
from tests.unit.building import TOPIC, change, masker, record, rule

CANARY = "canary-8c1f2e"


def entry() -> AuditEntry:
    batch = masker(rule("a", "keep"))
    outcomes = batch.mask_batch(
        [
            record(change(after={"a": CANARY}), offset=10),
            record(CANARY, offset=11),
            record(change("t"), offset=14),
            record(None, CANARY.encode() + b"\xff", offset=15),
        ]
    )
    return audit_entry(
        outcomes, policy=batch.policy, generation=2, incarnation="topic-id", masked_at=1795242089999, worker="host:1"
    )


def test_an_entry_covers_its_batch() -> None:
    made = entry()
    assert (made.topic, made.partition, made.first_offset, made.last_offset) == (TOPIC, 2, 10, 15)
    assert made.counts == {Fate.MASKED: 1, Fate.CONTROL: 1, Fate.QUARANTINED: 2, Fate.DROPPED: 0}
    assert (made.generation, made.incarnation, made.worker, made.masked_at) == (2, "topic-id", "host:1", 1795242089999)
    assert (made.policy_version, made.policy_digest[:7], made.key_epoch) == (7, "sha256:", 1)
    assert made.program.startswith("cdc-masker/")


def test_an_entry_names_what_was_quarantined_and_why() -> None:
    assert entry().quarantined == (
        QuarantineNote(TOPIC, 2, 11, 1795242089117, Reason.NOT_JSON, "value"),
        QuarantineNote(TOPIC, 2, 15, 1795242089117, Reason.NOT_UTF8, "key"),
    )


def test_an_entry_holds_nothing_of_a_record() -> None:
    assert CANARY.encode() not in encode_entry(entry())
    assert CANARY not in repr(entry())


def test_an_entry_is_read_back_as_it_was_written() -> None:
    assert decode_entry(encode_entry(entry())) == entry()


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"generation":1}'])
def test_a_text_that_is_no_entry_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_entry(text)


def test_a_note_is_coordinates_a_reason_and_a_place() -> None:
    note = QuarantineNote(TOPIC, 2, 11, 1795242089117, Reason.NOT_JSON, "value")
    assert json.loads(encode_note(note)) == {
        "topic": TOPIC,
        "partition": 2,
        "offset": 11,
        "timestamp": 1795242089117,
        "reason": "not_json",
        "place": "value",
    }
