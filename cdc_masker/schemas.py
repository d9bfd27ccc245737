"""What a column is: Kafka Connect types with Debezium's semantic names, and PostgreSQL's type names.

A `Type` comes from the schema that is embedded in an event, or, where none is, from the type that a rule states. It answers
two questions: which constant is a valid value of it (`neutral`), and how is it written as a Connect schema (`to_connect`).
A written schema holds what is needed to read a value and nothing that could hold data: no default, no doc, no enum labels,
no source metadata. Names and representations after the Debezium PostgreSQL connector's documentation, section "Data types".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cdc_masker.errors import InputError, Reason

__all__ = ["JSON", "Field", "Type", "from_connect", "from_postgres", "neutral", "to_connect"]

ENUM = "io.debezium.data.Enum"
UUID = "io.debezium.data.Uuid"
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_VARIABLE_DECIMAL = "io.debezium.data.VariableScaleDecimal"
JSON = "io.debezium.data.Json"
_BITS = "io.debezium.data.Bits"

_EPOCH = {"year": 1970, "month": 1, "day": 1}
_MIDNIGHT = {"hour": 0, "minute": 0, "second": 0, "nanos": 0}
_UTC = {"offsetSeconds": 0, "zoneId": "Z"}
_NO_GEOMETRY = "AQcAAAAAAAAA"  # WKB of GEOMETRYCOLLECTION EMPTY

# The neutral value where zero of the base type is not a valid value of the semantic type; of a struct, those of its fields.
_NEUTRAL_BY_NAME: dict[tuple[str, str | None], Any] = {
    ("string", UUID): "00000000-0000-0000-0000-000000000000",
    ("string", JSON): "{}",
    ("string", "io.debezium.data.Xml"): "<redacted/>",
    ("bytes", _DECIMAL): "AA==",
    ("struct", _VARIABLE_DECIMAL): {"value": "AA=="},
    ("bytes", _BITS): "AA==",
    ("string", "io.debezium.time.ZonedTimestamp"): "1970-01-01T00:00:00.000000Z",
    ("string", "io.debezium.time.ZonedTime"): "00:00:00Z",
    ("string", "io.debezium.time.IsoDate"): "1970-01-01Z",
    ("string", "io.debezium.time.IsoTime"): "00:00:00Z",
    ("string", "io.debezium.time.IsoTimestamp"): "1970-01-01T00:00:00Z",
    ("string", "io.debezium.time.Interval"): "P0Y0M0DT0H0M0S",
    ("struct", "io.debezium.time.StructuredDate"): _EPOCH,
    ("struct", "io.debezium.time.StructuredTime"): _MIDNIGHT,
    ("struct", "io.debezium.time.StructuredZonedTime"): {**_MIDNIGHT, **_UTC},
    ("struct", "io.debezium.time.StructuredTimestamp"): {**_EPOCH, **_MIDNIGHT},
    ("struct", "io.debezium.time.StructuredZonedTimestamp"): {**_EPOCH, **_MIDNIGHT, **_UTC},
    ("struct", "io.debezium.time.StructuredDuration"): dict.fromkeys(
        ("years", "months", "days", "hours", "minutes", "seconds", "nanos"), 0
    ),
    ("struct", "io.debezium.data.geometry.Geometry"): {"wkb": _NO_GEOMETRY},
    ("struct", "io.debezium.data.geometry.Geography"): {"wkb": _NO_GEOMETRY},
}
_NEUTRAL_BY_BASE: dict[str, Any] = {
    "boolean": False,
    "int8": 0,
    "int16": 0,
    "int32": 0,
    "int64": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "",
    "bytes": "",
    "array": [],
    "map": {},
}
_BASES = {*_NEUTRAL_BY_BASE, "struct"}


@dataclass(frozen=True, slots=True)
class Field:
    """A named member of a struct."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A Connect type. `base` is Connect's word (`int32`, `string`, `struct` …), `name` the semantic name where there is one.

    `parameters` holds only what is needed to read a value (a decimal's scale, a bit string's length). `items` is the type
    of an array's items, `keys` and `values` of a map's, `fields` of a struct's.
    """

    base: str
    name: str | None = None
    version: int | None = None
    optional: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    items: Type | None = None
    keys: Type | None = None
    values: Type | None = None
    fields: tuple[Field, ...] = ()

    @property
    def is_text(self) -> bool:
        """A string whose content is free: any other string is a valid value of it, too."""
        return self.base == "string" and (self.name is None or self.name == ENUM)

    @property
    def is_uuid(self) -> bool:
        return self.base == "string" and self.name == UUID

    @property
    def integer_bits(self) -> int | None:
        """32 or 64 for an integer that is only a number (no date, no time) and wide enough for a permutation."""
        return {"int32": 32, "int64": 64}.get(self.base) if self.name is None else None

    def plain_text(self) -> Type:
        """A string of the same optionality and nothing else: what an enum becomes when its labels go."""
        return Type(base="string", optional=self.optional)

    def nullable(self) -> Type:
        return replace(self, optional=True)


_KEPT_PARAMETERS = {"scale", "connect.decimal.precision", "length"}


def from_connect(schema: Mapping[str, Any]) -> Type:
    """The type that an embedded Connect schema describes. Raises `InputError` when it is none."""
    base = schema.get("type")
    if not isinstance(base, str) or base not in _BASES:
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    parameters = _expect(schema.get("parameters"), dict) or {}
    return Type(
        base=base,
        name=_expect(schema.get("name"), str),
        version=_expect(schema.get("version"), int),
        optional=bool(_expect(schema.get("optional"), bool)),
        parameters=tuple((key, _number(parameters[key])) for key in parameters if key in _KEPT_PARAMETERS),
        items=_nested(schema, "items") if base == "array" else None,
        keys=_nested(schema, "keys") if base == "map" else None,
        values=_nested(schema, "values") if base == "map" else None,
        fields=_fields(schema) if base == "struct" else (),
    )


def to_connect(type_: Type) -> dict[str, Any]:
    """The Connect schema of a type, as JSON values, in the order in which Kafka Connect writes its members."""
    schema: dict[str, Any] = {"type": type_.base}
    if type_.base == "struct":
        schema["fields"] = [{**to_connect(field.type), "field": field.name} for field in type_.fields]
    for member in ("items", "keys", "values"):
        if (nested := getattr(type_, member)) is not None:
            schema[member] = to_connect(nested)
    schema["optional"] = type_.optional
    if type_.name is not None and type_.name != ENUM:
        schema["name"] = type_.name
        if type_.version is not None:
            schema["version"] = type_.version
    if type_.parameters:
        schema["parameters"] = dict(type_.parameters)
    return schema


def neutral(type_: Type) -> Any:
    """The value of this type that says nothing: null where that is allowed, else its zero. JSON values, as Connect has them."""
    if type_.optional:
        return None
    if type_.base == "struct":
        known = _NEUTRAL_BY_NAME.get((type_.base, type_.name), {})
        return {field.name: known.get(field.name, neutral(field.type)) for field in type_.fields}
    if type_.base == "map" and type_.keys is not None and type_.keys.base != "string":
        return []  # Connect writes such a map as pairs
    return _NEUTRAL_BY_NAME.get((type_.base, type_.name), _NEUTRAL_BY_BASE[type_.base])


def _struct(name: str, *fields: Field) -> Type:
    return Type(base="struct", name=name, version=1, fields=fields)


def _semantic(base: str, name: str) -> Type:
    return Type(base=base, name=name, version=1)


_STRING, _BYTES, _BOOLEAN = Type(base="string"), Type(base="bytes"), Type(base="boolean")
_DOUBLE, _SRID = Type(base="double"), Field("srid", Type(base="int32", optional=True))
_VARIABLE_SCALE = _struct(_VARIABLE_DECIMAL, Field("scale", Type(base="int32")), Field("value", _BYTES))
_POINT = _struct(
    "io.debezium.data.geometry.Point", Field("x", _DOUBLE), Field("y", _DOUBLE), Field("wkb", _BYTES.nullable()), _SRID
)
_EXTENSIONS = Type(base="map", optional=True, keys=_STRING, values=_STRING)
_GEOMETRY = replace(
    _struct("io.debezium.data.geometry.Geometry", Field("wkb", _BYTES), _SRID, Field("extensions", _EXTENSIONS)), version=2
)

_RANGES = ("int4", "int8", "num", "ts", "tstz", "date")

# PostgreSQL's names, in the connector's default handling modes (decimal precise, time adaptive, interval numeric, hstore json,
# binary bytes) with `include.unknown.datatypes`, which makes the last row of them bytes.
_POSTGRES: dict[str, Type] = {
    **dict.fromkeys(("text", "varchar", "character varying", "char", "character", "bpchar", "citext", "name"), _STRING),
    **dict.fromkeys(("inet", "cidr", "macaddr", "macaddr8", "line", *(f"{item}range" for item in _RANGES)), _STRING),
    "ltree": _semantic("string", "io.debezium.data.Ltree"),
    "tsvector": _semantic("string", "io.debezium.data.Tsvector"),
    **dict.fromkeys(("smallint", "int2"), Type(base="int16")),
    **dict.fromkeys(("integer", "int", "int4"), Type(base="int32")),
    **dict.fromkeys(("bigint", "int8", "oid"), Type(base="int64")),
    **dict.fromkeys(("real", "float4"), Type(base="float")),
    **dict.fromkeys(("double precision", "float8"), _DOUBLE),
    **dict.fromkeys(("boolean", "bool", "bit"), _BOOLEAN),
    **dict.fromkeys(("numeric", "decimal"), _VARIABLE_SCALE),
    "money": replace(_semantic("bytes", _DECIMAL), parameters=(("scale", "2"),)),
    "bytea": _BYTES,
    **dict.fromkeys(("varbit", "bit varying"), replace(_semantic("bytes", _BITS), parameters=(("length", "2147483647"),))),
    "uuid": _semantic("string", UUID),
    "enum": _semantic("string", ENUM),
    **dict.fromkeys(("json", "jsonb", "hstore"), _semantic("string", JSON)),
    "xml": _semantic("string", "io.debezium.data.Xml"),
    "date": _semantic("int32", "io.debezium.time.Date"),
    **dict.fromkeys(("time", "time without time zone"), _semantic("int64", "io.debezium.time.MicroTime")),
    **dict.fromkeys(("timetz", "time with time zone"), _semantic("string", "io.debezium.time.ZonedTime")),
    **dict.fromkeys(("timestamp", "timestamp without time zone"), _semantic("int64", "io.debezium.time.MicroTimestamp")),
    **dict.fromkeys(("timestamptz", "timestamp with time zone"), _semantic("string", "io.debezium.time.ZonedTimestamp")),
    "interval": _semantic("int64", "io.debezium.time.MicroDuration"),
    "point": _POINT,
    **dict.fromkeys(("lseg", "box", "path", "polygon"), _GEOMETRY),
    "circle": _struct("io.debezium.data.geometry.Circle", Field("center", _POINT), Field("radius", _DOUBLE)),
    **dict.fromkeys(("tsquery", "jsonpath", "pg_lsn", *(f"{item}multirange" for item in _RANGES)), _BYTES),
}
_IN_MILLISECONDS = {
    "time": _semantic("int32", "io.debezium.time.Time"),
    "timestamp": _semantic("int64", "io.debezium.time.Timestamp"),
}


def from_postgres(name: str) -> Type | None:
    """The type of a column whose PostgreSQL type is `name`, as in `numeric(10,2)[]`; None when the name is unknown.

    A domain is written as the type below it, an enum as `enum`.
    """
    word = name.strip().lower()
    if word.endswith("[]"):
        item = from_postgres(word[:-2])
        return None if item is None else Type(base="array", items=item.nullable())
    bare, _, rest = word.partition("(")
    modifier, _, tail = rest.partition(")")
    known = _POSTGRES.get(word := (bare.strip() + tail).strip())
    if known is None or not modifier:
        return known
    size, _, scale = (part.strip() for part in modifier.partition(","))
    if not size.isdecimal() or not (scale or "0").removeprefix("-").isdecimal():
        return None
    return _modified(known, word, size, scale or "0")


def _modified(known: Type, word: str, size: str, scale: str) -> Type:
    """The type with a length, a precision, or precision and scale."""
    if known is _VARIABLE_SCALE:
        return replace(_semantic("bytes", _DECIMAL), parameters=(("scale", scale), ("connect.decimal.precision", size)))
    if word in ("bit", "varbit", "bit varying"):
        return _BOOLEAN if size == "1" else replace(_semantic("bytes", _BITS), parameters=(("length", size),))
    if size in "0123":
        return _IN_MILLISECONDS.get(word.removesuffix(" without time zone"), known)
    return known


def _expect(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    raise InputError(Reason.SCHEMA_MISMATCH, "schema")


def _number(text: Any) -> str:
    if isinstance(text, str) and text.removeprefix("-").isdecimal():
        return text
    raise InputError(Reason.SCHEMA_MISMATCH, "schema")


def _nested(schema: Mapping[str, Any], member: str) -> Type:
    nested = schema.get(member)
    if not isinstance(nested, dict):
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    return from_connect(nested)


def _fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    fields = schema.get("fields")
    if not isinstance(fields, list):
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    found = tuple(_field(field) for field in fields)
    if len({field.name for field in found}) != len(found):
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    return found


def _field(schema: Any) -> Field:
    if not isinstance(schema, dict) or not isinstance(schema.get("field"), str):
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    return Field(schema["field"], from_connect(schema))
