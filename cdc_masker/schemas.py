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

# The neutral value where zero of the base type is not a valid value of the semantic type.
_NEUTRAL_BY_NAME: dict[str, Any] = {
    UUID: "00000000-0000-0000-0000-000000000000",
    JSON: "{}",
    _DECIMAL: "AA==",
    _VARIABLE_DECIMAL: {"scale": 0, "value": "AA=="},
    "io.debezium.data.Bits": "AA==",
    "io.debezium.time.ZonedTimestamp": "1970-01-01T00:00:00.000000Z",
    "io.debezium.time.ZonedTime": "00:00:00Z",
    "io.debezium.time.IsoDate": "1970-01-01Z",
    "io.debezium.time.IsoTime": "00:00:00Z",
    "io.debezium.time.IsoTimestamp": "1970-01-01T00:00:00Z",
    "io.debezium.time.Interval": "P0Y0M0DT0H0M0S",
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
    if type_.name in _NEUTRAL_BY_NAME:
        return _NEUTRAL_BY_NAME[type_.name]
    if type_.base == "struct":
        return {field.name: neutral(field.type) for field in type_.fields}
    return _NEUTRAL_BY_BASE[type_.base]


_VARIABLE_SCALE = Type(
    base="struct",
    name=_VARIABLE_DECIMAL,
    version=1,
    fields=(Field("scale", Type(base="int32")), Field("value", Type(base="bytes"))),
)

# PostgreSQL's names, in the connector's default handling modes (decimal precise, time adaptive, binary bytes, hstore json).
_POSTGRES: dict[str, Type] = {
    **dict.fromkeys(
        ("text", "varchar", "character varying", "char", "character", "bpchar", "citext", "name"), Type(base="string")
    ),
    **dict.fromkeys(("inet", "cidr", "macaddr", "macaddr8", "ltree", "tsvector"), Type(base="string")),
    **dict.fromkeys(("smallint", "int2"), Type(base="int16")),
    **dict.fromkeys(("integer", "int", "int4"), Type(base="int32")),
    **dict.fromkeys(("bigint", "int8", "oid"), Type(base="int64")),
    **dict.fromkeys(("real", "float4"), Type(base="float")),
    **dict.fromkeys(("double precision", "float8"), Type(base="double")),
    **dict.fromkeys(("boolean", "bool"), Type(base="boolean")),
    **dict.fromkeys(("numeric", "decimal"), _VARIABLE_SCALE),
    "bytea": Type(base="bytes"),
    "uuid": Type(base="string", name=UUID, version=1),
    "enum": Type(base="string", name=ENUM, version=1),
    **dict.fromkeys(("json", "jsonb", "hstore"), Type(base="string", name=JSON, version=1)),
    "xml": Type(base="string", name="io.debezium.data.Xml", version=1),
    "date": Type(base="int32", name="io.debezium.time.Date", version=1),
    **dict.fromkeys(("time", "time without time zone"), Type(base="int64", name="io.debezium.time.MicroTime", version=1)),
    **dict.fromkeys(("timetz", "time with time zone"), Type(base="string", name="io.debezium.time.ZonedTime", version=1)),
    **dict.fromkeys(
        ("timestamp", "timestamp without time zone"),
        Type(base="int64", name="io.debezium.time.MicroTimestamp", version=1),
    ),
    **dict.fromkeys(
        ("timestamptz", "timestamp with time zone"),
        Type(base="string", name="io.debezium.time.ZonedTimestamp", version=1),
    ),
    "interval": Type(base="int64", name="io.debezium.time.MicroDuration", version=1),
}


def from_postgres(name: str) -> Type | None:
    """The type of a column whose PostgreSQL type is `name`, length and scale ignored; None when the name is unknown."""
    word = name.strip().lower()
    if word.endswith("[]"):
        item = from_postgres(word[:-2])
        return None if item is None else Type(base="array", items=item.nullable())
    bare, _, rest = word.partition("(")
    precision, _, tail = rest.partition(")")
    known = _POSTGRES.get((bare.strip() + tail).strip())
    if known is _VARIABLE_SCALE and precision:
        scale = precision.partition(",")[2].strip() or "0"
        return Type(base="bytes", name=_DECIMAL, version=1, parameters=(("scale", scale),))
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
