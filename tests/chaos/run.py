"""A whole run: a stack of its own, a source, workers behind proxies, faults one after another, and the check at the end."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cdc_masker.kafka.steps import Step
from cdc_masker.stack import Stack
from tests.chaos import gathering, logs
from tests.chaos.checker import Finding
from tests.chaos.disk import Disk
from tests.chaos.faults import ASSIGNING, AUDITING, DELIVERING, RELEASING, Fault, Faults
from tests.chaos.fleet import Fleet
from tests.chaos.loop import Loop
from tests.chaos.observer import Observer
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report
from tests.chaos.source import Source
from tests.integration.kit import Deployment

__all__ = ["Plan", "long", "run", "short"]

_LATENCY_SECONDS = 0.03  # so that transactions are open for most of the time, as in a real network
_BATCH_RECORDS = 50
_DISK_MEGABYTES = 512
_START_SECONDS = 90.0
_STALL_SECONDS = 90.0
_DRAIN_SECONDS = 180.0
_LEAST = {"kill": 6, "zombie": 1, "restart": 1}
"""Of each, that a run must have done."""

_SETTINGS = {
    "batch_records": str(_BATCH_RECORDS),
    "transaction_timeout": "15",
    "audit_lag_limit": "2000",
    "startup_timeout": "90",  # many start at once while others work
    "log_format": "json",
}
_MISHAPS = (
    "add", "remove", "release", "release", "postgres_away", "postgres_cut", "postgres_silent", "disk_full", "kafka_cut",
    "kafka_refused", "kafka_slow", "kafka_silent",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`faults` gives what is done, for so many `seconds` at most; `backlog` records wait for the masker most of the time."""

    faults: Callable[[Random], Iterable[Fault]]
    seconds: float = float("inf")
    topics: int = 3
    partitions: int = 3
    workers: int = 3
    backlog: int = 6000


def short(random: Random) -> Iterator[Fault]:
    """What is done once in the test suite: the least that has to be, and some more, in a random order."""
    faults = [
        *(Fault("kill", step) for step in random.sample(DELIVERING, 3)),
        Fault("kill", random.choice(ASSIGNING)),  # and one before it, so that somebody is assigned
        Fault("kill", random.choice(AUDITING)),
        Fault("kill"),
        Fault("zombie", random.choice(DELIVERING[3:9])),
        Fault("restart"),
        *(Fault(kind) for kind in ("release", "kafka_cut", "postgres_away", "disk_full")),
    ]
    random.shuffle(faults)
    yield from faults


def long(random: Random) -> Iterator[Fault]:
    """Everything, again and again, each time in another order."""
    while True:
        faults = [
            *(Fault("kill", step) for step in (*ASSIGNING, *DELIVERING, Step.ABORTED, *AUDITING, *RELEASING)),
            *(Fault("pause", step) for step in random.sample((*ASSIGNING, *DELIVERING, *AUDITING), 4)),
            *(Fault("zombie", step) for step in random.sample(DELIVERING[3:9], 2)),
            *(Fault(kind) for kind in ("kill", "kill", "zombie", "restart", "restart", *_MISHAPS)),
        ]
        random.shuffle(faults)
        yield from faults


