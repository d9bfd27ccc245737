"""Progress on standard error: one changing line on a terminal, else a line whenever there is news."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from rich.console import Console
from rich.text import Text

__all__ = ["above", "progress"]


@contextmanager
def progress(every: float = 0.0) -> Iterator[Callable[[str], None]]:
    """A function to tell what is being done. Lines come `every` so many seconds at most, and the last one at the end."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with console.status("") as line:
            yield lambda told: line.update(Text(told))
        return
    printed, last, then = "", "", 0.0

    def show(told: str) -> None:
        nonlocal printed
        if told != printed:
            console.print(told, markup=False)
        printed = told

    def tell(told: str) -> None:
        nonlocal last, then
        last = told
        now = time.monotonic()
        if now >= then:
            then = now + every
            show(told)

    try:
        yield tell
    finally:
        show(last)


@contextmanager
def above() -> Iterator[int | None]:
    """Where other processes write while there is progress: to a file descriptor whose lines come above the line that changes.

    None: to our own standard error, where that is no terminal. All who write have to have ended when this ends.
    """
    if not sys.stderr.isatty():
        yield None
        return
    reading, writing = os.pipe()
    relay = Thread(target=_relay, args=(reading,), daemon=True)
    relay.start()
    try:
        yield writing
    finally:
        os.close(writing)
        relay.join()


def _relay(reading: int) -> None:
    with open(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            sys.stderr.write(line)  # which is rich's while there is progress
