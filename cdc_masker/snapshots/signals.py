"""What is sent to Debezium: a signal, as the row or record that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

__all__ = ["LARGEST", "Signal"]

LARGEST = 2048
"""Characters of `data` that a signal table made as Debezium's documentation says takes."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal. `data` is JSON; Debezium leaves the reason in it alone, and so it stays in the table or the topic."""

    id: str
    type: str
    data: str

    @classmethod
    def execute(cls, tables: Sequence[str], reason: str) -> Self:
        """Asks for an incremental snapshot of these tables, each `schema.table`."""
        return cls._of("execute-snapshot", tables, reason)

    @classmethod
    def stop(cls, tables: Sequence[str], reason: str) -> Self:
        """Asks to leave these tables out of the snapshot that runs; without a name, to end it."""
        return cls._of("stop-snapshot", tables, reason)

    @classmethod
    def _of(cls, kind: str, tables: Sequence[str], reason: str) -> Self:
        collections = {"data-collections": [_expression(table) for table in tables]} if tables else {}
        return cls(str(uuid4()), kind, json.dumps({**collections, "type": "incremental", "reason": reason}))

    @property
    def record(self) -> bytes:
        """The value of a record in the signal topic; the key is the server's name."""
        return json.dumps({"id": self.id, "type": self.type, "data": json.loads(self.data)}).encode()


def _expression(table: str) -> str:
    """A regular expression for one table. The dot stays: where it matches nothing known, Debezium takes it as a name."""
    return re.escape(table).replace(r"\.", ".")
