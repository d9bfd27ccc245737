"""What the logs of workers tell that must not be, and whether a worker that ended by itself had a reason.

Nothing that is done to workers justifies an error of their own: a server that is away, a full disk, a moved policy and a lost
transaction are waited for, each with a warning, and go on by themselves. So a partition that was halted is a finding, and so is
a catalog that did not verify. What other libraries complain of is not looked at: they tell of each connection that was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cdc_masker.kafka.failing import EXIT_FAILED
from tests.chaos.checker import Finding

__all__ = ["check_end", "check_log"]

_OURS = "cdc_masker"
_STOPPED = "]: Thread keepalive is not responding..."
"""What Faust tells in our name when a worker goes on after SIGSTOP."""
_REASONS = re.compile(
    r"publishing \S+ from offset \d+: "
    r"(Kafka did not end it within \d+ s|the connection to Kafka was lost in the middle of it); .*"
    r"|\S+: it was fenced, and is still assigned to this worker; .*"
    r"|(no Kafka broker answers at|(Kafka|PostgreSQL) does not answer;|the connection to PostgreSQL broke;"
    r"|PostgreSQL can't serve now) .*"
)
"""What a worker says at last that lost a server while it could not wait for it, or another worker took over from."""


class _Line(msgspec.Struct):
    time: str
    level: str
    logger: str
    message: str


def check_log(log: Path) -> list[Finding]:
    """Each error that a worker told of, with its time."""
    return [
        Finding("log", log.stem, f"{line.time} {line.message}")
        for line in _ours(log.read_bytes().splitlines())
        if line.level == "ERROR" and not line.message.endswith(_STOPPED)
    ]


def check_end(log: Path, code: int) -> list[Finding]:
    """Whether a worker that ended by itself, with this exit code, says why, and whether that is a reason to."""
    ends = [line for line in _ours(log.read_bytes().splitlines()) if line.level == "CRITICAL"]
    told = f"{ends[-1].time} {ends[-1].message}" if ends else "without a reason"
    if code == EXIT_FAILED and ends and _REASONS.fullmatch(ends[-1].message):
        return []
    return [Finding("end", log.stem, f"exit code {code}: {told}")]


def _ours(lines: Iterable[bytes]) -> Iterator[_Line]:
    for line in lines:
        try:
            read = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            continue  # what the interpreter prints itself, and what was cut by the end of the process
        if read.logger.partition(".")[0] == _OURS:
            yield read
