"""Progress on standard error: one changing line on a terminal, else a line whenever there is news."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

__all__ = ["progress"]


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
