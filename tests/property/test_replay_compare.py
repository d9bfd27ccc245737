"""Comparing finds each single part that was changed, and names no value, whatever the event and the policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdc_masker.audit.records import read_origin
from cdc_masker.events import Outcome, Record
from cdc_masker.evidence import PROGRAM
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.replay.causes import Causes, Made, Why
from cdc_masker.replay.differing import Answer, Comparison
from tests.property.events import Case, cases
from tests.unit.building import KEYS

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

PLANTED = "Kanarie-planted"


def compared(case: Case, there: Outcome, anew: Outcome, policy: Policy) -> Answer:
    """What is told of the two, one masked under the case's policy."""
    one = read_origin(Record(there.topic, 0, 0, there.timestamp, there.key, there.value, there.headers))
    assert one is not None
    comparison = Comparison()
    causes = Causes(Made(case.policy, case.policy), Made(policy, policy))
    comparison.add(case.record, one, anew, causes, PROGRAM)
    answer = comparison.answer({})
    told = json.dumps([repr(answer), msgspec.json.encode(answer).decode()], ensure_ascii=False)
    assert "Kanarie" not in told
    return answer


@many
@given(cases(), st.data())
def test_each_column_that_somebody_changed_is_named_and_not_explained(case: Case, data: st.DataObject) -> None:
    outcome = Masker(case.policy, KEYS).mask(case.record)
    parts = [("key", "key"), *(("column", place) for place in ("before", "after"))]
    texts = {"key": outcome.key, "before": outcome.value, "after": outcome.value}
    there = [(kind, place) for kind, place in parts if row(texts[place], place)]
    assume(there)
    kind, place = data.draw(st.sampled_from(there))
    name = data.draw(st.sampled_from(sorted(row(texts[place], place))))
    changed = edited(texts[place] or b"", place, name)
    forged = replace(outcome, key=changed) if kind == "key" else replace(outcome, value=changed)
    answer = compared(case, forged, outcome, case.policy)
    assert [(each.kind, each.name, each.why) for each in answer.differences] == [(kind, name, Why.UNKNOWN)]
    assert compared(case, outcome, outcome, case.policy).differences == ()


@many
@given(cases(), st.data())
def test_each_column_that_is_decided_otherwise_is_told_with_its_rule_and_no_other(case: Case, data: st.DataObject) -> None:
    assume(case.policy.rules)
    changed = data.draw(st.sampled_from(case.policy.rules))
    method = "keep" if changed.method != "keep" else "redact"
    other = msgspec.structs.replace(changed, method=method, params={})
    rules = [other if rule is changed else rule for rule in case.policy.rules]
    policy = Policy.of(2, rules=rules, headers=case.policy.headers)
    answer = compared(case, Masker(case.policy, KEYS).mask(case.record), Masker(policy, KEYS).mask(case.record), policy)
    assert {(each.name, each.why) for each in answer.differences} <= {(changed.column, Why.METHOD)}
    assert answer.same == (not answer.differences)


def row(text: bytes | None, place: str) -> dict[str, Any]:
    """The columns of a key or an image."""
    if text is None:
        return {}
    found = json.loads(text)
    found = found["payload"] if "payload" in found and "schema" in found else found
    return found if place == "key" else found[place] or {}


def edited(text: bytes, place: str, name: str) -> bytes:
    """The same with another value in one column."""
    whole = json.loads(text)
    inner = whole["payload"] if "payload" in whole and "schema" in whole else whole
    (inner if place == "key" else inner[place])[name] = PLANTED
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
