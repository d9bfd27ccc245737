"""The proof that the search can find: a marker is planted in each kind of sink, in each encoding, and has to be found.

The plants go through the same functions that read the real sinks, and through the very searcher that is used afterwards, with
all its needles. Nothing is written anywhere: the plants live in memory.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Mapping

from cdc_masker.codecs.capture import encode_outcome
from cdc_masker.errors import Reason, SetupError
from cdc_masker.events import AuditEntry, Fate, Note, Outcome, Record
from cdc_masker.evidence import encode_entry, encode_note
from cdc_masker.leaks.encodings import ENCODINGS, forms
from cdc_masker.leaks.search import Searcher
from cdc_masker.leaks.sinks import Item, chunks_of, line_item, record_item, row_item, stream_item

__all__ = ["COLUMN", "PLANTS", "SPECIMENS", "new_markers", "prove"]

COLUMN = "self-test"
"""Where markers say they come from."""

_HOLE = "HOLE"
_TOPIC = "self-test"
_NOTE = Note(_TOPIC, 0, 0, 0, Fate.QUARANTINED, Reason.NOT_JSON)
_ENTRY = AuditEntry(
    generation=1,
    incarnation="",
    topic=_TOPIC,
    partition=0,
    first_offset=0,
    last_offset=0,
    counts=dict.fromkeys(Fate, 0),
    notes=(_NOTE,),
    root="sha256:",
    previous="sha256:",
    policy_version=0,
    policy_digest="sha256:",
    policy_seal="",
    key_epoch=1,
    masked_at=1_000_000_000_000,
    worker=_HOLE,
    program="cdc-masker/",
)

SPECIMENS = b"\n".join(
    [encode_entry(_ENTRY), *(encode_note(Note(_TOPIC, 0, 0, 0, Fate.QUARANTINED, reason)) for reason in Reason)]
)
"""The words that the program itself writes: a raw value that is one of them tells nothing where it is found."""


def _record(value: bytes = b"", key: bytes | None = None, header: bytes = b"", name: str = "cdc-masker") -> Record:
    return Record(_TOPIC, 0, 0, 0, key, value, ((name, header),))


def _value(pattern: bytes) -> bytes:
    return b'{"before":null,"after":{"id":1,"note":"' + pattern + b'"},"op":"c"}'


def _note(pattern: bytes) -> bytes:
    return encode_note(_NOTE).replace(b'"reason":"', b'"detail":"' + pattern + b'","reason":"')


def _outcome(pattern: bytes) -> bytes:
    masked = Outcome(Fate.MASKED, _TOPIC, 0, 0, 0, f"masked.{_TOPIC}", b'{"id":1}', _value(pattern), ())
    return encode_outcome(masked)


PLANTS: Mapping[str, Callable[[bytes], Item]] = {
    "value of a masked record": lambda pattern: record_item(_TOPIC, _record(_value(pattern))),
    "key of a masked record": lambda pattern: record_item(_TOPIC, _record(key=b'{"id":"' + pattern + b'"}')),
    "header of a masked record": lambda pattern: record_item(_TOPIC, _record(header=b"v=1;" + pattern)),
    "name of a header": lambda pattern: record_item(_TOPIC, _record(name=pattern.decode("utf-8", "surrogateescape"))),
    "quarantine note": lambda pattern: record_item(_TOPIC, _record(_note(pattern))),
    "audit entry": lambda pattern: record_item(
        _TOPIC, _record(encode_entry(_ENTRY).replace(_HOLE.encode(), pattern)), audit=True
    ),
    "audit row": lambda pattern: row_item(_TOPIC, {"generation": 1, "worker": pattern.decode("utf-8", "surrogateescape")}),
    "line of a masked capture": lambda pattern: line_item(_TOPIC, _outcome(pattern)),
    "log": lambda pattern: stream_item(_TOPIC, (b"WARNING a record is refused: " + pattern + b"\n",)),
    "file, across the edges of what is read at once": lambda pattern: stream_item(
        _TOPIC, chunks_of(io.BytesIO(b"\0" * 9 + pattern + b"\0" * 9), 16)
    ),
}
"""What is planted where: each takes the bytes of a form and gives the sink that holds them."""


def new_markers() -> dict[bytes, tuple[str, ...]]:
    """Needles for one run that nothing else can hold: a text that has a form of its own in each encoding, and bytes."""
    text = f'Prüf~{secrets.token_hex(4)}{secrets.randbelow(10**9) + 10**9} "{secrets.token_hex(4)}\\?>?> é'
    return {text.encode(): (COLUMN,), b"\xff\xfe" + secrets.token_bytes(14): (COLUMN,)}


def prove(searcher: Searcher, markers: Mapping[bytes, tuple[str, ...]]) -> int:
    """Plants every form of the markers, which are among the searcher's needles, in every kind of sink; gives their number.

    Raises `SetupError` for the first that isn't found, or when an encoding wasn't tried.
    """
    planted = 0
    tried = set[str]()
    for form in (form for marker in markers for form in forms(marker)):
        tried.add(form.encoding)
        for kind, plant in PLANTS.items():
            found = (one for text in plant(form.pattern) for one in searcher.find(text.chunks))
            if not any(one.encoding == form.encoding and COLUMN in one.columns for one in found):
                raise SetupError(
                    f"self-test: a marker in {form.encoding} was not found when planted as {kind}, so a search would prove "
                    "nothing; reinstall cdc-masker, and report this if it stays"
                )
            planted += 1
    if missing := set(ENCODINGS) - tried:
        raise SetupError(f"self-test: no marker was planted in {', '.join(sorted(missing))}; report this")
    return planted
