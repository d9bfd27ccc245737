"""Flattened rows: what Debezium's transformation `ExtractNewRecordState` makes of change events.

The columns stand at the root of the value. Beside them stand the parts of the envelope that the transformation was told to
add, named `__op`, `__source_ts_ms` and so on, and `__deleted` in its `rewrite` modes. They are metadata by an allow-list, each
with the type that it has in an envelope; any other name is a column, and redacted like one unless a rule names it. Nothing
in such a value tells for certain that it is one: so a topic holds flattened rows only if the policy says so.

Where the transformation leaves a tombstone, Kafka Connect's JsonConverter writes the JSON value `null`, which stays one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from cdc_masker import envelope
from cdc_masker.codecs import json
from cdc_masker.codecs.json import Members
from cdc_masker.envelope import RowChange, Source, Transaction
from cdc_masker.errors import InputError, Reason

__all__ = ["FlattenedRow", "metadata", "read"]


def _fields(struct: type, *names: str, prefix: str = "") -> dict[str, Any]:
    """The types of a struct's fields, of all if none are named."""
    types = get_type_hints(struct, include_extras=True)
    return {prefix + name: types[name] for name in names or types}


# Names without their `__`, which Python would take for private ones.
_ADDED: dict[str, Any] = {
    "deleted": Literal["true", "false"],
    **_fields(Source),
    **_fields(Source, prefix="source_"),
    **_fields(Transaction, prefix="transaction_"),
    **_fields(RowChange, "op", "ts_ms", "ts_us", "ts_ns"),
}
_Metadata = msgspec.defstruct(
    "_Metadata",
    [(name, type_ | None | UnsetType, UNSET) for name, type_ in _ADDED.items()],
    rename="__{}".format,
)
_metadata = msgspec.json.Decoder(_Metadata)

_OF_SERVER = ("name", "source_name")
_OF_SCHEMA = ("schema", "source_schema")
_OF_TABLE = ("table", "source_table")


@dataclass(frozen=True, slots=True)
class FlattenedRow:
    """Columns and metadata as raw text, the text of the schema where one is embedded, and the metadata decoded.

    No columns: the row was deleted.
    """

    schema: bytes | None = field(repr=False)
    columns: Members = field(repr=False)
    added: Any = field(repr=False)

    def check_table(self, server: str, schema: str, table: str) -> None:
        """Raises `InputError` if the row says that it is of another table; an empty name is not known, and agrees."""
        for names, known in ((_OF_SERVER, server), (_OF_SCHEMA, schema), (_OF_TABLE, table)):
            for name in names:
                if known and getattr(self.added, name) not in (known, None, UNSET):
                    raise InputError(Reason.AMBIGUOUS_TABLE, f"__{name}")


def read(value: bytes) -> FlattenedRow:
    """Raises `InputError` for what is no object, for an envelope, and for metadata that are not of their types."""
    schema, text = envelope.unwrap(value, "value")
    if text == b"null":
        return FlattenedRow(schema, {}, _Metadata())
    columns = json.members(text, Reason.UNKNOWN_SHAPE, "value")
    if not columns or (bytes(columns.get("source", b"")).startswith(b"{") and "op" in columns):
        raise InputError(Reason.UNKNOWN_SHAPE, "value")
    return FlattenedRow(schema, columns, json.decode(_metadata, text, Reason.BAD_ENVELOPE, "value"))


def metadata(server: str, table: str) -> frozenset[str]:
    """The names that are metadata. Those that tell server and table are only where these are known: `check_table` has held
    them against it, while otherwise anything could stand there.
    """
    return _NAMES[bool(server), bool(table)]


def _names(server: bool, table: bool) -> frozenset[str]:
    unknown = {*(() if server else _OF_SERVER), *(() if table else _OF_SCHEMA + _OF_TABLE)}
    return frozenset(f"__{name}" for name in _ADDED if name not in unknown)


_NAMES = {(server, table): _names(server, table) for server in (False, True) for table in (False, True)}
