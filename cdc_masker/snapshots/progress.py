"""How far an incremental snapshot is, from what Debezium notifies.

What always holds: of a notification only names of tables, counts and Debezium's own words are kept; the keys of rows in it,
where a chunk begins and ends, are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cdc_masker.envelope import unwrap
from cdc_masker.errors import InputError

__all__ = ["STOPPED", "Notification", "Progress", "Stopping", "Table", "decode"]

STOPPED = "STOPPED"
"""Status of a table that was taken out of the snapshot before all of it was read; the other words are Debezium's."""

_FINE = ("SUCCEEDED", "EMPTY")


class Notification(msgspec.Struct, frozen=True):
    """As Debezium writes it, in JSON."""

    id: str
    aggregate_type: str
    type: str
    additional_data: dict[str, str] | None = None


def decode(value: bytes | None) -> Notification | None:
    """A record's value, with or without an embedded schema; None: it is no notification."""
    try:
        return msgspec.json.decode(unwrap(value or b"", "value")[1], type=Notification)
    except (InputError, msgspec.DecodeError):
        return None


@dataclass(slots=True)
class Table:
    """One table of a snapshot. `status` is None until it ended; `rows`, those that were read; counts are None until told."""

    name: str
    status: str | None = None
    chunks: int = 0
    chunks_in_all: int | None = None
    rows: int | None = None
    rows_in_all: int | None = None

    @property
    def fine(self) -> bool:
        """Whether all of its rows were read."""
        return self.status in _FINE

    def __str__(self) -> str:
        if self.status is not None:
            return f"{self.name}: {self.status}, {self.rows or 0:,} rows in {self.chunks:,} chunks"
        if not self.chunks:
            return f"{self.name}: waiting"
        chunks = f"chunk {self.chunks:,}" + (f" of {self.chunks_in_all:,}" if self.chunks_in_all else "")
        return f"{self.name}: {chunks}" + (f", {self.rows_in_all:,} rows in all" if self.rows_in_all else "")


class Progress:
    """What was heard of the snapshot of one signal. `begun`: Debezium took the signal up. `paused`: another one paused it."""

    def __init__(self, signal: str, server: str, tables: Sequence[str]) -> None:
        self._signal = signal
        self._server = server
        self.tables = {name: Table(name) for name in tables}
        self.begun = False
        self.paused = False

    def __str__(self) -> str:
        if not self.begun:
            return "Debezium has not taken it up yet"
        ended = sum(table.status is not None for table in self.tables.values())
        reading = [str(table) for table in self.tables.values() if table.chunks and table.status is None]
        return "; ".join([f"{ended} of {len(self.tables)} tables ended", *reading, *["paused"] * self.paused])

    @property
    def ended(self) -> bool:
        return all(table.status for table in self.tables.values())

    @property
    def fine(self) -> bool:
        """Whether all rows of all its tables were read."""
        return all(table.fine for table in self.tables.values())

    def hear(self, told: Notification) -> bool:
        """Takes a notification; gives whether it was about this snapshot.

        A connector has one snapshot at a time, which has the id of the last signal that added tables to it: from the first
        notification with this signal's id, those with any other are about it, too.
        """
        data = _of_incremental(told, self._server)
        if data is None:
            return False
        self.begun = self.begun or told.id == self._signal
        if not self.begun:
            return False
        self.paused = told.type == "PAUSED"
        match told.type:
            case "IN_PROGRESS":
                self._reading(data)
            case "TABLE_SCAN_COMPLETED":
                self._scanned(data)
            case "ABORTED":
                self._stop(data["data_collections"].split(",") if "data_collections" in data else list(self.tables))
            case "COMPLETED":  # which Debezium tells of a snapshot that is stopped, too, before it tells that
                self._stop(list(self.tables))
        return True

    def _reading(self, data: Mapping[str, str]) -> None:
        if (table := self.tables.get(data.get("current_collection_in_progress", ""))) is not None:
            table.chunks = _number(data, "chunk_index") or table.chunks + 1
            table.chunks_in_all = _number(data, "total_chunks")
            table.rows_in_all = _number(data, "total_rows")

    def _scanned(self, data: Mapping[str, str]) -> None:
        if (table := self.tables.get(data.get("scanned_collection", ""))) is not None:
            table.rows = _number(data, "total_rows_scanned")
            status = data.get("status", "")
            table.status = status if status.isidentifier() else "UNKNOWN"

    def _stop(self, names: Sequence[str]) -> None:
        for table in (self.tables[name] for name in names if name in self.tables):
            table.status = table.status or STOPPED


class Stopping:
    """What was heard of the end of a snapshot. `tables`: those that were taken out of it, None until that is told."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.tables: list[str] | None = None

    def __str__(self) -> str:
        if self.tables is None:
            return "nothing has been stopped yet, perhaps because no incremental snapshot runs"
        return f"stopped: {', '.join(self.tables) or 'nothing'}"

    @property
    def ended(self) -> bool:
        return self.tables is not None

    def hear(self, told: Notification) -> bool:
        """Takes a notification; gives whether it was about that. Debezium gives it an id that nobody knows."""
        data = _of_incremental(told, self._server)
        if data is None or told.type != "ABORTED":
            return False
        self.tables = [name for name in data.get("data_collections", "").split(",") if name]
        return True


def _of_incremental(told: Notification, server: str) -> Mapping[str, str] | None:
    """What a notification about an incremental snapshot of this server tells; None: it is about something else."""
    data = told.additional_data or {}
    about = told.aggregate_type == "Incremental Snapshot" and data.get("connector_name", server) == server
    return data if about else None


def _number(data: Mapping[str, str], name: str) -> int | None:
    text = data.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
