"""The workers of a run: started, armed, killed, and started again when they ended by themselves as they should."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cdc_masker.kafka.steps import Step
from tests.chaos import logs
from tests.chaos import worker as program
from tests.chaos.checker import Finding
from tests.chaos.worker import COUNTER_BYTES, DIRECTORY
from tests.integration.kit import Deployment, Worker

__all__ = ["Fleet", "Member"]

_PROC = Path("/proc")
_STOP_SECONDS = 5


@dataclass(eq=False)
class Member:
    """One worker; `control` is its directory."""

    worker: Worker
    control: Path

    def __str__(self) -> str:
        return self.worker.log.stem

    @property
    def alive(self) -> bool:
        return self.worker.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        if not self.alive:
            return False
        return (_PROC / str(self.worker.process.pid) / "stat").read_text().rpartition(")")[2].split()[0] == "T"

    @property
    def ready(self) -> bool:
        return self.alive and not self.stopped and self.worker.page("ready")[0] == 200

    def arm(self, step: Step, times: int) -> None:
        """Has it stop when it reaches that step for so many times."""
        self.control.mkdir(exist_ok=True)
        fresh = self.control / "arming"
        fresh.write_text(f"{step} {times}")
        fresh.replace(self.control / "armed")

    def disarm(self) -> bool:
        """Whether it was armed: else it has stopped, or is about to."""
        try:
            (self.control / "armed").unlink()
        except FileNotFoundError:
            return False
        return True

    def stop(self) -> None:
        """Stops it where it is."""
        self.worker.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.disarm()
        self.worker.process.send_signal(signal.SIGCONT)

    def reached(self) -> Counter[Step]:
        """How often it reached each step."""
        try:
            counts = (self.control / "reached").read_bytes()
        except FileNotFoundError:
            return Counter()
        at = range(0, len(counts), COUNTER_BYTES)
        return Counter(
            {step: int.from_bytes(counts[i : i + COUNTER_BYTES], "little") for step, i in zip(Step, at, strict=True)}
        )


class Fleet:
    """Keeps `size` workers running. `settings` are those by which they meet faults, such as the proxies' addresses."""

    def __init__(self, deployment: Deployment, size: int, settings: dict[str, str]) -> None:
        self._deployment = deployment
        self._settings = settings
        self._controls = deployment.home.parent / "control"
        self._controls.mkdir()
        deployment.environment[DIRECTORY] = str(self._controls)
        deployment.environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        self.size = size
        self.members: list[Member] = []
        self.ended: list[Member] = []
        self.exits: Counter[int] = Counter()
        self.findings: list[Finding] = []

    def start(self) -> Member:
        worker = self._deployment.start(by=f"-m{program.__name__}", **self._settings)
        member = Member(worker, self._controls / str(worker.process.pid))
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """`kill -9`."""
        if member.worker.kill() == -signal.SIGKILL:
            self._forget(member)
        else:
            self._take_note(member)

    def ask_to_end(self, member: Member) -> None:
        """SIGTERM; it has to end with 0."""
        try:
            code = member.worker.kill(signal.SIGTERM)
        except subprocess.TimeoutExpired as late:
            state = "stopped" if member.stopped else "running"
            self.findings.append(
                Finding("end", str(member), f"it was asked to, and was still {state} after {late.timeout:g} s")
            )
            member.worker.kill()
        else:
            if code != 0:
                self.findings.append(Finding("end", str(member), f"it was asked to, and ended with {code}"))
        self._forget(member)

    def tend(self) -> None:
        """Starts as many as are missing; takes note of those that ended by themselves."""
        for member in [each for each in self.members if not each.alive]:
            self._take_note(member)
        while len(self.members) < self.size:
            self.start()

    def wait_for_stop(self, members: list[Member], seconds: float) -> Member | None:
        """The first of these that stops itself, all others disarmed; None when none does in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.tend()
            stopped = [member for member in members if member.stopped]
            if stopped:
                for member in members:
                    if member is not stopped[0]:
                        self._spare(member)
                return stopped[0]
            time.sleep(0.02)
        for member in members:
            self._spare(member)
        return None

    def _spare(self, member: Member) -> None:
        """Has an armed one go on, even if it was just about to stop."""
        if member.disarm():
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while member.alive and not member.stopped and time.monotonic() < deadline:
            time.sleep(0.02)
        if member.alive:
            member.go_on()

    def ready(self) -> list[Member]:
        return [member for member in self.members if member.ready]

    def reached(self) -> Counter[Step]:
        """How often all workers together reached each step."""
        return sum((member.reached() for member in [*self.members, *self.ended]), Counter())

    def close(self) -> None:
        self._deployment.close()

    def _take_note(self, member: Member) -> None:
        """It ended by itself."""
        code = member.worker.process.wait()
        self.exits[code] += 1
        self.findings += logs.check_end(member.worker.log, code)
        self._forget(member)

    def _forget(self, member: Member) -> None:
        self.members.remove(member)
        self.ended.append(member)
