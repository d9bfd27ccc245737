"""What aiokafka's own task is told of what may be fetched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cdc_masker.kafka.intake import Intake
from cdc_masker.settings import load


def consumer(plan: tuple[Any, ...], *, held: int, closed: bool, **part: int) -> Any:
    """As much of aiokafka's consumer as an intake looks at."""
    records = SimpleNamespace(_partition_records=SimpleNamespace(_records=SimpleNamespace(size_in_bytes=lambda: held), **part))
    fetcher = SimpleNamespace(_get_actions_per_node=lambda _: plan, _records={"p": records}, _closed=closed)
    return SimpleNamespace(_fetcher=fetcher, _closed=closed, assignment=set, paused=set, pause=list, resume=list)


@pytest.mark.parametrize("closed", [False, True], ids=["runs", "stops"])
@pytest.mark.parametrize(("held", "fetches"), [(10, ["a fetch"]), (1000, [])])
def test_no_more_is_fetched_than_there_is_room_for(held: int, fetches: list[str], closed: bool) -> None:
    """While it stops, aiokafka's task asks, too: an exception would end the worker with an error."""
    ours = consumer((["a fetch"], "and", "more"), held=held, closed=False)
    intake = Intake(load(), ours)
    intake.fetch_for({"p"}, {"p"}, 100)
    ours._closed = ours._fetcher._closed = closed
    assert ours._fetcher._get_actions_per_node(None) == (fetches, "and", "more")


@pytest.mark.parametrize(("left", "fetches"), [(0, ["a fetch"]), (1, [])])
def test_what_is_kept_beside_the_bytes_of_small_records_takes_room(left: int, fetches: list[str]) -> None:
    ours = consumer((["a fetch"],), held=10, closed=False, left=left)
    Intake(load(), ours).fetch_for({"p"}, {"p"}, 100)
    assert ours._fetcher._get_actions_per_node(None) == (fetches,)


def test_a_broker_waits_for_less_long_while_a_partition_rests() -> None:
    """It is asked for one thing at a time: what is wanted next would wait for what there is nothing of."""
    ours = consumer(([],), held=0, closed=False)
    ours._fetcher._records = {}
    ours.assignment, ours.pause, ours.resume = (lambda: {"busy", "quiet"}), (lambda *_: None), (lambda *_: None)
    intake = Intake(load(), ours)

    def waits() -> int:
        ours._fetcher._get_actions_per_node(None)
        found: int = ours._fetcher._fetch_max_wait_ms
        return found

    both = {"busy", "quiet"}
    intake.fetch_for(both, both, 100)
    long = waits()
    intake.rest("busy")
    assert waits() < long
    intake.fetch_for(both, both, 100)
    assert waits() == long
    intake.fetch_for(both, {"quiet"}, 100)
    assert waits() < long
    intake.fetch_for({"quiet"}, {"quiet"}, 100)  # the other one is halted
    assert waits() == long
