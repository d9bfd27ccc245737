"""A short run of chaos; `make chaos` does long ones."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cdc_masker.kafka.steps import Step
from tests.chaos.run import Plan, run, short

pytestmark = pytest.mark.stack


def test_whatever_dies_each_record_has_one_outcome_and_the_audit_proves_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "aiokafka")  # it complains about the broker that is killed
    report = run(Plan(faults=short), "for the suite", tmp_path, print)
    print(report.text())
    assert report.good, report.text()
    assert set(Step) - set(report.reached) <= {Step.ABORTED}, "a step is not told of any more"
