"""What is done to the workers and to what they need.

What always holds: a worker is killed, held up as a zombie, or robbed of its broker only while it is stopped, records remain
to be masked, and a transaction is open; if that is not so it goes on, and is stopped again. So no fault comes too early or too
late to prove something. At a step of delivery, and at any moment, it is a transaction that does not move any more, one of a
worker that is stopped or dead; at other steps, when the worker itself may have none, it may be another's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from aiokafka import TopicPartition

from cdc_masker.kafka.steps import Step
from cdc_masker.stack import Stack
from tests.chaos.disk import Disk
from tests.chaos.fleet import Fleet, Member
from tests.chaos.observer import Observer
from tests.chaos.proxy import Proxy
from tests.integration.kit import Deployment

__all__ = ["ASSIGNING", "AUDITING", "DELIVERING", "RELEASING", "Done", "Fault", "Faults"]

ASSIGNING = (Step.ASSIGNED, Step.PREPARED, Step.FENCED, Step.POSITION_FOUND, Step.SOUGHT)
DELIVERING = (
    Step.TAKEN,
    Step.MASKED,
    Step.BEGUN,
    Step.NOTES_SENT,
    Step.ENTRY_SENT,
    Step.RECORDS_SENT,
    Step.OFFSETS_SENT,
    Step.FLUSHED,
    Step.CONFIRMED,
    Step.COMMITTED,
)
AUDITING = (Step.ENTRIES_READ, Step.ROWS_STORED, Step.COPIED)
RELEASING = (Step.REVOKED, Step.CLOSED)

_METHODS = ["redact", "tokenize", "null"]  # of names; the policy begins with the first
_PATIENCE_SECONDS = 40.0
_SETTLING_SECONDS = 0.3  # in which transactions of workers that run move
_OTHERS_SECONDS = 3.0  # in which others begin one
_TAKE_OVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to be done; a `kill`, `zombie` or `pause` has the step, None: at any moment."""

    kind: str
    step: Step | None = None

    def __str__(self) -> str:
        return self.kind if self.step is None else f"{self.kind} at {self.step}"


@dataclass(frozen=True, slots=True)
class Done:
    """What was done. `remaining` and `open` tell of offsets and of masked partitions with a transaction, if they have to."""

    kind: str
    step: str | None
    seconds: float
    remaining: int | None = None
    open: int | None = None


@dataclass(frozen=True, slots=True)
class _Proof:
    remaining: int
    open: dict[TopicPartition, int]


