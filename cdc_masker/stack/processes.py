"""Starts, watches and ends processes that outlive the one which started them.

A process is known by its id and its start time, because ids are used again: a signal is only ever sent to the very
process that was started.
"""

from __future__ import annotations

import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import kill as send
from pathlib import Path

__all__ = ["Command", "Process", "await_true", "descendants", "end", "spawn"]

_PROC = Path("/proc")
_INTERVAL = 0.05

# Children of this very process have to be waited for, or they stay as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start, as whom (`user` is a name; None is the present one), with which environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its id, and the boot and the clock tick at which it started."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            del _children[self.pid]
        return _identity(self.pid) == self.started


def spawn(command: Command, directory: Path, log: Path) -> Process:
    """Starts a command in a session of its own, so that Ctrl-C does not reach it, its output appended to `log`."""
    account = None if command.user is None else pwd.getpwnam(command.user)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command.argv,
            cwd=directory,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
            start_new_session=True,
        )
    _children[child.pid] = child
    return Process(child.pid, _identity(child.pid) or "")


def end(process: Process, politely: signal.Signals | None, seconds: float) -> None:
    """Ends a process and everything it started; `politely` is the signal to begin with, None for SIGKILL at once.

    Returns when all of them are gone.
    """
    family = [process, *descendants(process)]
    if politely is not None:
        _signal(process, politely)
        if await_true(lambda: not process.alive, seconds):
            family = family[1:]
    for member in family:
        _signal(member, signal.SIGKILL)
    await_true(lambda: not any(member.alive for member in family), seconds)


def descendants(process: Process) -> list[Process]:
    """The processes that this one started, and theirs."""
    if not process.alive:
        return []
    parents = {pid: parent for pid, parent, _ in _table()}
    found, look = [], [process.pid]
    while look:
        parent = look.pop()
        children = [pid for pid, its_parent in parents.items() if its_parent == parent]
        look += children
        found += children
    return [Process(pid, started) for pid in found if (started := _identity(pid))]


def await_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls until the condition holds; False when it does not within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL)
    return True


def _signal(process: Process, number: signal.Signals) -> None:
    if process.alive:
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            send(process.pid, number)


def _table() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, start tick) of each process that has not ended."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (row := _row(int(entry.name))):
            yield row


def _row(pid: int) -> tuple[int, int, str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, which may hold anything; man 5 proc names the others.
    state, parent, *rest = text.rpartition(")")[2].split()
    threads, started = int(rest[15]), rest[17]
    # A zombie whose other threads have not ended yet still holds its files and ports.
    return None if state in "ZX" and threads <= 1 else (pid, int(parent), started)


def _identity(pid: int) -> str | None:
    row = _row(pid)
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{row[2]}" if row else None
