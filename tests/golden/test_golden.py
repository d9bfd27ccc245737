"""The example captures, masked, byte by byte."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.golden.cases import CASES, Case, masked


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_masks_the_capture_as_reviewed(case: Case) -> None:
    assert masked(case).splitlines() == case.golden.read_bytes().splitlines()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_raw_value_of_a_masked_column_is_in_the_golden_file(case: Case) -> None:
    """The golden files themselves are held to the promise, so that a wrong one can't be reviewed in."""
    kept = {
        "customers": {"id", "balance", "tier", "created_at", "updated_at", "active", "score"},
        "orders": {"id", "total", "placed"},
        "sessions": {"started"},
    }
    if not case.with_policy:
        kept = {}
    raw = Counter[str]()
    with case.capture.open("rb") as lines:
        for line in lines:
            value = json.loads(json.loads(line)["value"] or "{}")
            payload = value.get("payload", value)
            table = payload.get("source", {}).get("table")
            for image in (payload.get("before"), payload.get("after")):
                for column, content in (image or {}).items():
                    if column not in kept.get(table, set()) and isinstance(content, str) and len(content) > 7:
                        raw[content] += 1
    raw.pop("__debezium_unavailable_value", None)
    output = case.golden.read_text()
    assert len(raw) > 100
    # Once as a value in a line, and once more as a JSON text within that.
    escaped = {content: json.dumps(json.dumps(content)[1:-1])[1:-1] for content in raw}
    assert [content for content in raw if content in output or escaped[content] in output] == []
