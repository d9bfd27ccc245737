"""All lanes share the audit topic, so an open transaction of one hides what others committed behind it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.kit import Deployment, Worker, until
from tests.integration.transactions import open_transaction

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]


def test_what_is_hidden_counts_as_lag(deploy: Deploy) -> None:
    deployment = deploy(batch_records="10", audit_lag_limit="20")
    deployment.create(deployment.topic)
    worker = mask(deployment, deployment.start(), 100)
    with open_transaction(deployment):
        deployment.produce(2000, first=100)
        until(lambda: worker.page("ready")[0] == 503, 30, worker.log.read_text)
        assert worker.metric("cdc_masker_audit_lag") > 20
        assert len(deployment.masked()) < 2100
    until(lambda: len(deployment.masked()) == 2100, 60, worker.log.read_text)


def test_verifying_waits_for_what_is_hidden(deploy: Deploy) -> None:
    deployment = deploy(batch_records="20")
    deployment.create(deployment.topic)
    worker = mask(deployment, deployment.start(), 100)
    with open_transaction(deployment):
        mask(deployment, worker, 300)
        code, _, told = deployment.run("audit", "verify", "--wait", "0")
        assert code == 2
        assert "is not settled yet" in told
    code, told, _ = deployment.run("audit", "verify")
    assert code == 0, told


def mask(deployment: Deployment, worker: Worker, count: int) -> Worker:
    """Has so many records masked in all."""
    there = deployment.end_offsets(deployment.topic)[0]
    deployment.produce(count - there, first=there)
    until(lambda: len(deployment.masked()) == count, 60, worker.log.read_text, every=0.3)
    return worker
