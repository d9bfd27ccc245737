"""An independent reader of Kafka Connect's JSON: says where a payload does not fit its embedded schema.

Written from the documentation of Kafka Connect and Debezium, not from `cdc_masker.schemas`, so that both can't be wrong in
the same way.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

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
        if not isinstance(value, dict if schema["keys"]["type"] == "string" else list):
            yield f"{place}: no map"
            return
        for name, item in value.items() if isinstance(value, dict) else value:
            yield from _of_value(schema["keys"], name, f"{place} keys")
            yield from _of_value(schema["values"], item, f"{place}{{}}")
    elif not _is_a(base, value):
        yield f"{place}: no {base}"
        return
    if value in _UNCHANGED:
        return  # what Debezium writes for a large value that did not change is of the base type only
    if not _MEANINGS.get(schema.get("name", ""), _anything)(schema, value):
        yield f"{place}: no {schema['name']}"


def _is_a(base: str, value: Any) -> bool:
    if base in _INTEGERS:
        half = 1 << (_INTEGERS[base] - 1)
        return type(value) is int and -half <= value < half
    if base in ("float", "double"):
        return type(value) in (int, float) or value in _NO_NUMBERS
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


def _fits(length: str | None, value: str) -> bool:
    decoded = _decoded(value) or b""
    return bool(decoded) and (length is None or len(decoded) <= (int(length) + 7) // 8)


def _matches(pattern: str) -> Callable[[dict[str, Any], Any], bool]:
    return lambda _schema, value: bool(re.fullmatch(pattern, value))


def _wkb(_schema: dict[str, Any], value: Any) -> bool:
    """Whether the geometry is one: byte order, a type that there is, and something after it."""
    if value["wkb"] is None:
        return True
    decoded = _decoded(value["wkb"]) or b""
    return len(decoded) >= 9 and decoded[0] in (0, 1) and int.from_bytes(decoded[1:5], "little") & 0xFF in range(1, 8)


def _is_xml(_schema: dict[str, Any], value: Any) -> bool:
    try:
        ElementTree.fromstring(value)
    except ElementTree.ParseError:
        return False
    return True


def _a_date(_schema: dict[str, Any], value: Any) -> bool:
    """A structured date is one of infinity's, or has a year, a month and a day."""
    parts = (value["month"], value["day"])
    return value["specialValue"] is not None or (
        value["year"] is not None and None not in parts and 1 <= parts[0] <= 12 and 1 <= parts[1] <= 31
    )


def _a_time(_schema: dict[str, Any], value: Any) -> bool:
    if value.get("specialValue") is not None:
        return True
    return all(value[part] is not None and 0 <= value[part] < 60 for part in ("hour", "minute", "second"))


def _both(schema: dict[str, Any], value: Any) -> bool:
    return _a_date(schema, value) and _a_time(schema, value)


def _zoned(time: Callable[[dict[str, Any], Any], bool]) -> Callable[[dict[str, Any], Any], bool]:
    def meaning(schema: dict[str, Any], value: Any) -> bool:
        return time(schema, value) and (value["offsetSeconds"] is not None or value.get("specialValue") is not None)

    return meaning


_UNCHANGED = ("__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")  # as Jackson writes them
_DATE, _TIME = r"-?\d{4,}-\d\d-\d\d", r"\d\d:\d\d(:\d\d(\.\d+)?)?"
_OFFSET = r"(Z|[+-]\d\d:\d\d)"

_MEANINGS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "org.apache.kafka.connect.data.Decimal": lambda schema, value: (
        "scale" in schema.get("parameters", {}) and _number_bytes(schema, value)
    ),
    "io.debezium.data.VariableScaleDecimal": lambda schema, value: _number_bytes(schema, value["value"]),
    "io.debezium.data.Enum": lambda schema, value: value in schema.get("parameters", {}).get("allowed", value).split(","),
    "io.debezium.data.Uuid": _parses(uuid.UUID),
    "io.debezium.data.Json": _parses(json.loads),
    "io.debezium.data.Xml": _is_xml,
    "io.debezium.data.Bits": lambda schema, value: _fits(schema.get("parameters", {}).get("length"), value),
    "io.debezium.data.geometry.Point": _wkb,
    "io.debezium.data.geometry.Geometry": _wkb,
    "io.debezium.time.ZonedTimestamp": _matches(rf"-?infinity|{_DATE}T{_TIME}{_OFFSET}( BC)?"),
    "io.debezium.time.ZonedTime": _matches(rf"{_TIME}{_OFFSET}"),
    "io.debezium.time.IsoDate": _matches(rf"[+]?{_DATE}{_OFFSET}"),
    "io.debezium.time.IsoTime": _matches(rf"{_TIME}{_OFFSET}"),
    "io.debezium.time.IsoTimestamp": _matches(rf"[+]?{_DATE}T{_TIME}{_OFFSET}"),
    "io.debezium.time.Interval": _matches(r"P-?\d+Y-?\d+M-?\d+DT-?\d+H-?\d+M-?\d+(\.\d+)?S"),
    "io.debezium.time.StructuredDate": _a_date,
    "io.debezium.time.StructuredTime": _a_time,
    "io.debezium.time.StructuredZonedTime": _zoned(_a_time),
    "io.debezium.time.StructuredTimestamp": _both,
    "io.debezium.time.StructuredZonedTimestamp": _zoned(_both),
    "io.debezium.time.StructuredDuration": lambda _schema, value: all(value[part] is not None for part in ("years", "days")),
}
