"""A worker stops when the egress guard finds too much, and not for a single record."""

from __future__ import annotations

import pytest

from cdc_masker.batches import MaskedBatch, gathered
from cdc_masker.errors import PolicyError, Reason
from cdc_masker.events import Fate, Outcome
from cdc_masker.kafka.alarm import GuardAlarm


def batch(records: int, findings: int) -> MaskedBatch:
    fine = Outcome(Fate.MASKED, "t", 0, 0, 0, target="masked.t")
    found = Outcome(Fate.QUARANTINED, "t", 0, 0, 0, reason=Reason.EGRESS_GUARD, place="after.email")
    return gathered([found] * findings + [fine] * (records - findings))


def test_one_finding_in_a_small_batch_is_borne() -> None:
    GuardAlarm(0.01).look(batch(1, 1))


def test_a_share_past_the_limit_stops_the_worker() -> None:
    alarm = GuardAlarm(0.01)
    alarm.look(batch(2000, 20))
    with pytest.raises(PolicyError, match="21 of the last 2001"):
        alarm.look(batch(1, 1))


def test_what_was_long_ago_does_not_hide_what_is_now() -> None:
    alarm = GuardAlarm(0.01)
    alarm.look(batch(1_000_000, 0))
    with pytest.raises(PolicyError, match="egress guard"):
        alarm.look(batch(100, 100))


def test_a_limit_of_nothing_bears_nothing() -> None:
    with pytest.raises(PolicyError):
        GuardAlarm(0).look(batch(5000, 1))
