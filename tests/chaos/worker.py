"""A worker that stops itself (SIGSTOP) at a step, for a harness that then kills it or lets it go on.

`python -m tests.chaos.worker` is `cdc-masker worker` with another `reach`. In the directory that CHAOS_DIRECTORY names it has
one of its own, by its process id. There it counts the steps it reached in `reached`, 8 bytes for each, which are there after a
`kill -9`, too; and it looks for `armed`, which holds a step and a number: when it reaches that step for so many times, it
deletes the file and stops. Whoever kills it then finds it in the very line after the step, with no way to go on.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
from pathlib import Path

from cdc_masker import worker
from cdc_masker.kafka import steps
from cdc_masker.kafka.steps import Step

__all__ = ["COUNTER_BYTES", "DIRECTORY", "Failpoints"]

DIRECTORY = "CHAOS_DIRECTORY"
COUNTER_BYTES = 8


class Failpoints:
    """What is put in the place of `steps.reach`. Every step is reached in the main thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._armed = directory / "armed"
        self._left: int | None = None
        size = COUNTER_BYTES * len(Step)
        with (directory / "reached").open("w+b") as file:
            file.truncate(size)
            self._counts = mmap.mmap(file.fileno(), size)
        self._places = {step: COUNTER_BYTES * number for number, step in enumerate(Step)}

    def reach(self, step: Step) -> None:
        at = self._places[step]
        count = int.from_bytes(self._counts[at : at + COUNTER_BYTES], "little") + 1
        self._counts[at : at + COUNTER_BYTES] = count.to_bytes(COUNTER_BYTES, "little")
        try:
            wanted, times = self._armed.read_text().split()
        except FileNotFoundError:
            self._left = None
            return
        if wanted == step:
            self._left = (int(times) if self._left is None else self._left) - 1
            if self._left == 0:
                self._left = None  # it may be armed anew before it reaches anything
                try:
                    self._armed.unlink()
                except FileNotFoundError:  # the harness has just changed its mind: nobody would let it go on
                    return
                # To this thread, so that it does not do a thing more; all others stop with it.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


if __name__ == "__main__":
    steps.reach = Failpoints(Path(os.environ[DIRECTORY]) / str(os.getpid())).reach
    worker.run("info")
