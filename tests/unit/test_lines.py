"""Lines of the log as JSON: each parses, has its coordinates as members, and holds no text of an exception."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from mode.utils.logging import setup_logging

from cdc_masker.kafka import lines
from cdc_masker.kafka.failing import conceal

CANARY = "Wilhelmina-Sardonyx"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged as JSON."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(lines.JsonLines())
    logger = logging.getLogger("test.lines")
    logger.addHandler(handler)
    logger.propagate = False
    yield written
    logger.removeHandler(handler)


def written(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_line_has_its_coordinates_as_members(log: io.StringIO) -> None:
    logger = logging.getLogger("test.lines")
    before = datetime.now(UTC)
    logger.warning("%s: halted", "shop[3]", extra=lines.at("shop", 3, 0, code="out_of_range"))
    logger.error("nothing but a code", extra=lines.at(code="stale"))
    logger.error("nothing at all")
    first, second, third = written(log)
    assert before.replace(microsecond=0) <= datetime.fromisoformat(first.pop("time")) <= datetime.now(UTC)
    assert first == {
        "level": "WARNING",
        "logger": "test.lines",
        "message": "shop[3]: halted",
        "topic": "shop",
        "partition": 3,
        "offset": 0,
        "code": "out_of_range",
    }
    assert second["code"] == "stale"
    assert list(third) == ["time", "level", "logger", "message"]


def test_a_partition_logs_where_it_is(log: io.StringIO) -> None:
    partition = lines.PartitionLog(logging.getLogger("test.lines"), "shop", 3)
    partition.warning("%s: fenced", "shop[3]", offset=7, code="fenced")
    partition.error("halted", code="stale")
    partition.error("opened")
    assert [{name: line.get(name) for name in ("topic", "partition", "offset", "code")} for line in written(log)] == [
        {"topic": "shop", "partition": 3, "offset": 7, "code": "fenced"},
        {"topic": "shop", "partition": 3, "offset": None, "code": "stale"},
        {"topic": "shop", "partition": 3, "offset": None, "code": None},
    ]


def test_whatever_is_logged_is_one_line_without_the_text_of_an_exception(log: io.StringIO) -> None:
    logger = logging.getLogger("test.lines")
    logger.error("two\nlines\u2028and\x85more \ud800 of %s", {"a": object()})
    logger.error("%d", "arguments that do not fit")
    try:
        raise ValueError(CANARY)
    except ValueError:
        logger.exception("failed", stack_info=True)
    assert len(written(log)) == 3
    assert written(log)[0]["message"].startswith("two\nlines\u2028and\x85more \ud800 of {'a': <object")
    assert written(log)[1]["message"] == "a message that does not fit its arguments"
    assert written(log)[2]["message"] == "failed"
    assert CANARY not in log.getvalue()


def test_faust_logs_as_json_when_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        setup_logging(loglevel="info", logging_config=lines.config("json"))
        logging.getLogger("faust.somewhere").info("Subscribed to %s", {"a topic"})
        logging.getLogger("aiokafka").debug("not told")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Subscribed to {'a topic'}"
    assert lines.config("text") is None


FAULT = f"""
import sys, threading
from cdc_masker.kafka import lines
from cdc_masker.kafka.failing import conceal

def fails(*_):
    raise ValueError("{CANARY}")

conceal()
lines.begin(sys.argv[1])
thread = threading.Thread(target=fails)
thread.start()
thread.join()
type("Thing", (), {{"__del__": fails}})()
fails()
"""


@pytest.mark.parametrize("format_", ["text", "json"])
def test_an_error_that_nobody_caught_is_told_as_the_log_is(format_: str) -> None:
    done = subprocess.run([sys.executable, "-c", FAULT, format_], capture_output=True, text=True)
    assert done.returncode == 1
    told = done.stderr.splitlines()
    if format_ == "json":
        assert {json.loads(line)["level"] for line in told} == {"CRITICAL"}
        told = [json.loads(line)["message"] for line in told]
    else:
        assert all(line.startswith("cdc-masker: ") for line in told)
    assert len(told) == 3
    assert all("ValueError at <string>:7 in fails" in line for line in told)
    assert CANARY not in done.stdout + done.stderr


def test_concealing_goes_before_the_json(log: io.StringIO) -> None:
    factory, hooks = logging.getLogRecordFactory(), (sys.excepthook, sys.unraisablehook)
    conceal()
    try:
        logging.getLogger("test.lines").error("failed: %r", ValueError(CANARY), exc_info=ValueError(CANARY))
    finally:
        logging.setLogRecordFactory(factory)
        logging.raiseExceptions = True
        sys.excepthook, sys.unraisablehook = hooks
    assert [line["message"] for line in written(log)] == ["failed: 'ValueError' (ValueError)"]
