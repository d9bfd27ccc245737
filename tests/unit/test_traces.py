"""What the program leaves behind beside its output: nothing in it shows a value, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdc_masker import envelope
from cdc_masker.cli import EXIT_FAULT
from cdc_masker.codecs.capture import CaptureError, decode_line, encode_line
from cdc_masker.errors import InputError, PolicyError, located
from cdc_masker.events import Record
from cdc_masker.kafka.failing import conceal
from cdc_masker.methods import Context
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy
from tests.unit.building import KEYS, change, compact, described, envelope_schema, masker, record, rule

CANARY = "Wilhelmina-Sardonyx"
ROW = {"a": CANARY}
SCHEMA = envelope_schema({"a": {"type": "string"}})

POISON: dict[str, Record] = {
    "not JSON": record(f'{{"{CANARY}'),
    "not JSON, whole": record(CANARY),
    "not UTF-8": record(CANARY.encode() + b"\xff"),
    "key not UTF-8": record(change(after=ROW), CANARY.encode() + b"\xff"),
    "key not JSON": record(change(after=ROW), CANARY),
    "key no object": record(change(after=ROW), compact(CANARY)),
    "key twice": record(change(after=ROW), f'{{"{CANARY}":1,"{CANARY}":2}}'),
    "no envelope": record(ROW),
    "wrong type": record(change(after=ROW, ts_ms=CANARY)),
    "unknown operation": record(change(CANARY, after=ROW)),
    "number past 64 bits": record(compact(change(after=ROW)).replace("1795242088677,", "9" * 30 + ",")),
    "no row": record(change(after=CANARY)),
    "twice in a kept value": record(compact(change(after={"a": 0})).replace('"a":0', f'"a":{{"{CANARY}":1,"{CANARY}":2}}')),
    "too deep": record(compact(change(after={"a": 0})).replace(":0", ":" + "[" * 300 + f'"{CANARY}"' + "]" * 300)),
    "another schema": record(described(SCHEMA, change(after={CANARY: 1}))),
    "no schema": record(described({"type": CANARY}, change(after=ROW))),
    "wrong parameters": record(described({**SCHEMA, "parameters": {"scale": CANARY}}, change(after=ROW))),
    "key in a header": record(change(after=ROW), {"a": 1}, headers=(("__debezium.newkey", CANARY.encode()),)),
    "heartbeat": record({"ts_ms": CANARY}, {"serverName": CANARY}, topic="__debezium-heartbeat.shop"),
    "transaction": record({"status": CANARY, "id": CANARY}, {"id": CANARY}),
    "flattened metadata": record({"__op": CANARY}, topic="flat"),
    "flattened table": record({"__table": CANARY}, topic="flat"),
}


def poisoned() -> Masker:
    shape = EnvelopeShape(topic="flat", shape="flattened", schema="crm", table="people")
    return Masker(Policy.of(1, rules=[rule("a", "keep")], envelopes=[shape]), KEYS)


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """An exception with all that hang on it, shown or not."""
    if error is not None:
        yield error
        yield from chained(error.__cause__)
        yield from chained(error.__context__)


def all_of(error: BaseException) -> str:
    """Whatever an exception carries, and how it is printed."""
    carried = [
        repr((each.args, vars(each), [getattr(each, name, None) for name in ("doc", "object")])) for each in chained(error)
    ]
    return "".join([*carried, *traceback.format_exception(error)])


@pytest.mark.parametrize("name", POISON)
def test_an_error_of_a_record_carries_a_code_and_a_place(name: str) -> None:
    with pytest.raises(InputError) as caught:
        poisoned()._masked(POISON[name], Context("t", 0, 0))
    assert CANARY not in all_of(caught.value)
    assert not [each for each in chained(caught.value) if not isinstance(each, InputError | KeyError)]


@pytest.mark.parametrize("name", POISON)
def test_an_outcome_shows_neither_value_nor_key(name: str) -> None:
    outcome = poisoned().mask(POISON[name])
    assert outcome.reason is not None
    assert CANARY not in repr((outcome, POISON[name]))


LINES = [
    CANARY.encode(),
    b'{"topic":"' + CANARY.encode(),
    compact({"topic": CANARY}).encode(),
    compact({CANARY: 1}).encode(),
    compact({"topic": "t", "partition": CANARY}).encode(),
    compact({"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": {CANARY: 1}, "value": None}).encode(),
    compact({"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": {"base64": CANARY}, "value": None}).encode(),
    compact({"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": 5, "value": None, CANARY: 0}).encode(),
    b'{"topic":"' + CANARY.encode() + b'\xff"}',
    b'{"topic":"t","partition":0,"offset":0,"timestamp":0,"key":"' + CANARY.encode() + b'\\ud800","value":null}',
]


@pytest.mark.parametrize("line", LINES)
def test_an_error_of_a_capture_line_carries_a_place(line: bytes) -> None:
    with pytest.raises(CaptureError) as caught:
        decode_line(line)
    assert CANARY not in all_of(caught.value)
    assert list(chained(caught.value)) == [caught.value]


def test_what_was_decoded_does_not_show_itself() -> None:
    event = change(after=ROW, before=ROW)
    read = [
        envelope.read(record(event, ROW)),
        envelope.read(record(described(SCHEMA, event))),
        envelope.read_key(compact(ROW).encode(), "key"),
        masker(rule("a", "tokenize"))._plans,
    ]
    assert CANARY not in repr(read)


def _undecodable() -> None:
    (CANARY.encode() + b"\xff").decode()


CARRIERS: dict[str, Any] = {
    "JSON": lambda: json.loads(CANARY),
    "UTF-8": _undecodable,
    "integer": lambda: int(CANARY),
    "member": lambda: dict[str, int]()[CANARY],
    "policy": lambda: Policy.from_document({"rules": [{"schema": "a", "table": "b", "column": "c", "method": 5}]}),
}


def raised(name: str) -> Exception:
    try:
        CARRIERS[name]()
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("name", CARRIERS)
def test_an_error_of_others_is_told_by_class_and_place(name: str) -> None:
    error = raised(name)
    told = located(error)
    assert CANARY not in told
    assert (told == str(error)) == isinstance(error, PolicyError)
    if name == "integer":
        assert told.startswith("ValueError at test_traces.py:")


@pytest.fixture
def concealing() -> Iterator[None]:
    factory, hooks = logging.getLogRecordFactory(), (sys.excepthook, sys.unraisablehook, threading.excepthook)
    conceal()
    yield
    logging.setLogRecordFactory(factory)
    logging.raiseExceptions = True
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


@pytest.mark.parametrize("name", ["JSON", "UTF-8", "integer", "member"])
def test_no_log_shows_the_text_of_an_exception(name: str, concealing: None, caplog: pytest.LogCaptureFixture) -> None:
    error = raised(name)
    logger = logging.getLogger("somebody.else")
    logger.error("failed: %r", error)
    logger.error("failed: %s at %d%%", error, 5)
    logger.error(error)
    logger.error(f"100% failed\nfuture: <Task exception={error}>", exc_info=error)
    logger.error("%s and %s", CANARY, exc_info=error)
    logger.exception("failed", exc_info=error)
    assert CANARY not in caplog.text
    assert type(error).__name__ in caplog.text
    assert "Traceback" not in caplog.text


FAULT = """
import json, sys, threading
import cdc_masker.cli as cli, cdc_masker.cli.mask as mask

