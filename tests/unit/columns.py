"""Sample columns: each type that the connector gives a column, in each of its handling modes, with values as it writes them.

The types are those of docs/types.md (`tests.zoo.representations`, which the real connector is held to); values are written here
from Debezium's documentation and from what it was seen to write, not with the code that reads them.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.schemas import Type
from tests.zoo.animals import ANIMALS
from tests.zoo.representations import OPTIONS, represented

__all__ = ["LABELS", "TYPES", "big_endian", "by_kind", "decimal_texts", "point", "values"]

Values = st.SearchStrategy[Any]

LABELS = ("free", "paid", "gone")
"""Of the enums."""

_DEFAULTS = {option: next(iter(modes)) for option, modes in OPTIONS.items()}


def _every_type() -> dict[str, Type]:
    """The types by a name for people: the first column that has it, with the mode that makes it so."""
    found: dict[Type, str] = {}
    for animal in ANIMALS:
        for option, modes in OPTIONS.items():
            for mode in modes:
                type_ = represented(animal, {**_DEFAULTS, option: mode})
                name = animal.name if mode == _DEFAULTS[option] else f"{animal.name} as {mode}"
                found.setdefault(type_, name)
    return {name: type_ for type_, name in found.items()}


TYPES: Mapping[str, Type] = _every_type()


def values(type_: Type) -> Values:
    """JSON values of a column of that type, all of them valid and none of them null."""
    if type_.name in _NAMED:
        return _NAMED[type_.name](type_)
    if type_.name is not None:
        return st.text()
    return _BARE[type_.base](type_)


def big_endian(number: int) -> str:
    """The shortest two's complement form of an integer, in base64."""
    length = next(length for length in range(1, 500) if -(1 << (8 * length - 1)) <= number < 1 << (8 * length - 1))
    return base64.b64encode(number.to_bytes(length, "big", signed=True)).decode()


def point(x: float, y: float) -> dict[str, Any]:
    """A point as the connector writes one."""
    wkb = base64.b64encode(struct.pack("<BIdd", 1, 1, x, y)).decode()
    return {"x": x, "y": y, "wkb": wkb, "srid": None}


def _integers(bits: int) -> Callable[[Type], Values]:
    return lambda _: st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _base64(_: Type) -> Values:
    return st.binary(min_size=1, max_size=20).map(lambda content: base64.b64encode(content).decode())


def _bits(type_: Type) -> Values:
    most = (int(dict(type_.parameters)["length"]) + 7) // 8
    return st.binary(min_size=1, max_size=min(most, 20)).map(lambda content: base64.b64encode(content).decode())


def _decimals(type_: Type) -> Values:
    greatest = 10 ** int(dict(type_.parameters).get("connect.decimal.precision", "18")) - 1
    return st.integers(-greatest, greatest).map(big_endian)


def _variable_decimals(_: Type) -> Values:
    return st.builds(lambda scale, number: {"scale": scale, "value": big_endian(number)}, st.integers(0, 20), st.integers())


def decimal_texts() -> Values:
    """Numbers as `decimal.handling.mode=string` writes them."""
    numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12)
    return numbers.map(lambda number: format(number + Decimal(0), "f"))


DATES = st.dates()
MOMENTS = st.datetimes(timezones=st.just(UTC))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _days(_: Type) -> Values:
    return DATES.map(lambda day: (day - date(1970, 1, 1)).days)


def _since_epoch(per_microsecond: int = 1, microseconds: int = 1) -> Callable[[Type], Values]:
    def since(moment: datetime) -> int:
        return (moment - _EPOCH) // timedelta(microseconds=microseconds) * per_microsecond

    return lambda _: MOMENTS.map(since)


