"""A worker is started again when it failed, later each time, and never outlives what started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.restarting import Backoff, Supervision, supervise

HERE = Path(__file__).resolve().parents[2]

# Ends in the way that the next line of a file says.
WORKER = """
import os, pathlib, signal, sys
plan = pathlib.Path(sys.argv[1])
here, *rest = plan.read_text().split() or ["0", "once too often"]
plan.write_text(" ".join(rest))
if here.startswith("-"):
    os.kill(os.getpid(), -int(here))
os._exit(int(here))
"""
ENDS = [sys.executable, "-S", "-E", "-c", WORKER]

# Tells that it listens, and takes its time when it is told to stop.
LISTENER = """
import signal, sys, time
def drain(number, frame):
    print("drains", flush=True)
    time.sleep(0.2)
    print("drained", flush=True)
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGTERM, drain)
signal.signal(signal.SIGINT, drain)
print("listens", flush=True)
time.sleep(60)
"""

SUPERVISOR = """
import asyncio, sys
from cdc_masker.restarting import supervise
sys.exit(asyncio.run(supervise(sys.argv[1:])))
"""


class Time:
    """A clock by which each worker runs as long as it is said, and a pause that takes no time."""

    def __init__(self, *runs: float) -> None:
        self._readings = self._read(runs)
        self.waited: list[float] = []

    def _read(self, runs: tuple[float, ...]) -> Iterator[float]:
        now = 0.0
        for run in runs:
            yield now
            now += run
            yield now
        while True:  # all further ones
            yield now

    def __call__(self) -> float:
        return next(self._readings)

    async def pause(self, stop: asyncio.Event, seconds: float) -> None:
        self.waited.append(seconds)


def run(ends: list[int], tmp_path: Path, time: Time) -> int:
    plan = tmp_path / "plan"
    plan.write_text(" ".join(map(str, ends)))
    code = asyncio.run(
        supervise([*ENDS, str(plan)], Supervision(backoff=lambda: Backoff(lambda: 1.0), pause=time.pause, clock=time))
    )
    assert plan.read_text() == "", "it was not started as often as it should"
    return code


@pytest.mark.parametrize("code", [0, 2])
def test_an_end_that_is_meant_is_passed_on(code: int, tmp_path: Path) -> None:
    time = Time()
    assert run([code], tmp_path, time) == code
    assert time.waited == []


def test_each_failure_in_a_row_makes_the_next_start_wait_longer(tmp_path: Path) -> None:
    time = Time()
    assert run([3, -9, 3, -15, 1, 70, 3, 3, 0], tmp_path, time) == 0
    assert time.waited == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_long_run_makes_the_wait_short_again(tmp_path: Path) -> None:
    time = Time(5, 599, 600, 5)
    assert run([3, 3, 3, 3, 2], tmp_path, time) == 2
    assert time.waited == [1, 2, 1, 2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.lists(st.floats(0, 599), min_size=1, max_size=20))
def test_a_wait_is_between_half_of_it_and_all_of_it(chances: list[float], runs: list[float]) -> None:
    backoff, steady = Backoff(iter(chances * 20).__next__), Backoff(lambda: 1.0)
    for ran in runs:
        whole = steady.seconds(ran)
        assert 1 <= whole <= 60
        assert whole / 2 <= backoff.seconds(ran) <= whole


def supervised(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, sys.executable, "-u", *command],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGTERM, 3)])
def test_a_signal_is_handed_on_and_the_end_awaited(number: signal.Signals, code: int) -> None:
    with supervised("-c", LISTENER, str(code)) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "listens\n"
        supervisor.send_signal(number)
        assert supervisor.stdout.read() == "drains\ndrained\n"
        assert supervisor.wait(10) == code


def test_a_worker_that_does_not_listen_yet_ends_at_once() -> None:
    with supervised("-c", "print('starts'); import time; time.sleep(60)") as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "starts\n"
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0


def test_a_signal_ends_the_wait_for_the_next_start(tmp_path: Path) -> None:
    async def pause(stop: asyncio.Event, seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 10)

    plan = tmp_path / "plan"
    plan.write_text("3 2")
    assert asyncio.run(supervise([*ENDS, str(plan)], Supervision(pause=pause))) == 0
    assert plan.read_text() == "2", "another one was started"


def test_a_worker_does_not_outlive_its_supervisor() -> None:
    with supervised("-c", "import os, time; print(os.getpid()); time.sleep(60)") as supervisor:
        assert supervisor.stdout is not None
        worker = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
        assert supervisor.wait(10) == -signal.SIGKILL
        worker.wait(10)
        assert not worker.is_running()