def run(plan: Plan, seed: str, home: Path, progress: Callable[[str], None]) -> Report:
    """Does it all in the directory `home`, which is empty. A deployment that can't be started raises."""
    progress(f"seed {seed}")
    random = Random(seed)
    with Loop() as loop, ExitStack() as resources:
        kafka, postgres = Proxy(loop, latency=_LATENCY_SECONDS), Proxy(loop)
        stack = Stack(home / "stack", kafka_proxy=kafka.port)
        disk = resources.enter_context(Disk.mounted(stack, _DISK_MEGABYTES))
        resources.enter_context(stack)
        resources.callback(postgres.close)
        resources.callback(kafka.close)
        stack.up("postgres", "kafka")
        kafka.target, postgres.target = stack.address("kafka-behind-proxy"), stack.address("postgres")

        ours = home / "deployment"
        ours.mkdir()
        deployment = Deployment.make(stack, ours, "chaos", **_SETTINGS)
        if disk is not None:
            disk.take(deployment.name)
        topics = [f"{deployment.topic}.{number}" for number in range(plan.topics)]
        for topic in topics:
            deployment.create(topic, plan.partitions)
        copies = {topic: deployment.masked_topic(topic) for topic in topics}
        observer = Observer(loop, stack.kafka_brokers, deployment.settings(), copies, plan.partitions)
        address = stack.database(deployment.name).dsn.replace(postgres.target, f"127.0.0.1:{postgres.port}")
        fleet = Fleet(deployment, plan.workers, {"kafka_brokers": f"127.0.0.1:{kafka.port}", "database_url": address})
        resources.callback(fleet.close)
        source = Source(stack.kafka_brokers, observer, plan.backlog, seed)
        faults = Faults(
            random,
            deployment,
            fleet,
            observer,
            kafka=kafka,
            postgres=postgres,
            disk=disk,
            batch_records=_BATCH_RECORDS,
        )
        writing = loop.begin(source.run())
        resources.callback(lambda: loop.call(source.give_up()))
        return _Run(plan, seed, progress, loop, deployment, observer, fleet, source, writing, faults).go(random)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run is made of."""

    plan: Plan
    seed: str
    progress: Callable[[str], None]
    loop: Loop
    deployment: Deployment
    observer: Observer
    fleet: Fleet
    source: Source
    writing: Future[None]
    faults: Faults

    def go(self, random: Random) -> Report:
        fleet, faults, began, since = self.fleet, self.faults, time.monotonic(), time.time_ns() // 1_000_000
        fleet.tend()
        self._await(lambda: len(fleet.ready()) == fleet.size, _START_SECONDS, "workers are not ready")
        for fault in self.plan.faults(random):
            if time.monotonic() - began > self.plan.seconds:
                break
            self._progress(f"{fault} …", began)
            before = sum(self.observer.committed().values())
            faults.do(fault)
            self._await(
                lambda least=before: sum(self.observer.committed().values()) > least,  # type: ignore[misc]
                _STALL_SECONDS,
                f"nothing was masked any more after {fault}",
            )
        self._progress("draining", began)
        self.loop.call(self.source.stop())
        self.writing.result(_DRAIN_SECONDS)
        last_fault = time.monotonic()
        self._await(self.observer.finished, _DRAIN_SECONDS, "the lag is not gone")
        drained = time.monotonic() - last_fault
        committed = self.observer.committed()
        reached = fleet.reached()
        for member in list(fleet.members):
            fleet.ask_to_end(member)
        self._progress("checking", began)
        written = {each: (self.source.written[each], self.source.doubtful[each]) for each in self.observer.sources}
        gathered = gathering.check(self.deployment, written, committed, since=since)
        told = [finding for worker in self.deployment.workers for finding in logs.check_log(worker.log)]
        counts = Counter(done.kind for done in faults.done)
        return Report(
            seed=self.seed,
            commit=_commit(),
            seconds=time.monotonic() - began,
            drained_after=drained,
            records=gathered.records,
            aborted_transactions=self.source.aborted,
            entries=gathered.entries,
            quarantined=gathered.quarantined,
            gaps=gathered.gaps,
            versions=len(gathered.versions),
            faults=faults.done,
            left_out=faults.left_out,
            missing=[f"{least} {kind}, only {counts[kind]}" for kind, least in _LEAST.items() if counts[kind] < least],
            reached={step.value: count for step, count in reached.items()},
            exits=dict(fleet.exits),
            findings=[*(Finding("run", "run", wrong) for wrong in faults.wrong), *fleet.findings, *told, *gathered.findings],
        )

    def _await(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.faults.wrong.append(f"{otherwise} within {seconds:g} s")
                return
            self.fleet.tend()
            time.sleep(0.2)

    def _progress(self, told: str, began: float) -> None:
        remaining = self.observer.remaining()
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        so_far = f"{len(self.faults.done):4} faults, {self.source.written.total()} written, {remaining} remain"
        self.progress(f"{minutes:3}:{seconds:02} {so_far}; {told}")


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
