"""One question for all who want an answer at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from cdc_masker.kafka.together import Together


class Server:
    """Doubles numbers, one question at a time, and remembers the questions. Each waits until it is let go."""

    def __init__(self) -> None:
        self.questions: list[list[int]] = []
        self.fails = False
        self.begun = asyncio.Event()
        self.answers = asyncio.Event()

    async def __call__(self, numbers: Collection[int]) -> dict[int, int]:
        self.questions.append(sorted(numbers))
        self.begun.set()
        await self.answers.wait()
        if self.fails:
            raise LookupError
        return {number: 2 * number for number in numbers}


async def test_who_asks_during_a_question_is_part_of_the_next() -> None:
    server = Server()
    together = Together(server)
    first = asyncio.create_task(together(1))
    await server.begun.wait()
    others = [asyncio.create_task(together(number)) for number in (2, 1, 3, 3)]
    await asyncio.sleep(0)
    server.answers.set()
    assert await asyncio.gather(first, *others) == [2, 4, 2, 6, 6]
    assert server.questions == [[1], [1, 2, 3]], "an answer is never older than the wish for it"
    assert await together(1) == 2
    assert server.questions[2:] == [[1]]


async def test_a_failure_is_told_to_all_who_asked_and_to_nobody_else() -> None:
    server = Server()
    together = Together(server)
    tasks = [asyncio.create_task(together(number)) for number in (1, 2, 2)]
    server.fails = True
    server.answers.set()
    for task in tasks:
        with pytest.raises(LookupError):
            await task
    server.fails = False
    assert await together(2) == 4


async def test_who_is_cancelled_leaves_the_others_their_answers() -> None:
    server = Server()
    together = Together(server)
    first = asyncio.create_task(together(1))
    await server.begun.wait()
    second = asyncio.create_task(together(1))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.answers.set()
    assert await second == 2
