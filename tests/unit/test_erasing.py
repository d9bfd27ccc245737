"""The way of an erasure, without servers: it waits for workers, takes the ends last, and is gone through again when cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from uuid import uuid4

import pytest

from cdc_masker.errors import TransientError
from cdc_masker.kafka import erasing
from cdc_masker.subjects import Asked, Log, SubjectName
from cdc_masker.testing import MemoryReceipts, MemorySubjects

ANN, BOB = SubjectName("people", b"a" * 32), SubjectName("people", b"b" * 32)
LOG = Log("raw", "id", 0)
LONG = 600.0


async def run(
    store: MemorySubjects,
    ends: Callable[[], Awaitable[Mapping[Log, int]]],
    *,
    within: float = 30.0,
    tell: Callable[[str], None] = lambda told: None,
) -> list[int]:
    return await erasing.erase(store, [ANN], "asked for", ends=ends, within=within, tell=tell)


async def ten() -> Mapping[Log, int]:
    return {LOG: 10}


@pytest.fixture
async def store() -> MemorySubjects:
    made = MemorySubjects(MemoryReceipts())
    await made.look_up([Asked(ANN, 1, b"1")], LOG, 1)
    return made


async def test_the_ends_are_taken_when_all_workers_have_acknowledged(store: MemorySubjects) -> None:
    worker = uuid4()
    knows = (await store.here(worker, "slow", None, LONG)).newest
    taken: list[int] = []

    async def ends() -> Mapping[Log, int]:
        taken.append(len(await store.awaited(1)))
        return {LOG: 10}

    waits = asyncio.Event()

    def tell(told: str) -> None:
        if "waits for slow" in told:
            waits.set()

    erased = asyncio.ensure_future(run(store, ends, tell=tell))
    await waits.wait()
    assert taken == []
    news = await store.here(worker, "slow", knows, LONG)
    await store.here(worker, "slow", news.newest, LONG)
    assert await erased == [1]
    assert taken == [0]
    assert not await store.has_keys([ANN])


async def test_a_worker_that_comes_back_while_the_ends_are_taken_is_waited_for(store: MemorySubjects) -> None:
    worker = uuid4()
    await store.here(worker, "given up", None, 0.0)
    calls = 0

    async def ends() -> Mapping[Log, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await store.here(worker, "given up", 0, LONG)  # it is back, and has not acknowledged
            asyncio.get_running_loop().call_later(0.1, lambda: acknowledging.append(asyncio.ensure_future(acknowledge())))
        return {LOG: 10 * calls}

    async def acknowledge() -> None:
        await store.here(worker, "given up", 1, LONG)

    acknowledging: list[asyncio.Future[None]] = []
    await run(store, ends)
    (standing,) = await store.look_up([Asked(ANN, 1, b"2")], LOG, 30)
    assert standing.erased == {LOG: 20}


async def test_what_was_begun_before_is_waited_for_like_what_is_new(store: MemorySubjects) -> None:
    worker = uuid4()
    await store.here(worker, "host:1", None, LONG)
    assert await store.begin([ANN], "asked for") == [1]
    await store.here(worker, "host:1", 1, LONG)
    told: list[str] = []
    with pytest.raises(TransientError, match="waiting for host:1"):
        await erasing.erase(store, [ANN, BOB], "both", ends=ten, within=0.0, tell=told.append)
    assert "erasure 1, 2 has begun" in told
    assert [one.worker for one in await store.awaited(2)] == ["host:1"]
    await store.here(worker, "host:1", 2, LONG)
    assert await erasing.erase(store, [ANN, BOB], "both", ends=ten, within=0.0, tell=told.append) == [1, 2]


async def test_who_is_waited_for_too_long_is_named_and_the_next_run_completes_the_same_erasure(store: MemorySubjects) -> None:
    worker = uuid4()
    await store.here(worker, "host:1", None, LONG)
    with pytest.raises(
        TransientError, match=r"erasure 1 is not complete: waiting for host:1 \(given up after .* run this again"
    ):
        await run(store, ten, within=0.0)
    assert (await store.look_up([Asked(ANN, 1, b"2")], LOG, 1))[0].erasing
    await store.leave(worker)
    assert await run(store, ten) == [1]


async def test_it_can_be_cut_off_at_each_step(store: MemorySubjects) -> None:
    async def away() -> Mapping[Log, int]:
        raise TransientError("Kafka is away")

    for _ in range(2):
        with pytest.raises(TransientError, match="Kafka is away"):
            await run(store, away)
    assert (await store.look_up([Asked(ANN, 1, b"2")], LOG, 12))[0].erasing
    assert await run(store, ten) == [1]
    assert (await store.look_up([Asked(ANN, 1, b"2")], LOG, 12))[0].erased == {LOG: 12}
