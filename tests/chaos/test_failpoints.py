"""A worker stops where it is armed to, and nowhere once nobody waits for it any more."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cdc_masker.kafka.steps import Step
from tests.chaos.worker import Failpoints


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What would have been sent to this thread."""
    sent: list[int] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda _, number: sent.append(number))
    return sent


def test_it_stops_when_the_step_was_reached_so_often(tmp_path: Path, stops: list[int]) -> None:
    failpoints = Failpoints(tmp_path)
    (tmp_path / "armed").write_text(f"{Step.FLUSHED} 2")
    for step in (Step.FLUSHED, Step.MASKED, Step.FLUSHED):
        assert not stops
        failpoints.reach(step)
    assert stops == [signal.SIGSTOP]
    assert not (tmp_path / "armed").exists()


def test_it_goes_on_when_it_was_disarmed_in_that_moment(
    tmp_path: Path, stops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    failpoints = Failpoints(tmp_path)
    read = Path.read_text

    def disarmed(path: Path) -> str:
        text = read(path)
        path.unlink()
        return text

    monkeypatch.setattr(Path, "read_text", disarmed)
    (tmp_path / "armed").write_text(f"{Step.FLUSHED} 1")
    failpoints.reach(Step.FLUSHED)
    assert not stops
