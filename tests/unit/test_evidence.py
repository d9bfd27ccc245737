"""The audit entry of a batch says what happened, proves it, and holds nothing of what the records held."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.batches import gathered
from cdc_masker.errors import Reason
from cdc_masker.events import AuditEntry, Fate, Note, Outcome
from cdc_masker.evidence import OTHERS, audit_entry, decode_entry, encode_entry, encode_note, entry_hash
from cdc_masker.leaves import leaf, leaf_of
from cdc_masker.merkle import leaf_hash, root
from tests.unit.building import TOPIC, change, masker, record, rule

CANARY = "canary-8c1f2e"
MASKER = masker(rule("a", "keep"), rule("b", "tokenize"))


def outcomes() -> list[Outcome]:
    records = [
        record(change(after={"a": 1, "b": CANARY, "c": CANARY}), offset=10),
        record(CANARY, offset=11),
        record(change("t"), offset=14),
        record(None, CANARY.encode() + b"\xff", offset=15),
    ]
    return [MASKER.mask(each) for each in records]


def entry(of: list[Outcome] | None = None, start: int = 8, end: int = 18) -> AuditEntry:
    return audit_entry(
        gathered(of or outcomes()),
        topic=TOPIC,
        partition=2,
        start=start,
        end=end,
        previous="sha256:00",
        policy=MASKER.policy,
        generation=2,
        incarnation="topic-id",
        masked_at=1795242089999,
        worker="host:1",
    )


def test_an_entry_covers_its_batch() -> None:
    made = entry()
    assert (made.topic, made.partition, made.first_offset, made.last_offset) == (TOPIC, 2, 8, 17)
    assert made.counts == {Fate.MASKED: 1, Fate.CONTROL: 1, Fate.QUARANTINED: 2, Fate.DROPPED: 0}
    assert (made.generation, made.incarnation, made.worker, made.masked_at) == (2, "topic-id", "host:1", 1795242089999)
    assert (made.policy_version, made.policy_digest[:7], made.key_epoch) == (7, "sha256:", 1)
    assert made.program.startswith("cdc-masker/")
    assert made.previous == "sha256:00"


@pytest.mark.parametrize(
    ("start", "end", "gaps"),
    [
        (10, 16, ((12, 13),)),
        (10, 17, ((12, 13), (16, 16))),
        (8, 16, ((8, 9), (12, 13))),
        (0, 100, ((0, 9), (12, 13), (16, 99))),
    ],
)
def test_offsets_without_a_record_are_gaps(start: int, end: int, gaps: tuple[tuple[int, int], ...]) -> None:
    assert entry(start=start, end=end).gaps == gaps
    assert entry(outcomes()[:2], 10, 12).gaps == ()


def test_an_entry_counts_what_was_done_to_each_column() -> None:
    deleted = record(change("d", before={"a": 1, "b": "x"}), b'{"a":1}', offset=12)
    assert entry([*outcomes()[:1], MASKER.mask(deleted)], 10, 13).columns == {
        "crm.people": {"a": {"keep": 3}, "b": {"tokenize": 2}, "c": {"redact": 1}}
    }


def test_a_value_that_its_method_can_not_take_is_counted() -> None:
    strange = MASKER.mask(record(change(after={"a": 1, "b": ["x"]}), offset=10))
    assert entry([strange], 10, 11).columns["crm.people"]["b"] == {"tokenize": 1, "redacted: type": 1}


def test_names_without_end_are_counted_together() -> None:
    wide = MASKER.mask(record(change(after={f"c{number}": 1 for number in range(1500)}), offset=10))
    long = MASKER.mask(record(change(after={"c" * 256: 1, "c\0": 1}), offset=11))
    columns = entry([wide, long], 10, 12).columns
    assert sum(map(len, columns.values())) == 1001
    assert columns[OTHERS] == {OTHERS: {"redact": 502}}
    assert entry([long, wide], 10, 12).columns == columns  # whoever counts them, in whatever order
    other = MASKER.mask(record(change(after={f"b{number}": 1 for number in range(900)}), offset=12))
    assert entry([other, wide], 10, 13).columns == entry([wide, other], 10, 13).columns


def test_an_entry_names_what_was_not_published_and_why() -> None:
    assert entry().notes == (
        Note(TOPIC, 2, 11, 1795242089117, Fate.QUARANTINED, Reason.NOT_JSON, "value"),
        Note(TOPIC, 2, 15, 1795242089117, Fate.QUARANTINED, Reason.NOT_UTF8, "key"),
    )
    signal = Outcome(Fate.DROPPED, TOPIC, 2, 16, 5, reason=Reason.SIGNAL)
    assert entry([signal], 16, 17).notes == (Note(TOPIC, 2, 16, 5, Fate.DROPPED, Reason.SIGNAL),)


def test_an_entry_holds_nothing_of_a_record() -> None:
    assert CANARY.encode() not in encode_entry(entry())
    assert CANARY not in repr(entry())


def test_the_root_is_that_of_the_leaves_of_all_records() -> None:
    made = outcomes()
    assert entry(made).root == f"sha256:{root([leaf_hash(leaf_of(outcome)) for outcome in made]).hex()}"
    for number, outcome in enumerate(made):
        for other in (replace(outcome, offset=outcome.offset + 1), replace(outcome, timestamp=0), replace(outcome, key=b"")):
            assert entry([*made[:number], other, *made[number + 1 :]]).root != entry(made).root


def test_the_leaf_of_a_note_is_that_of_its_outcome() -> None:
    made = outcomes()
    notes = {note.offset: note for note in entry(made).notes}
    assert len(notes) == 2
    for outcome in made:
        if outcome.offset in notes:
            assert leaf_of(notes[outcome.offset]) == leaf_of(outcome)


def test_leaves_are_as_documented() -> None:
    def number(*numbers: int) -> bytes:
        return b"".join(each.to_bytes(8, "big", signed=True) for each in numbers)

    masked = leaf(7, Fate.MASKED, None, None, -1, None, b"", (("h", b"x"), ("n\u00e9", None), ("e", b"")))
    headers = number(1, 1) + b"hx" + number(3, -1) + "n\u00e9".encode() + number(1, 0) + b"e"
    assert masked == number(7, -1, -1, 0) + number(6) + b"masked" + number(-1, -1) + headers

    quarantined = leaf(8, Fate.QUARANTINED, Reason.NOT_JSON, "\u00e9", 9, b"k", None, ())
    texts = number(11) + b"quarantined" + number(8) + b"not_json" + number(2) + "\u00e9".encode()
    assert quarantined == number(8, 9, 1, -1) + b"k" + texts


PARTS = st.none() | st.binary(max_size=3)
LEAVES = st.tuples(
    st.integers(0, 300),
    st.sampled_from(Fate),
    st.none() | st.sampled_from([Reason.NOT_JSON, Reason.SIGNAL]),
    st.none() | st.text("a\x00", max_size=2),
    st.integers(-1, 300),
    PARTS,
    PARTS,
    st.lists(st.tuples(st.text("a\x00", max_size=2), PARTS), max_size=2).map(tuple),
)


@given(LEAVES, LEAVES)
def test_no_two_records_have_one_leaf(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    for mixed in itertools.product(*zip(one, other, strict=True)):
        assert (leaf(*mixed) == leaf(*one)) == (mixed == one)


def test_an_entry_is_read_back_as_it_was_written() -> None:
    assert decode_entry(encode_entry(entry())) == entry()


def test_any_program_can_write_the_bytes_of_an_entry_again() -> None:
    written = encode_entry(replace(entry(), worker='wörker "\\\x01\x7f\u2028😀'))
    again = json.dumps(json.loads(written), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert again == written
    assert entry_hash(written) == f"sha256:{sha256(b'cdc-masker audit entry 1' + bytes([10]) + again).hexdigest()}"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"generation":1}', b'{"topic":"\xff"}'])
def test_a_text_that_is_no_entry_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_entry(text)


def changed(member: str, value: Any) -> Any:
    """What makes the document of an entry another one; `member` may be a path."""

    def change(document: Any) -> None:
        *path, last = member.split(".")
        for name in path:
            document = document[int(name) if name.isdigit() else name]
        document[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(changed(text, "a\0b") for text in ("incarnation", "topic", "root", "policy_seal", "worker", "notes.0.place")),
        *(changed(number, 2**31) for number in ("generation", "partition", "key_epoch", "notes.0.partition")),
        *(changed(number, 2**63) for number in ("last_offset", "policy_version", "counts.masked", "notes.0.offset")),
        changed("gaps", [[12, 2**63]]),
        changed("notes.0.timestamp", -(2**63) - 1),
        changed("shape_version", -1),
        changed("masked_at", 253_402_300_800_000),
        changed("topic", "a" * 250),
        changed("columns", {"t": {"c\0": {"keep": 1}}}),
        changed("columns", {"t": {"c": {"keep": 2**63}}}),
        changed("accepted", {"by": "a\0", "reason": "r"}),
        changed("counts", {"masked": 1}),
        changed("first_offset", 18),
    ],
)
def test_what_the_catalog_can_not_hold_is_no_entry(change: Any) -> None:
    document = json.loads(encode_entry(entry()))
    decode_entry(json.dumps(document).encode())
    change(document)
    with pytest.raises(msgspec.ValidationError):
        decode_entry(json.dumps(document).encode())


def test_a_note_is_coordinates_a_reason_and_a_place() -> None:
    note = Note(TOPIC, 2, 11, 1795242089117, Fate.QUARANTINED, Reason.NOT_JSON, "value")
    assert json.loads(encode_note(note)) == {
        "topic": TOPIC,
        "partition": 2,
        "offset": 11,
        "timestamp": 1795242089117,
        "fate": "quarantined",
        "reason": "not_json",
        "place": "value",
    }
