"""The egress guard and methods whose output is like their input: a date that is cut, a number in a bucket, the site of a URL.

What such a method shows may be what another column held. That is no leak, and no record is lost for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate
from cdc_masker.policies import Rule
from tests.unit.building import accepting, change, described, envelope_schema, masker, record, rule

_DAY, _LATER = "2024-05-06T00:00:00Z", "2024-05-06T10:11:12Z"
_MICROS, _MICROS_LATER = 1_714_953_600_000_000, 1_714_990_272_500_000
_HUNDRED, _MORE = {"scale": 0, "value": "ZA=="}, {"scale": 0, "value": "aQ=="}


def _both(method: str, **stated: Any) -> list[Rule]:
    return [rule("a", method, **stated), rule("b", method, **stated)]


@pytest.mark.parametrize(
    ("rules", "a", "b"),
    [
        (_both("date", type="timestamptz"), _DAY, _LATER),
        ([rule("a", "redact"), rule("b", "date", type="timestamptz")], _DAY, _LATER),
        (_both("date", type="timestamp"), _MICROS, _MICROS_LATER),
        ([rule("a", "redact"), rule("b", "date", type="timestamp")], _MICROS, _MICROS_LATER),
        (_both("year", type="timestamptz"), "2024-01-01T00:00:00Z", _LATER),
        (_both("bucket", type="numeric", size=100), _HUNDRED, _MORE),
        ([rule("a", "encrypt", type="numeric"), rule("b", "bucket", type="numeric", size=100)], _HUNDRED, _MORE),
        (_both("round", type="text", digits=-2), "1234567890123400", "1234567890123432"),
        (_both("url"), "https://shop.example.com", "https://shop.example.com/who?q=1"),
        (_both("truncate", length=20), "Twelve and a half", "Twelve and a half were here"),
    ],
    ids=lambda each: str(each)[:60] if not isinstance(each, list) else "-".join(rule.method for rule in each),
)
def test_what_such_a_method_shows_may_be_what_another_column_held(rules: list[Rule], a: Any, b: Any) -> None:
    assert masker(*rules).mask(record(change(after={"a": a, "b": b}))).fate is Fate.MASKED


def test_it_may_show_the_same_in_the_key() -> None:
    masking = masker(*accepting(rule("a", "date", type="timestamptz")))
    assert masking.mask(record(change(after={"a": _DAY}), {"a": _DAY})).fate is Fate.MASKED


def test_dates_of_one_row_may_become_each_other() -> None:
    """Thirty days lie between them, which is the shift of some subjects."""
    masking = masker(*_both("date_shift", type="timestamptz", subject="id", domain="d"))
    rows = ({"id": each, "a": "2024-05-06T10:11:12.5Z", "b": "2024-06-05T10:11:12.5Z"} for each in range(2000))
    outcomes = [masking.mask(record(change(after=row))) for row in rows]
    assert {outcome.fate for outcome in outcomes} == {Fate.MASKED}
    assert any(b'"a":"2024-06-05' in (outcome.value or b"") for outcome in outcomes)


def test_what_stands_for_a_value_that_cannot_be_masked_may_be_the_value() -> None:
    """Of the old row of a delete Debezium knows the key only: it writes the first day of 1970 for what may not be null."""
    epoch = {"year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "nanos": 0}
    fields = [{"type": "int32", "optional": False, "field": name} for name in epoch]
    fields += [
        {"type": kind, "optional": True, "field": name} for name, kind in (("specialValue", "string"), ("precision", "int32"))
    ]
    schema = {"type": "struct", "name": "io.debezium.time.StructuredTimestamp", "fields": fields}
    columns: dict[str, dict[str, Any]] = {"id": {"type": "int32"}, "a": schema, "b": schema}
    unknown = {**epoch, "specialValue": None, "precision": None}
    event = change("d", before={"id": 1, "a": unknown, "b": unknown})
    masking = masker(*_both("date_shift", type="timestamp", subject="id", domain="d"))
    assert masking.mask(record(described(envelope_schema(columns), event))).fate is Fate.MASKED


@pytest.mark.parametrize("method", ["truncate", "partial"])
def test_a_text_of_another_column_is_found_in_what_such_a_method_shows(method: str) -> None:
    shown = rule("b", method, length=40) if method == "truncate" else rule("b", method, first=40)
    row = {"a": "ann.okafor@shop.example", "b": "to ann.okafor@shop.example, who called again and again"}
    outcome = masker(rule("a", "redact"), shown).mask(record(change(after=row)))
    assert (outcome.reason, outcome.place) == (Reason.EGRESS_GUARD, "after.a")
