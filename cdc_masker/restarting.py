"""A process that keeps workers running: it starts each, and another when that ended because something failed.

What always holds: there is one at a time in the place of each; after each failure in a row the next start waits longer, so that
a worker that can't run doesn't make its group rebalance again and again; a worker that stopped because it was told to, or that
refused to start for what no restart can mend, is not started again; and it never outlives this process, however that ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import random
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

__all__ = ["Backoff", "Supervision", "command", "supervise"]

logger = logging.getLogger(__name__)

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
_STEADY_SECONDS = 600.0
_FINAL = (0, 2)  # it was told to stop, or refused to start for what is wrong by itself
_PR_SET_PDEATHSIG = 1
_RUN = "import sys; from cdc_masker.worker import run; run(sys.argv[1])"

Pause = Callable[[asyncio.Event, float], Awaitable[None]]
"""Waits until the event is set, so many seconds at most."""


class Backoff:
    """How long the next start waits: twice as long as the one before, up to a bound, and the first time again after a long run.

    Each wait is between half of that and all of it, so that workers that ended together don't come back together. `chance`
    gives numbers from 0 to 1.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._next = _FIRST_SECONDS

    def seconds(self, ran: float) -> float:
        """The wait after a worker that failed when it had run for so many seconds."""
        if ran >= _STEADY_SECONDS:
            self._next = _FIRST_SECONDS
        whole, self._next = self._next, min(2 * self._next, _LONGEST_SECONDS)
        return whole * (1 + self._chance()) / 2


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """`Pause` in earnest."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def command(loglevel: str) -> list[str]:
    """The command that runs one worker, with the same interpreter and environment as this process."""
    return [sys.executable, "-P", "-c", _RUN, loglevel]


class Supervision:
    """Processes that are kept running until they end for good or are told to stop.

    `backoff` makes that of each process. They write to the file descriptor `output`; None: where this process does.
    """

    def __init__(
        self,
        *,
        backoff: Callable[[], Backoff] = Backoff,
        pause: Pause = pause,
        clock: Callable[[], float] = time.monotonic,
        output: int | None = None,
    ) -> None:
        self._output = output
        self._backoff = backoff
        self._pause = pause
        self._clock = clock
        self._running: set[Process] = set()
        self._asked: list[int] = []
        self._stop = asyncio.Event()

    def listen(self) -> None:
        """Hands SIGTERM and SIGINT on from now on, in the running loop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ask, number)

    def ask(self, number: int) -> None:
        """Sends that signal to all processes, and starts none any more."""
        self._asked.append(number)
        self._stop.set()
        for process in self._running:
            _send(process, number)

    async def keep(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Runs the command again and again, in this environment or our own. Gives the code that it ended with for good."""
        backoff = self._backoff()
        while not self._stop.is_set():
            began = self._clock()
            code = await self._run(command, environment)
            if -code in self._asked:
                return 0  # it was told before it listened, so it had not begun
            if self._stop.is_set() or code in _FINAL:
                return code if code >= 0 else 128 - code
            seconds = backoff.seconds(self._clock() - began)
            logger.warning("the worker ended %s; the next one starts in %.1f s", _how(code), seconds)
            await self._pause(self._stop, seconds)
        return 0

    async def _run(self, command: Sequence[str], environment: Mapping[str, str] | None) -> int:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=self._output, stderr=self._output, preexec_fn=_bound_to(os.getpid())
        )
        self._running.add(process)
        for number in self._asked:  # what came while it was being started
            _send(process, number)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)


async def supervise(command: Sequence[str], supervision: Supervision | None = None) -> int:
    """Runs the command until it ends for good, or until SIGTERM or SIGINT, which it hands on. Gives the code to exit with."""
    supervision = supervision or Supervision()
    supervision.listen()
    return await supervision.keep(command)


def _send(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _bound_to(supervisor: int) -> Callable[[], None]:
    """What a worker does first: from then on the kernel kills it when its supervisor ends."""
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it had ended before
            os.kill(os.getpid(), signal.SIGKILL)

    return bind


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by signal {-code}"
