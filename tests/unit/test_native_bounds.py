"""What the compiled core keeps of what it learned is bounded in bytes, and a guard that it does not know is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cdc_masker.events import Record
from cdc_masker.guard import EgressGuard
from cdc_masker.pipeline import Masker
from cdc_masker.plans import Plans
from cdc_masker.policies import Policy
from tests.property.cores import Both
from tests.unit.building import KEYS, change, record, rule

POLICY = Policy.of(1, rules=[rule("id", "keep")])
LONG = "x" * 200_000
"""A hundred of these are more than the compiled core keeps."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often there was a question for the plan of a row, by the name of its last column."""
    found: Counter[str] = Counter()
    plain = Plans.plain

    def counting(self: Plans, table: Any, row: Any, *more: Any) -> Any:
        found[list(row)[-1]] += 1
        return plain(self, table, row, *more)

    monkeypatch.setattr(Plans, "plain", counting)
    return found


def row(name: str) -> Record:
    return record(change(after={"id": 7, name: "a text of some length"}), None)


@pytest.mark.parametrize("together", [True, False])
def test_long_names_count_for_what_is_kept(asked: Counter[str], together: bool) -> None:
    masker = Masker(POLICY, KEYS, native=True)
    records = [row("short"), row("short"), *(row(f"{number}{LONG}") for number in range(100)), row("short")]
    for batch in [records] if together else [[each] for each in records]:
        masker.mask_batch(batch)
    assert asked["short"] == 2, "once when it was new, once when all had been forgotten"


def test_columns_that_are_kept_dropped_and_masked_are_told_apart_by_their_order() -> None:
    policy = Policy.of(1, rules=[rule("id", "keep"), rule("gone", "drop"), rule("name", "redact"), rule("last", "keep")])
    images = {"id": 7, "gone": "a text that is dropped", "name": "a text that is redacted", "last": "a text that is kept"}
    raw = [record(change(after=images), None), record(change(after=dict(reversed(images.items()))), None)]
    both = Both(policy)
    both.mask(*raw)
    assert both.own(raw) == [True, True]


def test_a_guard_of_another_class_is_refused() -> None:
    class Stricter(EgressGuard):
        pass

    with pytest.raises(TypeError, match="native=False"):
        Masker(POLICY, KEYS, guard=Stricter(), native=True)
