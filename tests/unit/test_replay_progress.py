"""How far a replay came, from what its group committed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from aiokafka import TopicPartition

from cdc_masker.cli import replayed
from cdc_masker.cli.progress import progress
from cdc_masker.errors import SetupError
from cdc_masker.kafka.wire import Committed
from cdc_masker.ports import Generation, Replay, Stretch
from cdc_masker.replay.progress import Counts, Pace, Progress, Watch, count
from cdc_masker.settings import load
from cdc_masker.subjects import Log

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)
STRETCHES = {ZERO: Stretch("t", 0, "a", 10, 110), ONE: Stretch("t", 1, "a", 0, 50)}


def test_what_is_committed_counts_up_to_the_bound_and_lag_goes_on_behind_it() -> None:
    found = count(STRETCHES, {ZERO: 60, ONE: 70}, {ZERO: 200, ONE: 75})
    assert found == Counts(records=150, done=100, partitions=2, open=1, lag=140 + 5)


def test_a_partition_that_was_not_begun_is_at_its_start() -> None:
    assert count(STRETCHES, {}, {ZERO: 110, ONE: 50}) == Counts(records=150, done=0, partitions=2, open=2, lag=150)


def test_without_the_ends_of_the_logs_the_bounds_count() -> None:
    assert count(STRETCHES, {ZERO: 110, ONE: 20}, None) == Counts(records=150, done=120, partitions=2, open=1, lag=30)


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.rate(0, 0) is None
    assert pace.rate(1, 100) == 100
    for second in range(2, 100):
        rate = pace.rate(second, 100 + 10 * second)
    assert rate == pytest.approx(10)


class Servers:
    """Kafka and the catalog, as far as a look asks them."""

    def __init__(self, replay: Replay, committed: dict[TopicPartition, int], *live: int) -> None:
        self._replay = replay
        self._committed = committed
        self._live = live

    async def find(self, number: int) -> Replay | None:
        return self._replay if number == self._replay.generation else None

    async def live(self) -> list[Generation]:
        return [Generation("t", number, 1, 1) for number in self._live]

    async def committed(self, group: str, partitions: object, *, settled: bool) -> dict[TopicPartition, Committed]:
        assert (group, settled) == ("app.g2", False)
        return {each: Committed(offset, "") for each, offset in self._committed.items()}

    async def ends(self, topics: object) -> dict[Log, int]:
        return {Log("t", "a", 0): 115, Log("t", "a", 1): 50}


def looked(replay: Replay, committed: dict[TopicPartition, int], *live: int, number: int = 2) -> Progress:
    servers: Any = Servers(replay, committed, *live)
    return asyncio.run(Watch(load(app_id="app"), servers, servers, servers, number, mean=10.0, clock=lambda: 0.0).look())


REPLAY = Replay(
    generation=2,
    policy_version=1,
    stays=True,
    pattern=".*",
    reason="a test",
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
    created_by="ann",
    state="running",
    stretches=tuple(STRETCHES.values()),
)
PASSED = {ZERO: 110, ONE: 50}


@pytest.mark.parametrize(
    ("replay", "committed", "live", "state"),
    [
        (REPLAY, {ZERO: 110, ONE: 49}, (1, 2), "running"),
        (replace(REPLAY, state="paused"), {}, (1, 2), "paused"),
        (REPLAY, PASSED, (1, 2), "live"),
        (replace(REPLAY, state="paused"), PASSED, (1, 2), "paused"),
        (replace(REPLAY, stays=False), PASSED, (1, 2), "complete"),
        (REPLAY, PASSED, (1, 3), "closed"),
        (replace(REPLAY, state="cancelled"), PASSED, (1,), "cancelled"),
    ],
)
def test_a_look_tells_the_state(
    replay: Replay, committed: dict[TopicPartition, int], live: tuple[int, ...], state: str
) -> None:
    found = looked(replay, committed, *live)
    assert (found.state, found.passed) == (state, committed == PASSED)
    assert found.bytes == found.done * 10


def test_a_replay_that_is_not_there_is_told() -> None:
    with pytest.raises(SetupError, match="no replay 3"):
        looked(REPLAY, {}, number=3)


def made(**more: object) -> Progress:
    told = {
        "records": 200,
        "done": 50,
        "partitions": 4,
        "open": 3,
        "lag": 160,
        "rate": 25.0,
        "bytes": 5_000_000,
        "seconds": 6.0,
    }
    return Progress(**{"generation": 2, "state": "running", "policy_version": 1, **told, **more})  # type: ignore[arg-type]


def test_progress_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed.in_words(made()) == (
        "generation 2 running: 50 of 200 records (25 %), 1 of 4 partitions, 25 records/s, about 5.0 MB, lag 160, 0:00:06 left"
    )
    nothing = made(state="live", records=0, done=0, open=0, lag=0, rate=None, bytes=None, seconds=None)
    assert replayed.in_words(nothing) == "generation 2 live: 0 of 0 records, 4 of 4 partitions, lag 0"
    replayed.tell_progress(made(), as_json=True)
    assert json.loads(capsys.readouterr().out)["rate"] == 25.0


def test_lines_come_now_and_then_and_the_last_one_at_the_end() -> None:
    with redirect_stderr(StringIO()) as printed, progress(every=3600) as tell:
        for word in ("one", "two", "three"):
            tell(word)
    assert printed.getvalue().split() == ["one", "three"]


ON_A_TERMINAL = """
import subprocess, sys
from cdc_masker.cli.progress import above, progress
with progress() as tell, above() as output:
    tell("half of it")
    subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(0.5); print('a line of [a worker]')"], stdout=output)
    tell("all of it")
"""


def test_on_a_terminal_what_workers_write_comes_above_the_line_that_changes() -> None:
    ours, its = os.openpty()
    with subprocess.Popen([sys.executable, "-c", ON_A_TERMINAL], stderr=its, env={**os.environ, "TERM": "xterm"}) as program:
        os.close(its)
        shown = b""
        with suppress(OSError):  # which is how a terminal tells that nobody writes any more
            while more := os.read(ours, 4096):
                shown += more
    os.close(ours)
    assert program.returncode == 0
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown.decode()).splitlines()
    assert "a line of [a worker]" in lines, "it stands behind another one"
    assert any("all of it" in line for line in lines)
