"""The workers of a replay as processes: each with its own surroundings, told to stop when all is done or one refuses."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from cdc_masker.replay.progress import Progress
from cdc_masker.replay.running import environments, run
from cdc_masker.settings import load

# Tells by a file that it listens; ends when it is told to, or at once with the code that a file names.
WORKER = """
import os, pathlib, signal, sys, time
here, number = pathlib.Path(sys.argv[1]), os.environ["CDC_MASKER_WEB_PORT"]
signal.signal(signal.SIGTERM, lambda *_: ((here / f"stopped-{number}").touch(), os._exit(0)))
(here / f"listens-{number}").touch()
while True:
    if (here / f"ends-{number}").exists():
        os._exit(int((here / f"ends-{number}").read_text()))
    time.sleep(0.01)
"""
SETTINGS = load(web_port=20000, worker_name="w")


def progress(*, left: int) -> Progress:
    known = {"rate": None, "bytes": None, "seconds": None}
    return Progress(
        generation=2, state="", policy_version=1, records=9, done=9 - left, partitions=1, open=left, lag=left, **known
    )


class Watched:
    """What a `Watch` tells: an error first, then that something is left, until a function says that nothing is."""

    def __init__(self, here: Path, workers: int) -> None:
        self._here = here
        self._workers = workers
        self._looked = False

    async def look(self) -> Progress:
        if not self._looked:
            self._looked = True
            raise KafkaConnectionError
        return progress(left=int(len([*self._here.glob("listens-*")]) < self._workers))


def ran(here: Path, *, ends: bool) -> tuple[int, list[str], list[Progress]]:
    told: list[Progress] = []

    async def within_bounds() -> int:
        watched: Any = Watched(here, 2)
        command = [sys.executable, "-S", "-E", "-c", WORKER, str(here)]
        ports = [{"CDC_MASKER_WEB_PORT": "1"}, {"CDC_MASKER_WEB_PORT": "2"}]
        return await asyncio.wait_for(run(watched, command, ports, told.append, ends=ends), 30)

    code = asyncio.run(within_bounds())
    return code, sorted(path.name for path in here.glob("stopped-*")), told


def test_past_the_bounds_all_are_told_to_stop(tmp_path: Path) -> None:
    code, stopped, told = ran(tmp_path, ends=True)
    assert (code, stopped) == (0, ["stopped-1", "stopped-2"])
    assert told[-1].passed


def test_when_one_refuses_all_are_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "ends-2").write_text("2")
    code, stopped, _ = ran(tmp_path, ends=False)
    assert (code, "stopped-2" in stopped) == (2, False)


def test_each_worker_has_a_port_and_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("cdc_masker_generation", "7")
    monkeypatch.setenv("CDC_MASKER_APP_ID", "mine")
    with socket.socket() as taken:
        taken.bind((SETTINGS.web_host, SETTINGS.web_port + 1))
        made = environments(SETTINGS, 3, 2)
    ours = [{name: value for name, value in each.items() if name.upper().startswith("CDC_MASKER_")} for each in made]
    same = {"CDC_MASKER_APP_ID": "mine", "CDC_MASKER_GENERATION": "3"}
    assert ours == [
        {**same, "CDC_MASKER_WEB_PORT": "20002", "CDC_MASKER_WORKER_NAME": "w-1"},
        {**same, "CDC_MASKER_WEB_PORT": "20003", "CDC_MASKER_WORKER_NAME": "w-2"},
    ]
    assert made[0]["PATH"] == os.environ["PATH"]
