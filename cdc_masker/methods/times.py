"""Dates and times in each of Debezium's representations, read exactly and written back in the same one.

A moment is a number of nanoseconds since 1970-01-01T00:00, on the clock that the value was written by: a zone stays as it is
and moves nothing. A time of day counts from midnight. The forms are days, milli-, micro- and nanoseconds, ISO 8601 with or
without a zone, and structs; text and values of no type are read as ISO 8601 with a date. What comes out is rounded down to
what the form can say, and a text keeps its separator and its digits of a second.

Years are 1 to 9999. Whatever lies outside is `Unmaskable`, as it can't be told what it is: Debezium 3.7.0 writes infinity as
one of several dates, depending on where it read it, and BC dates of a snapshot without their BC (seen in all its modes).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from cdc_masker.kinds import Kind, kind_of
from cdc_masker.methods.base import Misfit, Unmaskable
from cdc_masker.schemas import Type

__all__ = ["DAY", "SECOND", "Change", "Rewriting", "day_of", "limits", "rewriting", "start_of"]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

Change = Callable[[int], int]
Rewriting = Callable[[Any, Change], Any]
"""From a JSON value, and what to do with the moment that it writes, to the JSON value that writes the new one."""

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST, _LAST = (date.min.toordinal() - _EPOCH) * DAY, (date.max.toordinal() - _EPOCH + 1) * DAY - 1
_INT64 = 1 << 63

_UNITS = {
    "org.apache.kafka.connect.data.Date": DAY,
    "org.apache.kafka.connect.data.Time": 1_000_000,
    "org.apache.kafka.connect.data.Timestamp": 1_000_000,
    "io.debezium.time.Date": DAY,
    "io.debezium.time.Time": 1_000_000,
    "io.debezium.time.Timestamp": 1_000_000,
    "io.debezium.time.MicroTime": 1_000,
    "io.debezium.time.MicroTimestamp": 1_000,
    "io.debezium.time.NanoTime": 1,
    "io.debezium.time.NanoTimestamp": 1,
}
_ZONE = r"Z|[+-]\d\d(?::?\d\d){0,2}"
_CLOCK = rf"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{{1,9}}))?)?({_ZONE})?"
_TEXT = re.compile(rf"(\d{{4}})-(\d\d)-(\d\d)(?:([T ]){_CLOCK}|({_ZONE}))?", re.ASCII)
_TIME_TEXT = re.compile(_CLOCK, re.ASCII)
_BEYOND = re.compile(r"-?infinity|[+-]\d{4,9}-.{1,40}|\d{5,9}-.{1,40}|\d{4}-.{1,40} BC", re.ASCII)


def rewriting(type_: Type | None, *, with_clock: bool = False) -> Rewriting:
    """The way to rewrite values of that type; of a type that holds none, each is `Unmaskable`.

    `with_clock`: so is a text that is a date without a time of day.
    """
    kind = Kind.TEXT if type_ is None else kind_of(type_)
    range_ = limits(type_)
    if type_ is not None and type_.name in _UNITS:
        return _counted(_UNITS[type_.name], range_)
    if type_ is not None and type_.base == "struct" and kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP):
        return _structured(frozenset(field.name for field in type_.fields), range_)
    if kind is Kind.TIME:
        return _time_text
    if kind in (Kind.TEXT, Kind.DATE, Kind.TIMESTAMP):
        return _text(with_clock)
    return _nothing


def limits(type_: Type | None) -> tuple[int, int]:
    """The first and the last moment of that type."""
    if type_ is not None and kind_of(type_) is Kind.TIME:
        return 0, DAY - 1
    if type_ is not None and type_.name == "io.debezium.time.NanoTimestamp":
        return 1 - _INT64, _INT64 - 2  # beyond are the infinities
    return _FIRST, _LAST


def day_of(moment: int) -> date:
    """The date of a moment."""
    return date.fromordinal(moment // DAY + _EPOCH)


def start_of(day: date) -> int:
    """The moment with which a day begins."""
    return (day.toordinal() - _EPOCH) * DAY


def _nothing(_value: Any, _change: Change) -> Any:
    raise Unmaskable


def _changed(moment: int, change: Change, range_: tuple[int, int]) -> int:
    first, last = range_
    if not first <= moment <= last:
        raise Unmaskable(Misfit.RANGE)
    moment = change(moment)
    if not first <= moment <= last:
        raise Unmaskable(Misfit.RANGE)
    return moment


def _counted(unit: int, range_: tuple[int, int]) -> Rewriting:
    def rewrite(value: Any, change: Change) -> int:
        if type(value) is not int:
            raise Unmaskable
        return _changed(value * unit, change, range_) // unit

    return rewrite


def _moment(year: int, month: int, day: int) -> int:
    try:
        return start_of(date(year, month, day))
    except (ValueError, OverflowError):
        raise Unmaskable(Misfit.FORMAT if 1 <= year <= 9999 else Misfit.RANGE) from None


def _clock(hour: int, minute: int, second: int, nanos: int) -> int:
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60 and 0 <= nanos < SECOND):
        raise Unmaskable(Misfit.FORMAT)
    return ((hour * 60 + minute) * 60 + second) * SECOND + nanos


def _read_clock(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    return _clock(int(hour), int(minute), int(second or 0), int((fraction or "").ljust(9, "0")))


def _written_clock(moment: int, second: str | None, fraction: str | None) -> str:
    """The time of day with what the original said: hours and minutes at least."""
    seconds, nanos = divmod(moment % DAY, SECOND)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    if second is not None:
        text += f":{seconds % 60:02}"
    if fraction is not None:
        text += "." + f"{nanos:09}"[: len(fraction)]
    return text


def _text(with_clock: bool) -> Rewriting:
    range_ = limits(None)

    def rewrite(value: Any, change: Change) -> str:
        if not isinstance(value, str):
            raise Unmaskable
        match = _TEXT.fullmatch(value)
        if match is None:
            raise Unmaskable(Misfit.RANGE if _BEYOND.fullmatch(value) else Misfit.FORMAT)
        year, month, day, separator, hour, minute, second, fraction, zone, date_zone = match.groups()
        moment = _moment(int(year), int(month), int(day))
        if separator is None:
            if with_clock:
                raise Unmaskable(Misfit.FORMAT)
            return day_of(_changed(moment, change, range_)).isoformat() + (date_zone or "")
        moment = _changed(moment + _read_clock(hour, minute, second, fraction), change, range_)
        return f"{day_of(moment).isoformat()}{separator}{_written_clock(moment, second, fraction)}{zone or ''}"

    return rewrite


def _time_text(value: Any, change: Change) -> str:
    if not isinstance(value, str):
        raise Unmaskable
    match = _TIME_TEXT.fullmatch(value)
    if match is None:
        raise Unmaskable(Misfit.FORMAT)
    hour, minute, second, fraction, zone = match.groups()
    moment = _changed(_read_clock(hour, minute, second, fraction), change, (0, DAY - 1))
    return _written_clock(moment, second, fraction) + (zone or "")


_DATE_PARTS, _CLOCK_PARTS = ("year", "month", "day"), ("hour", "minute", "second", "nanos")
_STRUCTURED_ZONE = re.compile(_ZONE, re.ASCII)


def _structured(fields: frozenset[str], range_: tuple[int, int]) -> Rewriting:
    dated, clocked = fields.issuperset(_DATE_PARTS), fields.issuperset(_CLOCK_PARTS)

    def rewrite(value: Any, change: Change) -> dict[str, Any]:
        if not isinstance(value, dict) or value.keys() != fields:
            raise Unmaskable
        if value.get("specialValue") is not None:  # one of the infinities
            raise Unmaskable(Misfit.RANGE)
        rest = _rest(value)
        moment = _moment(*_integers(value, _DATE_PARTS)) if dated else 0
        if clocked:
            moment += _clock(*_integers(value, _CLOCK_PARTS))
        moment = _changed(moment, change, range_)
        written = dict.fromkeys(value) | rest
        if dated:
            day = day_of(moment)
            written |= {"year": day.year, "month": day.month, "day": day.day}
        if clocked:
            seconds, nanos = divmod(moment % DAY, SECOND)
            written |= {"hour": seconds // 3600, "minute": seconds // 60 % 60, "second": seconds % 60}
            written["nanos"] = nanos - nanos % 10 ** (9 - rest.get("precision", 9))
        return written

    return rewrite


def _integers(value: dict[str, Any], names: tuple[str, ...]) -> list[int]:
    numbers = [value[name] for name in names]
    if any(type(number) is not int for number in numbers):
        raise Unmaskable
    return numbers


def _rest(value: dict[str, Any]) -> dict[str, Any]:
    """What a struct says beside the moment, as far as it is what it has to be: precision and zone."""
    rest = {name: value[name] for name in ("precision", "offsetSeconds", "zoneId") if value.get(name) is not None}
    for name, greatest in (("precision", 9), ("offsetSeconds", 18 * 3600)):
        number = rest.get(name, 0)
        if type(number) is not int or abs(number) > greatest:
            raise Unmaskable
    if not (isinstance(zone := rest.get("zoneId", "Z"), str) and _STRUCTURED_ZONE.fullmatch(zone)):
        raise Unmaskable(Misfit.FORMAT)
    return rest
