"""A batch that was masked before the catalog fell silent is not committed after, on the real stack."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import Deployment, until

pytestmark = pytest.mark.stack

STALE_SECONDS = 2
STOPPING = """
import signal
import threading
from pathlib import Path

from cdc_masker import worker
from cdc_masker.kafka import steps


def reach(step):
    if step is steps.Step.FLUSHED and not Path("flushed").exists():
        Path("flushed").touch()
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    if step is steps.Step.ABORTED:
        Path("aborted").touch()


steps.reach = reach
worker.run("info")
"""
"""A worker that stops once, when all of a batch is with the brokers and only the commit is left."""


def test_what_was_masked_before_the_catalog_fell_silent_is_masked_anew(
    deploy: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = deploy(policy_stale_limit=str(STALE_SECONDS), session_timeout="30")
    (script := tmp_path / "stopping.py").write_text(STOPPING)
    deployment.create(deployment.topic)
    worker = deployment.ready(deployment.start(by=str(script)))
    deployment.produce(20)
    process = psutil.Process(worker.process.pid)
    until(lambda: process.status() == psutil.STATUS_STOPPED, 30, worker.log.read_text)
    since = time.monotonic()
    assert (deployment.home / "flushed").exists()
    assert not deployment.masked()

    deployment.release("null")
    until(lambda: time.monotonic() > since + STALE_SECONDS, 10, lambda: "time stands still")
    process.send_signal(signal.SIGCONT)
    until(lambda: deployment.audited() == 20, 60, worker.log.read_text)
    masked = deployment.masked()
    assert_exactly_once(masked, {0: 20})
    assert_covered(deployment.audit(), {0: 20})
    assert {each.policy for each in masked} == {2}
    assert (deployment.home / "aborted").exists()
    assert "policy version 1 can't be confirmed; it is masked again" in worker.log.read_text()
    assert worker.kill(signal.SIGTERM) == 0