canary = "Wilhelmina-Sardonyx"

def fails(outcome):
    if sys.argv[0] == "thread":
        thread = threading.Thread(target=json.loads, args=(canary,))
        thread.start()
        thread.join()
    try:
        (canary.encode() + b"\\xff").decode()
    except ValueError as error:
        raise ValueError(canary) from error

mask.encode_outcome = fails
sys.argv = [sys.argv[1], "mask", sys.argv[2]]
cli.main()
"""


@pytest.mark.parametrize("place", ["main", "thread"])
def test_a_fault_in_a_command_is_told_by_class_and_place(place: str, tmp_path: Path) -> None:
    capture, temporary = tmp_path / "capture.jsonl", tmp_path / "temporary"
    temporary.mkdir()
    capture.write_bytes(encode_line(record(change(after=ROW), ROW)) + b"\n")
    done = run([sys.executable, "-c", FAULT, place, str(capture)], temporary)
    assert done.returncode == EXIT_FAULT
    assert b"a fault of the program (ValueError at <string>:" in done.stderr
    assert (b"JSONDecodeError" in done.stderr) == (place == "thread")
    assert b"Traceback" not in done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr
    assert list(temporary.iterdir()) == []


def test_a_masked_capture_leaves_no_trace_of_poison(tmp_path: Path) -> None:
    capture, temporary, output = tmp_path / "capture.jsonl", tmp_path / "temporary", tmp_path / "output.jsonl"
    temporary.mkdir()
    capture.write_bytes(b"".join(encode_line(each) + b"\n" for each in [*POISON.values(), record(change(after=ROW), ROW)]))
    program = Path(sys.executable).parent / "cdc-masker"
    done = run([str(program), "mask", str(capture), "-o", str(output)], temporary)
    assert done.returncode == 0
    assert len(output.read_bytes().splitlines()) == len(POISON) + 1
    assert CANARY.encode() not in done.stdout + done.stderr + output.read_bytes()
    assert list(temporary.iterdir()) == []


ONE_AFTER_ANOTHER = """
import sys
import cdc_masker.cli as cli

for capture in sys.argv[1:]:
    sys.argv = ["cdc-masker", "mask", capture]
    try:
        cli.main()
    except SystemExit as end:
        print(end.code)
"""


def test_a_capture_that_can_not_be_read_leaves_no_trace_of_its_lines(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    captures = [tmp_path / f"capture-{number}.jsonl" for number in range(len(LINES))]
    for capture, line in zip(captures, LINES, strict=True):
        capture.write_bytes(line + b"\n")
    done = run([sys.executable, "-c", ONE_AFTER_ANOTHER, *map(str, captures)], temporary)
    assert done.stdout.split() == [b"2"] * len(LINES)
    assert done.stderr.count(b"line 1: not a capture line") == len(LINES)
    assert CANARY.encode() not in done.stderr
    assert list(temporary.iterdir()) == []


def run(command: list[str], temporary: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, timeout=60)
