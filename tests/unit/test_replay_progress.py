"""How far a replay came, from what its group committed."""

from __future__ import annotations

import json
from contextlib import redirect_stderr
from io import StringIO

import pytest
from aiokafka import TopicPartition

from cdc_masker.cli import replayed
from cdc_masker.cli.progress import progress
from cdc_masker.ports import Stretch
from cdc_masker.replay.progress import Counts, Pace, Progress, count

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
