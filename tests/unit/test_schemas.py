"""Connect types: read from schemas and PostgreSQL's names, written without what could hold data, with a neutral value each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_masker.errors import InputError, Reason
from cdc_masker.schemas import from_connect, from_postgres, neutral, to_connect
from tests.unit.connect_json import misfits

_POINT_FIELDS = [
    {"type": "double", "optional": False, "field": "x"},
    {"type": "double", "optional": False, "field": "y"},
    {"type": "bytes", "optional": True, "field": "wkb"},
    {"type": "int32", "optional": True, "field": "srid"},
]

SCHEMAS: list[dict[str, Any]] = [
    *({"type": base} for base in ("boolean", "int8", "int16", "int32", "int64", "float", "double", "string", "bytes")),
    {"type": "string", "name": "io.debezium.data.Uuid", "version": 1},
    {"type": "string", "name": "io.debezium.data.Json", "version": 1},
    {"type": "string", "name": "io.debezium.data.Ltree", "version": 1},
    {"type": "bytes", "name": "io.debezium.data.Bits", "version": 1, "parameters": {"length": "3"}},
    {
        "type": "bytes",
        "name": "org.apache.kafka.connect.data.Decimal",
        "version": 1,
        "parameters": {"scale": "2", "connect.decimal.precision": "12"},
    },
    {
        "type": "struct",
        "name": "io.debezium.data.VariableScaleDecimal",
        "version": 1,
        "fields": [
            {"type": "int32", "optional": False, "field": "scale"},
            {"type": "bytes", "optional": False, "field": "value"},
        ],
    },
    {"type": "struct", "name": "io.debezium.data.geometry.Point", "version": 1, "fields": _POINT_FIELDS},
    *(
        {"type": base, "name": f"io.debezium.time.{name}", "version": 1}
        for base, name in [
            ("int32", "Date"),
            ("int32", "Time"),
            ("int64", "MicroTime"),
            ("int64", "Timestamp"),
            ("int64", "MicroTimestamp"),
            ("int64", "NanoTimestamp"),
            ("string", "ZonedTimestamp"),
            ("string", "ZonedTime"),
            ("string", "IsoDate"),
            ("string", "Interval"),
            ("int64", "MicroDuration"),
        ]
    ),
    {"type": "int32", "name": "org.apache.kafka.connect.data.Date", "version": 1},
    {"type": "array", "items": {"type": "string", "optional": True}},
    {"type": "array", "items": {"type": "array", "items": {"type": "int64", "optional": False}, "optional": True}},
    {"type": "map", "keys": {"type": "string", "optional": False}, "values": {"type": "string", "optional": True}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.get("name", schema["type"]))
@pytest.mark.parametrize("optional", [True, False])
def test_a_schema_is_written_as_it_was_read(schema: dict[str, Any], optional: bool) -> None:
    assert to_connect(from_connect({**schema, "optional": optional})) == {**schema, "optional": optional}


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.get("name", schema["type"]))
@pytest.mark.parametrize("optional", [True, False])
def test_the_neutral_value_fits_its_type(schema: dict[str, Any], optional: bool) -> None:
    type_ = from_connect({**schema, "optional": optional})
    assert misfits(json.dumps({"schema": to_connect(type_), "payload": neutral(type_)}).encode()) == []
    assert (neutral(type_) is None) == optional


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.get("name", schema["type"]))
def test_nothing_is_written_that_could_hold_data(schema: dict[str, Any]) -> None:
    data = {
        "default": "canary",
        "doc": "canary",
        "canary": "canary",
        "parameters": {**schema.get("parameters", {}), "allowed": "canary", "__debezium.source.column.name": "canary"},
    }
    written = to_connect(from_connect({**schema, **data, "optional": True}))
    assert "canary" not in json.dumps(written)
    assert written == {**schema, "optional": True}


def test_nothing_is_written_that_could_hold_data_in_nested_schemas() -> None:
    inner = {"type": "string", "optional": True, "default": "canary", "doc": "canary", "parameters": {"allowed": "canary"}}
    for schema in (
        {"type": "array", "items": inner},
        {"type": "map", "keys": inner, "values": inner},
        {"type": "struct", "fields": [{**inner, "field": "a"}]},
    ):
        assert "canary" not in json.dumps(to_connect(from_connect(schema)))


def test_an_enum_is_written_as_a_plain_text() -> None:
    schema = {"type": "string", "name": "io.debezium.data.Enum", "version": 1, "parameters": {"allowed": "free,pro"}}
    assert to_connect(from_connect(schema)) == {"type": "string", "optional": False}


HOSTILE: list[Any] = [
    {},
    {"type": None},
    {"type": "String"},
    {"type": "int128"},
    {"type": 5},
    {"type": ["string", "null"]},
    {"type": {"type": "string"}},
    {"type": "array"},
    {"type": "array", "items": "string"},
    {"type": "array", "items": {"type": "x"}},
    {"type": "map", "keys": {"type": "string"}},
    {"type": "map", "values": {"type": "string"}},
    {"type": "struct"},
    {"type": "struct", "fields": {}},
    {"type": "struct", "fields": ["a"]},
    {"type": "struct", "fields": [{"type": "string"}]},
    {"type": "struct", "fields": [{"type": "string", "field": 5}]},
    {"type": "struct", "fields": [{"field": "a"}]},
    {"type": "struct", "fields": [{"type": "string", "field": "a"}, {"type": "int32", "field": "a"}]},
    {"type": "string", "name": 5},
    {"type": "string", "version": "1"},
    {"type": "string", "optional": "true"},
    {"type": "string", "optional": 1},
    {"type": "string", "parameters": []},
    {"type": "bytes", "parameters": {"scale": 2}},
    {"type": "bytes", "parameters": {"scale": "canary"}},
    {"type": "bytes", "parameters": {"length": ""}},
]


@pytest.mark.parametrize("schema", HOSTILE, ids=json.dumps)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InputError) as caught:
        from_connect(schema)
    assert caught.value.reason is Reason.SCHEMA_MISMATCH
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "base", "semantic"),
    [
        (["text", "varchar", "character varying(20)", "char(3)", "bpchar", "citext", "name", " TEXT "], "string", None),
        (["inet", "cidr", "macaddr", "line", "int4range", "tstzrange"], "string", None),
        (["ltree"], "string", "io.debezium.data.Ltree"),
        (["tsvector"], "string", "io.debezium.data.Tsvector"),
        (["bit", "bit(1)", "varbit(1)"], "boolean", None),
        (["bit(8)", "bit varying", "varbit(9)"], "bytes", "io.debezium.data.Bits"),
        (["time(3)", "time(0) without time zone"], "int32", "io.debezium.time.Time"),
        (["timestamp(3)", "timestamp (2) without time zone"], "int64", "io.debezium.time.Timestamp"),
        (["timestamp(6)", "timestamp(4) without time zone"], "int64", "io.debezium.time.MicroTimestamp"),
        (["money"], "bytes", "org.apache.kafka.connect.data.Decimal"),
        (["box", "polygon"], "struct", "io.debezium.data.geometry.Geometry"),
        (["tsquery", "int8multirange"], "bytes", None),
        (["smallint", "int2"], "int16", None),
        (["integer", "int", "int4"], "int32", None),
        (["bigint", "int8", "oid"], "int64", None),
        (["real", "float4"], "float", None),
        (["double precision", "float8"], "double", None),
        (["boolean", "bool"], "boolean", None),
        (["bytea"], "bytes", None),
        (["uuid"], "string", "io.debezium.data.Uuid"),
        (["enum"], "string", "io.debezium.data.Enum"),
        (["json", "jsonb", "hstore"], "string", "io.debezium.data.Json"),
        (["numeric", "decimal"], "struct", "io.debezium.data.VariableScaleDecimal"),
        (["numeric(12,2)", "decimal(5)", "NUMERIC( 12 , 2 )"], "bytes", "org.apache.kafka.connect.data.Decimal"),
        (["date"], "int32", "io.debezium.time.Date"),
        (["timestamp", "timestamp(6)", "timestamp without time zone"], "int64", "io.debezium.time.MicroTimestamp"),
        (["timestamptz", "timestamptz(3)", "timestamp(3) with time zone"], "string", "io.debezium.time.ZonedTimestamp"),
        (["time", "time(6) without time zone"], "int64", "io.debezium.time.MicroTime"),
        (["timetz"], "string", "io.debezium.time.ZonedTime"),
        (["interval"], "int64", "io.debezium.time.MicroDuration"),
        (["text[]", "integer[]", "varchar(3)[][]"], "array", None),
    ],
)
def test_postgresql_names_a_type_in_several_ways(names: list[str], base: str, semantic: str | None) -> None:
    for name in names:
        type_ = from_postgres(name)
        assert type_ is not None, name
        assert (type_.base, type_.name) == (base, semantic)


@pytest.mark.parametrize(("name", "scale"), [("numeric(12,2)", "2"), ("numeric(12)", "0"), ("decimal(3,-2)", "-2")])
def test_a_decimal_has_the_scale_that_was_declared(name: str, scale: str) -> None:
    type_ = from_postgres(name)
    assert type_ is not None
    assert dict(type_.parameters)["scale"] == scale


@pytest.mark.parametrize(
    "name",
    ["", "[]", "txt", "txt[]", "crm.tier", "int5", "text text", "character varying x", "(3)", "numeric(1,2,3)", "varchar(x)"],
)
def test_an_unknown_type_name_is_none(name: str) -> None:
    assert from_postgres(name) is None


def test_array_items_may_be_null_as_in_postgresql() -> None:
    type_ = from_postgres("integer[]")
    assert type_ is not None
    assert type_.items is not None
    assert type_.items.optional
