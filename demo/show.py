"""How the demo is told: what is done goes to standard error, with colours and a spinner on a terminal; what came of it to
standard output, as tables on a terminal and as plain lines elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdc_masker.events import Record

__all__ = ["Teller"]


class Teller:
    """Tells the story. Every value shown comes from the demo's made-up people."""

    def __init__(self) -> None:
        self._steps = Console(stderr=True, highlight=False, soft_wrap=True)
        self._result = Console(highlight=False, soft_wrap=True)

    def step(self, sentence: str) -> None:
        self._steps.print(Text.assemble(("▸ ", "bold cyan"), sentence))

    @contextmanager
    def waiting(self, sentence: str) -> Iterator[None]:
        """A spinner while the block runs; elsewhere than on a terminal, a line."""
        if self._steps.is_terminal:
            with self._steps.status(sentence):
                yield
        else:
            self.step(sentence)
            yield

    def record(self, raw: Record, masked: Record | None, fate: str) -> None:
        """One record: coordinates and fate, then each field of key and images, raw beside masked."""
        title = f"{raw.topic} partition {raw.partition} offset {raw.offset}: {_kind(raw)} → {fate}"
        rows = [] if masked is None or fate == "control" else list(_fields(raw, masked))
        self._result.print(Text(title, style="red" if masked is None else "bold"))
        if self._result.is_terminal and rows:
            table = Table("field", "raw", "masked", box=None, padding=(0, 2))
            for name, before, after in rows:
                table.add_row(name, Text(before, style="yellow"), Text(after, style="dim" if before == after else "green"))
            self._result.print(table)
        else:
            for name, before, after in rows:
                self._result.print(Text(f"  {name}: {before} → {after}"))

    def audit(self, lines: str) -> None:
        self._result.print(Text("audit rows", style="bold"))
        self._result.print(Text(lines.rstrip()))

    def check(self, sentence: str) -> None:
        self._result.print(Text.assemble(("✔ ", "bold green"), sentence))

    def failure(self, sentence: str) -> None:
        self._steps.print(Text.assemble(("✘ ", "bold red"), sentence))

    def plain(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._result.print(Text(line))


_KINDS = {"r": "snapshot", "c": "insert", "u": "update", "d": "delete"}


def _kind(raw: Record) -> str:
    if raw.value is None:
        return "tombstone"
    value = _parsed(raw.value)
    return _KINDS.get(value.get("op", ""), "transaction" if "status" in value else "heartbeat" if value else "not an event")


def _fields(raw: Record, masked: Record) -> Iterator[tuple[str, str, str]]:
    for place, before, after in (
        ("key", _parsed(raw.key), _parsed(masked.key)),
        *((image, _image(raw, image), _image(masked, image)) for image in ("before", "after")),
    ):
        for column, value in before.items():
            if value is not None or after.get(column) is not None:
                yield f"{place}.{column}", _shown(value), _shown(after.get(column))


def _image(record: Record, image: str) -> Mapping[str, Any]:
    return _parsed(record.value).get(image) or {}


def _parsed(text: bytes | None) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