class Faults:
    """Does faults to one deployment, with what `random` gives. `done` has all that were, `wrong` what was seen amiss."""

    def __init__(
        self,
        random: Random,
        deployment: Deployment,
        fleet: Fleet,
        observer: Observer,
        *,
        kafka: Proxy,
        postgres: Proxy,
        disk: Disk | None,
        batch_records: int,
    ) -> None:
        self._random = random
        self._deployment = deployment
        self._stack: Stack = deployment.stack
        self._fleet = fleet
        self._observer = observer
        self._kafka = kafka
        self._postgres = postgres
        self._disk = disk
        self._enough = 2 * batch_records
        self._method = _METHODS[0]
        self._began = time.monotonic()
        self._why = ""
        self.done: list[Done] = []
        self.left_out: list[str] = []
        self.wrong: list[str] = []

    def do(self, fault: Fault) -> None:
        """Does it, and undoes what does not belong to it: servers run and connections hold afterwards."""
        before, self._why = len(self.done), "no way to do it here"
        if fault.kind in ("kill", "zombie", "pause"):
            getattr(self, f"_{fault.kind}")(fault.step)
        else:
            getattr(self, f"_{fault.kind}")()
        if len(self.done) == before:
            self.left_out.append(f"{fault} ({self._why})")
        self._fleet.tend()

    # Processes

    def _kill(self, step: Step | None) -> None:
        with self._provoked(step):
            self._kill_now(step)

    def _kill_now(self, step: Step | None) -> None:
        with self._stopped(step) as (member, proof):
            if member is not None:
                self._fleet.kill(member)
                self._note("kill", step, proof)

    def _zombie(self, step: Step | None) -> None:
        with self._stopped(step) as (member, proof):
            if member is None or proof is None:
                return
            deadline = time.monotonic() + _TAKE_OVER_SECONDS
            while self._still_open(proof):
                self._fleet.tend()
                if time.monotonic() > deadline:
                    self.wrong.append(f"nobody settled what {member} had open within {_TAKE_OVER_SECONDS:g} s")
                    return
            time.sleep(self._random.uniform(0, 3))
        self._note("zombie", step, proof)

    def _pause(self, step: Step | None) -> None:
        with self._provoked(step), self._stopped(step) as (member, proof):
            if member is not None:
                time.sleep(self._random.uniform(0.2, 4))
                self._note("pause", step, proof)

    def _add(self) -> None:
        self._fleet.size += 1
        self._fleet.start()
        self._note("add")

    def _remove(self) -> None:
        ready = self._fleet.ready()
        if len(ready) > 1:
            self._fleet.size = max(self._fleet.size - 1, 2)
            self._fleet.ask_to_end(self._random.choice(ready))
            self._note("remove")

    # Servers and the network

    def _restart(self) -> None:
        """The broker is killed and started again on its data."""
        with self._stopped(None) as (member, proof):
            if member is None:
                return
            self._stack.kill("kafka")
        self._note("restart", None, proof)
        time.sleep(self._random.uniform(0, 3))
        self._stack.start("kafka")

    def _postgres_away(self) -> None:
        end = self._random.choice((self._stack.kill, self._stack.stop))
        end("postgres")
        self._meanwhile("postgres_away", self._random.uniform(1, 6))
        self._stack.start("postgres")

    def _disk_full(self) -> None:
        if self._disk is None:
            return
        with self._disk.full():
            before, deadline = self._disk.complaints(), time.monotonic() + _PATIENCE_SECONDS
            while self._disk.complaints() == before and time.monotonic() < deadline:
                time.sleep(0.1)
            if self._disk.complaints() > before:
                self._meanwhile("disk_full", self._random.uniform(1, 5))

    def _kafka_cut(self) -> None:
        self._kafka.cut()
        self._note("kafka_cut")

    def _kafka_refused(self) -> None:
        with self._kafka.refusing():
            self._meanwhile("kafka_refused", self._random.uniform(0.5, 4))

    def _kafka_slow(self) -> None:
        with self._kafka.slow(self._random.uniform(0.05, 0.4)):
            self._meanwhile("kafka_slow", self._random.uniform(2, 6))

    def _kafka_silent(self) -> None:
        with self._kafka.silent():
            self._meanwhile("kafka_silent", self._random.choice((2, 8, 25)))

    def _postgres_cut(self) -> None:
        self._postgres.cut()
        self._note("postgres_cut")

    def _postgres_silent(self) -> None:
        with self._postgres.silent():
            self._meanwhile("postgres_silent", self._random.choice((2, 8, 25)))

    # People

    def _release(self) -> None:
        self._method = self._random.choice([method for method in _METHODS if method != self._method])
        self._deployment.release(self._method)
        self._note("release")

    # How it is done

    @contextmanager
    def _provoked(self, step: Step | None) -> Iterator[None]:
        """Sees to it that a step is reached at all which is not always."""
        if step in (*RELEASING, *ASSIGNING):  # somebody has to die; what that one had open stays open until others are assigned
            self._kill_now(self._random.choice(DELIVERING[-4:]))
        with ExitStack() as undo:
            if step is Step.ABORTED:
                undo.enter_context(self._kafka.silent())
            yield

    @contextmanager
    def _stopped(self, step: Step | None) -> Iterator[tuple[Member | None, _Proof | None]]:
        """A worker that is stopped at that step while it proves something; it goes on afterwards, if it is there still."""
        why, deadline = "", time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            member = self._stop_at(step, deadline)
            if member is None:
                why = "nobody got there"
                continue
            proof = self._proof(step)
            if isinstance(proof, str):
                why = proof
                member.go_on()
                continue
            try:
                yield member, proof
            finally:
                if member.alive:
                    member.go_on()
            return
        self._why = why
        yield None, None

    def _stop_at(self, step: Step | None, deadline: float) -> Member | None:
        self._fleet.tend()
        victims = [member for member in self._fleet.members if not member.stopped]
        if step is None or step in DELIVERING:
            victims = self._fleet.ready()
        if not victims:
            time.sleep(0.1)
            return None
        if step is None:
            time.sleep(self._random.uniform(0, 0.5))
            if not self._observer.open_transactions():
                return None  # to stop somebody now would only slow all down
            member = self._random.choice(victims)
            member.stop()
            return member
        if step in DELIVERING:
            victims = [self._random.choice(victims)]
        times = self._random.randint(1, 8) if step in DELIVERING else 1
        for member in victims:
            member.arm(step, times)
        return self._fleet.wait_for_stop(victims, min(deadline - time.monotonic(), _PATIENCE_SECONDS))

    def _proof(self, step: Step | None) -> _Proof | str:
        """That enough records remain and a transaction is open; else which of both is not so."""
        opened, deadline = self._observer.open_transactions(), time.monotonic() + _OTHERS_SECONDS
        if step is None or step in DELIVERING:
            time.sleep(_SETTLING_SECONDS)
            now = self._observer.open_transactions()
            opened = {partition: at for partition, at in now.items() if opened.get(partition) == at}
        else:
            while not opened and time.monotonic() < deadline:
                opened = self._observer.open_transactions()
        if not opened:
            return "no transaction was open"
        while (remaining := self._observer.remaining()) <= self._enough and time.monotonic() < deadline:
            time.sleep(0.1)  # nobody masks what the stopped worker has
        return _Proof(remaining, opened) if remaining > self._enough else "too few records remained"

    def _still_open(self, proof: _Proof) -> bool:
        now = self._observer.open_transactions()
        return any(now.get(partition) == at for partition, at in proof.open.items())

    def _meanwhile(self, kind: str, seconds: float) -> None:
        """Lets it last; the workers that end are started again."""
        self._note(kind)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._fleet.tend()
            time.sleep(0.1)

    def _note(self, kind: str, step: Step | None = None, proof: _Proof | None = None) -> None:
        seconds = round(time.monotonic() - self._began, 1)
        told = (None, None) if proof is None else (proof.remaining, len(proof.open))
        self.done.append(Done(kind, step, seconds, *told))