def _nanos(_: Type) -> Values:
    moments = st.datetimes(datetime(1680, 1, 1), datetime(2260, 1, 1))
    return moments.map(lambda moment: (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 1_000)


def _of_day(per_second: int) -> Callable[[Type], Values]:
    return lambda _: st.integers(0, 86_400 * per_second - 1)


def _iso_moments(form: str) -> Callable[[Type], Values]:
    return lambda _: MOMENTS.map(lambda moment: moment.replace(tzinfo=None).isoformat(timespec=form) + "Z")


def _iso_times(_: Type) -> Values:
    return st.times().map(lambda time: time.isoformat() + "Z")


_Parts = dict[str, Any]


def _structured(*makers: Callable[[datetime], _Parts]) -> Callable[[Type], Values]:
    def write(moment: datetime) -> _Parts:
        written: _Parts = {}
        for make in makers:
            written |= make(moment)
        return written

    def strategy(type_: Type) -> Values:
        names = [field.name for field in type_.fields]
        return MOMENTS.map(write).map(lambda parts: {name: parts.get(name) for name in names})

    return strategy


def _date_parts(moment: datetime) -> _Parts:
    return {"year": moment.year, "month": moment.month, "day": moment.day, "specialValue": None}


def _clock_parts(moment: datetime) -> _Parts:
    nanos = moment.microsecond * 1_000
    return {"hour": moment.hour, "minute": moment.minute, "second": moment.second, "nanos": nanos, "precision": 6}


def _zone_parts(_: datetime) -> _Parts:
    return {"offsetSeconds": 0, "zoneId": "Z"}


def _durations(type_: Type) -> Values:
    return st.integers(-100, 100).map(lambda number: {field.name: number for field in type_.fields})


_COORDINATES = st.floats(-180, 180)
_TIME = "io.debezium.time."
_CONNECT = "org.apache.kafka.connect.data."

_NAMED: dict[str, Callable[[Type], Values]] = {
    f"{_CONNECT}Decimal": _decimals,
    "io.debezium.data.VariableScaleDecimal": _variable_decimals,
    "io.debezium.data.Uuid": lambda _: st.uuids().map(str),
    "io.debezium.data.Json": lambda _: st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3).map(json.dumps),
    "io.debezium.data.Xml": lambda _: st.just("<a/>"),
    "io.debezium.data.Bits": _bits,
    "io.debezium.data.Enum": lambda _: st.sampled_from(LABELS),
    "io.debezium.data.geometry.Point": lambda _: st.builds(point, _COORDINATES, _COORDINATES),
    "io.debezium.data.geometry.Geometry": lambda _: st.just({"wkb": "AQcAAAAAAAAA", "srid": None, "extensions": None}),
    "io.debezium.data.geometry.Circle": lambda _: st.builds(
        lambda x, y: {"center": point(x, y), "radius": x}, _COORDINATES, _COORDINATES
    ),
    f"{_TIME}Date": _days,
    f"{_CONNECT}Date": _days,
    f"{_TIME}IsoDate": lambda _: DATES.map(lambda day: f"{day.isoformat()}Z"),
    f"{_TIME}StructuredDate": _structured(_date_parts),
    f"{_TIME}Time": _of_day(1_000),
    f"{_CONNECT}Time": _of_day(1_000),
    f"{_TIME}MicroTime": _of_day(1_000_000),
    f"{_TIME}NanoTime": _of_day(1_000_000_000),
    f"{_TIME}IsoTime": _iso_times,
    f"{_TIME}ZonedTime": _iso_times,
    f"{_TIME}StructuredTime": _structured(_clock_parts),
    f"{_TIME}StructuredZonedTime": _structured(_clock_parts, _zone_parts),
    f"{_TIME}Timestamp": _since_epoch(microseconds=1_000),
    f"{_CONNECT}Timestamp": _since_epoch(microseconds=1_000),
    f"{_TIME}MicroTimestamp": _since_epoch(),
    f"{_TIME}NanoTimestamp": _nanos,
    f"{_TIME}IsoTimestamp": _iso_moments("auto"),
    f"{_TIME}ZonedTimestamp": _iso_moments("microseconds"),
    f"{_TIME}StructuredTimestamp": _structured(_date_parts, _clock_parts),
    f"{_TIME}StructuredZonedTimestamp": _structured(_date_parts, _clock_parts, _zone_parts),
    f"{_TIME}MicroDuration": _integers(64),
    f"{_TIME}Interval": lambda _: st.integers(0, 99).map(lambda days: f"P0Y0M{days}DT0H0M0S"),
    f"{_TIME}StructuredDuration": _durations,
}
_BARE: dict[str, Callable[[Type], Values]] = {
    "boolean": lambda _: st.booleans(),
    "int16": _integers(16),
    "int32": _integers(32),
    "int64": _integers(64),
    "float": lambda _: st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": lambda _: st.floats(allow_nan=False, allow_infinity=False),
    "string": lambda _: st.one_of(st.text(max_size=40), decimal_texts(), DATES.map(date.isoformat)),
    "bytes": _base64,
    "array": lambda type_: st.lists(values(_items(type_)), max_size=3),
    "map": lambda _: st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(max_size=5)), max_size=3),
}


def _items(type_: Type) -> Type:
    assert type_.items is not None
    return type_.items


def by_kind(*kinds: Kind) -> dict[str, Type]:
    """The types of these kinds."""
    return {name: type_ for name, type_ in TYPES.items() if kind_of(type_) in kinds}
