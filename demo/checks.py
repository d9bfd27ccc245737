"""The demo checks itself: each promise that it shows is computed anew from what lies in Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cdc_masker.events import Record
from demo.records import Coordinates, origin
from demo.shop import KEPT

__all__ = ["Failure", "joined_rows", "one_outcome_each", "raw_values_gone"]

_SHORTEST = 4


class Failure(Exception):
    """A promise that did not hold; the text says which."""


def one_outcome_each(raw: Sequence[Record], masked: Iterable[Record], quarantined: Iterable[Coordinates], prefix: str) -> int:
    """Raises `Failure` unless each raw record has exactly one outcome; gives their number."""
    outcomes = Counter([origin(record, prefix) for record in masked])
    outcomes.update(list(quarantined))
    for record in raw:
        count = outcomes[record.topic, record.partition, record.offset]
        if count != 1:
            raise Failure(f"{record.topic} partition {record.partition} offset {record.offset} has {count} outcomes, not one")
    return len(raw)


def raw_values_gone(raw: Iterable[Record], sinks: Mapping[str, bytes]) -> int:
    """Raises `Failure` when a value of a column that is not kept stands in a sink; gives the number of values searched."""
    kept, needles = set[str](), set[str]()
    for record in raw:
        table = record.topic.rpartition(".")[2]
        if table not in KEPT:
            continue
        for row in (_object(record.key), *(_object(record.value).get(image) or {} for image in ("before", "after"))):
            for column, value in row.items():
                (kept if column in KEPT[table] else needles).update(_texts(value))
    needles = {needle for needle in needles - kept if len(needle) >= _SHORTEST}
    for place, content in sinks.items():
        for needle in needles:
            if needle.encode() in content or json.dumps(needle)[1:-1].encode() in content:
                raise Failure(f"a raw value of a masked column was found in {place}")
    return len(needles)


def joined_rows(records: Iterable[Record]) -> int:
    """The rows of customers joined with orders on the e-mail address, in the state that the records lead to."""
    tables: dict[str, dict[bytes | None, dict[str, Any]]] = {"customers": {}, "orders": {}}
    for record in records:
        table = tables.get(record.topic.rpartition(".")[2])
        event = _object(record.value)
        if table is None or "op" not in event:
            continue
        if event["after"] is None:
            table.pop(record.key, None)
        else:
            table[record.key] = event["after"]
    emails = Counter(row["email"] for row in tables["customers"].values())
    return sum(emails[row["customer_email"]] for row in tables["orders"].values())


def _object(text: bytes | None) -> dict[str, Any]:
    try:
        parsed = json.loads(text or b"{}")
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    payload = parsed.get("payload", parsed)  # beside an embedded schema, if there is one
    return payload if isinstance(payload, dict) else {}


def _texts(value: Any) -> list[str]:
    """The strings in a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []
