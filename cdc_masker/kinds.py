"""What sort of values a column has, whatever Debezium's way to write them: a date is a date as days, as text or as a struct.

Methods say which kinds they take; the modules that read a kind (`methods.numbers`, `methods.times`) know its ways.
"""

from __future__ import annotations

import re
from enum import StrEnum

from cdc_masker.schemas import ENUM, JSON, UUID, Type

__all__ = ["FEW", "Kind", "has_few_values", "kind_of", "longest", "states_few_values"]


class Kind(StrEnum):
    """In the words of the list of methods."""

    TEXT = "text"
    ENUM = "enum"
    UUID = "uuid"
    BOOLEAN = "boolean"
    SMALL_INTEGER = "small integer"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INTERVAL = "interval"
    POINT = "point"
    JSON = "json"
    BYTES = "bytes"
    ARRAY = "array"
    OTHER = "other"


_BY_NAME = {
    ENUM: Kind.ENUM,
    UUID: Kind.UUID,
    JSON: Kind.JSON,
    "io.debezium.data.Bits": Kind.BYTES,
    "org.apache.kafka.connect.data.Decimal": Kind.DECIMAL,
    "io.debezium.data.VariableScaleDecimal": Kind.DECIMAL,
    "io.debezium.data.geometry.Point": Kind.POINT,
    **dict.fromkeys(
        (
            "io.debezium.time.Date",
            "io.debezium.time.IsoDate",
            "io.debezium.time.StructuredDate",
            "org.apache.kafka.connect.data.Date",
        ),
        Kind.DATE,
    ),
    **dict.fromkeys(
        (
            *(f"io.debezium.time.{name}" for name in ("Time", "MicroTime", "NanoTime", "ZonedTime", "IsoTime")),
            *(f"io.debezium.time.{name}" for name in ("StructuredTime", "StructuredZonedTime")),
            "org.apache.kafka.connect.data.Time",
        ),
        Kind.TIME,
    ),
    **dict.fromkeys(
        (
            *(f"io.debezium.time.{name}" for name in ("Timestamp", "MicroTimestamp", "NanoTimestamp", "ZonedTimestamp")),
            *(f"io.debezium.time.{name}" for name in ("IsoTimestamp", "StructuredTimestamp", "StructuredZonedTimestamp")),
            "org.apache.kafka.connect.data.Timestamp",
        ),
        Kind.TIMESTAMP,
    ),
    **dict.fromkeys(
        (f"io.debezium.time.{name}" for name in ("MicroDuration", "NanoDuration", "Interval", "StructuredDuration")),
        Kind.INTERVAL,
    ),
}
_BY_BASE = {
    "string": Kind.TEXT,
    "boolean": Kind.BOOLEAN,
    "int8": Kind.SMALL_INTEGER,
    "int16": Kind.SMALL_INTEGER,
    "int32": Kind.INTEGER,
    "int64": Kind.INTEGER,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    "bytes": Kind.BYTES,
    "array": Kind.ARRAY,
}


def kind_of(type_: Type) -> Kind:
    """A type with a semantic name that nobody knows here is `OTHER`, whatever its base."""
    if type_.name is not None:
        return _BY_NAME.get(type_.name, Kind.OTHER)
    return _BY_BASE.get(type_.base, Kind.OTHER)


FEW = 10_000
"""With fewer values than this, counting how often each masked value comes tells which is which."""

_CODE = 2
"""So many printable characters are less than 10,000 values: 94 ** 2 in ASCII."""

_MODIFIED = re.compile(r"(?:char|character|bpchar|varchar|character varying)\s*\(\s*([0-9]{1,9})\s*\)")


def longest(name: str) -> int | None:
    """How many characters a column of that PostgreSQL type holds, where the type limits it; `char` alone is `char(1)`."""
    word = name.strip().lower()
    if word in ("char", "character"):
        return 1
    modified = _MODIFIED.fullmatch(word)
    return None if modified is None else int(modified[1])


def has_few_values(type_: Type) -> bool:
    """Whether the type allows too few values (`FEW`) to tell none apart by counting. Small integers count as such: of their
    65,536 a column hardly uses more.
    """
    parameters = dict(type_.parameters)
    match kind_of(type_):
        case Kind.BOOLEAN | Kind.ENUM | Kind.SMALL_INTEGER:
            return True
        case Kind.BYTES if (length := parameters.get("length")) is not None:
            return _below(2, length)
        case Kind.DECIMAL if (precision := parameters.get("connect.decimal.precision")) is not None:
            return _below(10, precision)
        case _:
            return False


def states_few_values(name: str, type_: Type) -> bool:
    """The same of a PostgreSQL type that stands for `type_` and says how long texts are."""
    length = longest(name)
    return has_few_values(type_) or (length is not None and length <= _CODE)


def _below(base: int, digits: str) -> bool:
    return len(digits) < 3 and base ** int(digits) < FEW
