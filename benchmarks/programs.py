"""The programs that are measured, and how each is started for a run."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bed import Run
from benchmarks.building import quix_python, streams_class_path
from cdc_masker.stack import programs

__all__ = ["PROGRAMS", "Program", "running"]

_ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 30

Progress = Callable[[str], None]
Command = list[str | Path]


@dataclass(frozen=True, slots=True)
class Program:
    """One way to do the work.

    `command` makes the command of a process, of which `processes` are started; together they are `members` of their consumer
    group (0: it assigns itself partitions). `settings` are the worker's beside its defaults. `slow` ones get fewer events.
    `build` makes what it needs, which takes long the first time.
    """

    name: str
    title: str
    command: Callable[[Run, Progress], Command]
    processes: int = 1
    members: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    masks: bool = True
    slow: bool = False
    build: Callable[[Progress], object] = lambda progress: None


def _worker(run: Run, progress: Progress) -> Command:
    return [Path(sys.executable).parent / "cdc-masker", "worker", "-l", "warn"]


def _module(name: str, *arguments: str) -> Callable[[Run, Progress], Command]:
    return lambda run, progress: [sys.executable, "-m", f"benchmarks.peers.{name}", *arguments]


def _streams(what: str) -> Callable[[Run, Progress], Command]:
    def command(run: Run, progress: Progress) -> Command:
        log = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", streams_class_path(progress), "MaskingStream"]
        return [programs.java(), *log, run.brokers, run.source, run.target, run.name, run.home / "state", "2", what]

    return command


def _quix(run: Run, progress: Progress) -> Command:
    return [quix_python(progress), "-m", "benchmarks.peers.quix"]


PROGRAMS = {
    program.name: program
    for program in (
        Program("worker", "cdc-masker, one worker", _worker),
        Program("workers", "cdc-masker, two workers", _worker, processes=2, members=2),
        Program("streams", "Kafka Streams, exactly_once_v2, 2 threads", _streams("mask"), members=2, build=streams_class_path),
        Program("loop", "the same lanes on aiokafka, without Faust", _module("loop")),
        Program("unguarded", "cdc-masker, one worker, without guard", _worker, settings={"guard_every": str(1 << 62)}),
        Program("python-core", "cdc-masker, one worker, Python core", _worker, settings={"core": "python"}),
        Program("copying", "aiokafka, transactional copy, nothing masked", _module("copying"), members=0, masks=False),
        Program(
            "streams-copy",
            "Kafka Streams, copy, nothing masked",
            _streams("copy"),
            members=2,
            masks=False,
            build=streams_class_path,
        ),
        Program("quix", "Quix Streams, exactly-once", _quix, slow=True, build=quix_python),
        Program("faust", "plain Faust agent, at least once", _module("faust_agent", "worker", "-l", "warn"), slow=True),
    )
}
"""By name. What masks nothing is a limit, not a choice."""


@contextmanager
def running(program: Program, run: Run, progress: Progress) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Starts the processes of a program; ends them, politely first."""
    command = program.command(run, progress)
    with ExitStack() as ending, run.log.open("ab") as log:
        processes = []
        for _ in range(program.processes):
            process = subprocess.Popen(
                command, cwd=run.home, env=_environment(run), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            ending.callback(_end, process)
            processes.append(process)
        yield processes


def _environment(run: Run) -> dict[str, str]:
    names = {"PYTHONPATH": str(_ROOT), "SOURCE": run.source, "TARGET": run.target, "GROUP": run.name, "BROKERS": run.brokers}
    return {**run.environment, **names, "STATE": str(run.home / "state"), "CDC_MASKER_WEB_PORT": str(_free_port())}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
