"""Tells on standard error how far a benchmark is; results go to standard output."""

from __future__ import annotations

import time

from rich.console import Console

__all__ = ["Teller"]

_SECONDS = 15.0


class Teller:
    """On a terminal one line that changes; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._status = self._console.status("") if self._console.is_terminal else None
        self._began = self._told = time.monotonic()

    def step(self, sentence: str) -> None:
        """What is being done now."""
        if self._status is not None:
            self._status.update(sentence)
            self._status.start()
        elif time.monotonic() - self._told > _SECONDS:
            self.line(sentence)

    def line(self, sentence: str) -> None:
        """What stays to be read."""
        self._told = time.monotonic()
        minutes, seconds = divmod(int(self._told - self._began), 60)
        self._console.print(f"{minutes:3d}:{seconds:02d}  {sentence}")

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
