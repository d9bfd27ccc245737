"""An independent reader of Kafka Connect's JSON: says where a payload does not fit its embedded schema.

Written from the documentation of Kafka Connect and Debezium, not from `cdc_masker.schemas`, so that both can't be wrong in
the same way.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

__all__ = ["misfits"]

_INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


def misfits(document: bytes | None) -> list[str]:
    """The places where a document `{"schema":…,"payload":…}` contradicts itself; empty when it fits."""
    assert document is not None
    parsed = json.loads(document)
    if set(parsed) != {"schema", "payload"}:
        return ["$: is not schema and payload"]
    return [*_of_schema(parsed["schema"], "$"), *_of_value(parsed["schema"], parsed["payload"], "$")]


def _of_schema(schema: Any, place: str) -> Iterator[str]:
    if not isinstance(schema, dict) or not isinstance(schema.get("optional"), bool):
        yield f"{place}: schema without type or optionality"
        return
    if "default" in schema:
        yield from _of_value(schema, schema["default"], f"{place} default")
    match schema.get("type"):
        case "struct":
            names = [field.get("field") for field in schema["fields"]]
            if len(set(names)) != len(names):
                yield f"{place}: a field twice"
            for field in schema["fields"]:
                yield from _of_schema(field, f"{place}.{field.get('field')}")
        case "array":
            yield from _of_schema(schema["items"], f"{place}[]")
        case "map":
            yield from _of_schema(schema["keys"], f"{place} keys")
            yield from _of_schema(schema["values"], f"{place} values")
        case _:
            pass


def _of_value(schema: dict[str, Any], value: Any, place: str) -> Iterator[str]:
    base = schema["type"]
    if value is None:
        if not schema["optional"]:
            yield f"{place}: null in a required {base}"
        return
    if base == "struct":
        names = {field["field"]: field for field in schema["fields"]}
        if not isinstance(value, dict) or set(value) != set(names):
            yield f"{place}: other fields than the struct has"
            return
        for name, field in names.items():
            yield from _of_value(field, value[name], f"{place}.{name}")
    elif base == "array":
        if not isinstance(value, list):
            yield f"{place}: no array"
            return
        for item in value:
            yield from _of_value(schema["items"], item, f"{place}[]")
    elif base == "map":
        if not isinstance(value, dict):
            yield f"{place}: no map"
            return
        for item in value.values():
            yield from _of_value(schema["values"], item, f"{place}{{}}")
    elif not _is_a(base, value):
        yield f"{place}: no {base}"
        return
    if not _MEANINGS.get(schema.get("name", ""), _anything)(schema, value):
        yield f"{place}: no {schema['name']}"


def _is_a(base: str, value: Any) -> bool:
    if base in _INTEGERS:
        half = 1 << (_INTEGERS[base] - 1)
        return type(value) is int and -half <= value < half
    if base in ("float", "double"):
        return type(value) in (int, float)
    if base == "bytes":
        return isinstance(value, str) and _decoded(value) is not None
    return type(value) is {"boolean": bool, "string": str}[base]


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _anything(_schema: dict[str, Any], _value: Any) -> bool:
    return True


def _number_bytes(_schema: dict[str, Any], value: Any) -> bool:
    return bool(_decoded(value))  # a two's complement number of no bytes can't be read


def _parses(parse: Callable[[str], Any]) -> Callable[[dict[str, Any], Any], bool]:
    def meaning(_schema: dict[str, Any], value: Any) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return meaning


_MEANINGS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "org.apache.kafka.connect.data.Decimal": lambda schema, value: (
        "scale" in schema.get("parameters", {}) and _number_bytes(schema, value)
    ),
    "io.debezium.data.VariableScaleDecimal": lambda schema, value: _number_bytes(schema, value["value"]),
    "io.debezium.data.Enum": lambda schema, value: value in schema.get("parameters", {}).get("allowed", value).split(","),
    "io.debezium.data.Uuid": _parses(uuid.UUID),
    "io.debezium.data.Json": _parses(json.loads),
    "io.debezium.data.Bits": _number_bytes,
    "io.debezium.time.ZonedTimestamp": _parses(datetime.fromisoformat),
}
