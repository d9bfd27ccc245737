"""When the policy in use may mask, by a clock of the test's own."""

from __future__ import annotations

import asyncio

from cdc_masker.kafka.gate import REASONS, Gate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def gate(limit: float = 10) -> tuple[Gate, Clock]:
    clock = Clock()
    return Gate(limit, clock=clock), clock


def test_without_word_from_the_catalog_it_closes_by_itself() -> None:
    one, clock = gate()
    clock.now = 109.9
    assert one.closed is None
    clock.now = 110
    assert one.closed == "stale"


def test_an_answer_holds_from_the_time_of_the_question() -> None:
    one, clock = gate()
    asked = one.now()
    clock.now = 108
    one.confirm(asked)
    clock.now = 110
    assert one.closed == "stale"
    one.confirm(one.now())
    clock.now = 119.9
    assert one.closed is None


def test_a_catalog_that_does_not_verify_closes_it_until_it_does() -> None:
    one, clock = gate()
    one.refuse()
    assert one.closed == "catalog"
    clock.now = 200
    assert one.closed == "catalog"
    one.confirm(one.now())
    assert one.closed is None


async def test_who_waits_goes_on_when_it_opens() -> None:
    one, clock = gate()
    await asyncio.wait_for(one.opened(), 1)
    one.refuse()
    waiting = asyncio.ensure_future(one.opened())
    await asyncio.sleep(0)
    one.confirm(clock.now - 50)  # an answer that is too old by now
    await asyncio.sleep(0)
    assert not waiting.done()
    one.confirm(clock.now)
    await asyncio.wait_for(waiting, 1)


def test_each_reason_has_words() -> None:
    one, clock = gate()
    clock.now = 200
    assert one.closed in REASONS
    one.refuse()
    assert one.closed in REASONS
