"""How the connector represents each type in each of its handling modes: `from_postgres` and what a mode makes of it.

`test_zoo.py` holds this to what the connector really wrote, and `page.py` writes docs/types.md from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cdc_masker.schemas import Field, Type, from_postgres
from tests.zoo.animals import Animal

__all__ = ["OPTIONS", "represented"]

_STRING, _DOUBLE = Type(base="string"), Type(base="double")
_DECIMAL, _VARIABLE = "org.apache.kafka.connect.data.Decimal", "io.debezium.data.VariableScaleDecimal"


def _semantic(base: str, name: str) -> Type:
    package = "org.apache.kafka.connect.data" if name in ("Date", "Time", "Timestamp") else "io.debezium.time"
    return Type(base=base, name=f"{package}.{name}", version=1)


def _structured(name: str, **fields: str) -> Type:
    members = tuple(Field(field, Type(base=base, optional=True)) for field, base in fields.items())
    return Type(base="struct", name=f"io.debezium.time.{name}", version=1, fields=members)


_YMD = {"year": "int32", "month": "int8", "day": "int8"}
_HMS = {"hour": "int8", "minute": "int8", "second": "int8", "nanos": "int32"}
_ZONE = {"offsetSeconds": "int32"}
_SPECIAL, _PRECISION = {"specialValue": "string"}, {"precision": "int32"}
_STRUCTURED = {
    "Date": _structured("StructuredDate", **_YMD, **_SPECIAL),
    "MicroTime": _structured("StructuredTime", **_HMS, **_PRECISION),
    "MicroTimestamp": _structured("StructuredTimestamp", **_YMD, **_HMS, **_SPECIAL, **_PRECISION),
    "ZonedTime": _structured("StructuredZonedTime", **_HMS, **_ZONE, **_PRECISION),
    "ZonedTimestamp": _structured(
        "StructuredZonedTimestamp", **_YMD, **_HMS, **_ZONE, zoneId="string", **_SPECIAL, **_PRECISION
    ),
    "MicroDuration": _structured(
        "StructuredDuration",
        **dict.fromkeys(("years", "months", "days", "hours", "minutes"), "int32"), seconds="int64", nanos="int32", **_PRECISION
    ),
}  # fmt: skip


def _times(date: Type | None, time: Type | None, timestamp: Type | None, *, millis: bool = False) -> dict[str, Type]:
    """What becomes of `date`, `time` and `timestamp`; `millis`: columns of at most 3 digits have a type of their own still."""
    changed = {"Date": date, "MicroTime": time, "Time": time, "MicroTimestamp": timestamp}
    if not millis:
        changed["Timestamp"] = timestamp
    return {f"io.debezium.time.{name}": type_ for name, type_ in changed.items() if type_ is not None}


# By option and value: what a type, by its semantic name or its base, becomes.
OPTIONS: dict[str, dict[str, dict[str, Type]]] = {
    "decimal.handling.mode": {
        "precise": {},
        "string": {_DECIMAL: _STRING, _VARIABLE: _STRING},
        "double": {_DECIMAL: _DOUBLE, _VARIABLE: _DOUBLE},
    },
    "binary.handling.mode": {
        "bytes": {},
        **{encoding: {"bytes": _STRING} for encoding in ("base64", "base64-url-safe", "hex")},
    },
    "interval.handling.mode": {
        "numeric": {},
        "string": {"io.debezium.time.MicroDuration": _semantic("string", "Interval")},
    },
    "time.precision.mode": {
        "adaptive": {},
        "adaptive_time_microseconds": _times(None, _semantic("int64", "MicroTime"), None),
        "isostring": _times(
            _semantic("string", "IsoDate"), _semantic("string", "IsoTime"), _semantic("string", "IsoTimestamp")
        ),
        "connect": _times(_semantic("int32", "Date"), _semantic("int32", "Time"), _semantic("int64", "Timestamp")),
        "microseconds": _times(None, _semantic("int64", "MicroTime"), _semantic("int64", "MicroTimestamp")),
        "nanoseconds": _times(None, _semantic("int64", "NanoTime"), _semantic("int64", "NanoTimestamp")),
        "structured": {
            **{f"io.debezium.time.{name}": type_ for name, type_ in _STRUCTURED.items()},
            "io.debezium.time.Time": _STRUCTURED["MicroTime"],
            "io.debezium.time.Timestamp": _STRUCTURED["MicroTimestamp"],
        },
    },
    "hstore.handling.mode": {
        "json": {},
        "map": {"hstore": Type(base="map", keys=_STRING, values=_STRING.nullable())},
    },
}

# What a rule states for a column whose type PostgreSQL's users made.
_STATED = {
    "zoo.mood": "enum",
    'zoo."Mixed Mood"': "enum",
    "zoo.feeling": "enum",
    "zoo.line": "text",
    "zoo.short_line": "text",
    "zoo.amount": "numeric(20,4)",
    "zoo.counter": "bigint",
    "zoo.address": "tsquery",  # as any unknown type
    "zoo.text_range": "tsquery",
    '"char"': "char",
}


def represented(animal: Animal, modes: Mapping[str, str]) -> Type:
    """The type that the connector gives a required column in these modes."""
    name = animal.type.removesuffix("[]")
    type_ = from_postgres(_STATED.get(name, name))
    assert type_ is not None, animal.type
    changes = {known: new for option, value in modes.items() for known, new in OPTIONS[option][value].items()}
    type_ = changes.get("hstore" if name == "hstore" else type_.name or type_.base, type_)
    return Type(base="array", items=replace(type_, optional=True)) if animal.type.endswith("[]") else type_
