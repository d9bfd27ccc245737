"""Progress on standard error: one changing line on a terminal, else a line whenever there is news."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

__all__ = ["progress"]


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function to tell what is being done."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with console.status("") as line:
            yield lambda told: line.update(Text(told))
        return
    last = ""

    def tell(told: str) -> None:
        nonlocal last
        if told != last:
            console.print(told, markup=False)
        last = told

    yield tell
