"""What a worker does with keys of subjects: asks once, keeps them within bounds, and gives them up when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cdc_masker.batches import MaskedBatch
from cdc_masker.errors import KeyringError, SetupError, TransientError
from cdc_masker.events import Outcome, Record
from cdc_masker.kafka.presence import Presence
from cdc_masker.kafka.subjects import SubjectKeys, Unconfirmed
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Domain, Policy, Rule
from cdc_masker.settings import Settings, load
from cdc_masker.subjects import Asked, Log, News, Standing, SubjectCipher
from cdc_masker.testing import MemoryReceipts, MemorySubjects
from tests.unit.building import KEYS, TOPIC, change, payload, record

LOG = Log(TOPIC, "topic-id", 2)
POLICY = Policy.of(
    1,
    domains=[Domain(name="people", per_subject=True)],
    rules=[
        Rule(schema="crm", table="people", column="email", method="tokenize", params={"domain": "people", "subject": "id"}),
        Rule(schema="crm", table="people", column="id", method="keep"),
    ],
)
CIPHER = SubjectCipher(KEYS, "people", 1)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store(MemorySubjects):
    """The store in memory, which counts questions and may be away, or have something happen while it answers."""

    def __init__(self, clock: Clock) -> None:
        self.receipts = MemoryReceipts()
        super().__init__(self.receipts, clock)
        self._time = clock
        self.questions: list[int] = []
        self.away = 0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.slowness = 0
        self.refusals = 0

    async def look_up(self, asked: Sequence[Asked], log: Log, batch_end: int) -> list[Standing]:
        self.questions.append(len(asked))
        if self.away:
            self.away -= 1
            raise TransientError("away")
        answer = await super().look_up(asked, log, batch_end)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return answer

    async def here(self, worker: UUID, name: str, knows: int | None, seconds: float) -> News:
        self._time.now += self.slowness
        if self.refusals:
            self.refusals -= 1
            raise SetupError("refused")
        return await super().here(worker, name, knows, seconds)

    async def start_to_erase(self, subject: str) -> list[int]:
        return await self.begin([CIPHER.name(subject)], "asked for")


class World:
    """One worker with a clock and a store."""

    def __init__(self, settings: Settings) -> None:
        self.clock = Clock()
        self.store = Store(self.clock)
        self.settings = settings
        self.masker = Masker(POLICY, KEYS)
        self.subjects, self.presence = self.worker()

    def worker(self) -> tuple[SubjectKeys, Presence]:
        subjects = SubjectKeys(self.settings, self.store, KEYS, clock=self.clock)
        return subjects, Presence(self.settings, "worker", self.store, subjects, clock=self.clock)

    async def mask(self, *records: Record, end: int = 1000, subjects: SubjectKeys | None = None) -> MaskedBatch:
        with (subjects or self.subjects).batch(1, LOG, end) as batch:
            return await batch.mask(self.masker, records)

    async def erase(self, subject: str, end: int) -> None:
        numbers = await self.store.start_to_erase(subject)
        await self.presence.tell()
        assert await self.store.complete(numbers, {LOG: end})

    async def token(self, number: int | str, offset: int = 0) -> Any:
        (email,) = emails(await self.mask(person(number, offset)))
        return email


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    made = World(load(subject_lease=30.0, subject_cache=100))
    await made.presence.tell()
    return made


async def until(condition: Callable[[], bool]) -> None:
    """Lets the other tasks go on until that is so; they wait for nothing but each other."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the tasks came to rest before")


def person(number: int | str, offset: int = 0) -> Record:
    row = {"id": number, "email": "ann@example.org"}
    return record(change("c", after=row), offset=offset)


def emails(masked: MaskedBatch) -> list[Any]:
    return [payload(value)["after"]["email"] for _, _, value, _ in masked.rows]


def misfits(reason: str) -> dict[tuple[str, str, str], int]:
    """One record's."""
    return {("crm.people", "email", reason): 1}


async def test_new_subjects_of_a_batch_are_one_question_and_known_ones_none(world: World) -> None:
    first = await world.mask(*(person(number % 50, number) for number in range(200)))
    assert world.store.questions == [50]
    assert len(set(emails(first))) == 50
    again = await world.mask(*(person(number % 50, number) for number in range(200)))
    assert world.store.questions == [50]
    assert again == first


async def test_another_worker_masks_the_same(world: World) -> None:
    records = [person(number, number) for number in range(20)]
    other, presence = world.worker()
    await presence.tell()
    assert await world.mask(*records) == await world.mask(*records, subjects=other)


async def test_what_is_kept_is_bounded_and_a_large_batch_ends_all_the_same(world: World) -> None:
    await world.mask(*(person(number, number) for number in range(250)))
    assert world.store.questions == [250]
    await world.mask(*(person(number, number) for number in range(150, 250)))
    assert world.store.questions == [250]
    await world.mask(person(149))
    assert world.store.questions == [250, 1]


async def test_those_met_last_are_kept(world: World) -> None:
    await world.mask(*(person(number, number) for number in range(100)))
    await world.mask(person(0))
    await world.mask(person(100))
    await world.mask(person(0))
    assert world.store.questions == [100, 1]
    await world.mask(person(1))
    assert world.store.questions == [100, 1, 1]


async def test_a_catalog_that_is_away_is_waited_for(world: World) -> None:
    world.store.away = 2
    assert await world.token(1)
    assert world.store.questions == [1, 1, 1]


async def test_before_the_boundary_values_are_redacted_and_after_it_there_is_a_new_key(world: World) -> None:
    before, other = await world.token(1), await world.token(2)
    await world.erase("1", end=10)
    masked = await world.mask(person(1, 9), person(1, 10), person(2, 9))
    earlier, later, of_other = emails(masked)
    assert earlier is None
    assert masked.misfits == misfits("erased")
    assert later not in (None, before)
    assert of_other == other
    assert await world.token(1, 11) == later


async def test_who_does_not_come_again_after_an_erasure_gets_no_key(world: World) -> None:
    await world.token(1)
    await world.erase("1", end=10)
    assert await world.token(1, 9) is None
    assert not await world.store.has_keys([CIPHER.name("1")])


async def test_in_another_log_or_incarnation_the_boundary_does_not_count(world: World) -> None:
    await world.token(1)
    await world.erase("1", end=10)
    for log in (LOG._replace(partition=3), LOG._replace(incarnation="made anew"), LOG._replace(topic="other")):
        with world.subjects.batch(1, log, 20) as batch:
            masked = await batch.mask(world.masker, [person(1, 5)])
        assert masked.misfits == {}


async def test_who_is_being_erased_is_redacted_and_asked_for_with_each_batch(world: World) -> None:
    assert await world.token(1)
    numbers = await world.store.start_to_erase("1")
    assert await world.token(1)  # not heard of yet
    await world.presence.tell()
    questions = len(world.store.questions)
    for _ in range(3):
        assert await world.token(1, 20) is None
    assert len(world.store.questions) == questions + 3
    assert await world.store.complete(numbers, {})
    assert await world.token(1, 20) is None  # the batches that were redacted went to 1000
    assert await world.token(1, 1000)


async def test_masking_is_the_same_before_and_after_a_restart_for_all_that_is_not_erased(world: World) -> None:
    records = [person(number, number) for number in range(20)]
    before = await world.mask(*records, end=20)
    await world.erase("7", end=20)
    records += [person(7, 20)]
    after = await world.mask(*records)
    restarted, presence = world.worker()
    await presence.tell()
    assert await world.mask(*records, subjects=restarted) == after
    assert emails(after)[:20] == [None if n == 7 else email for n, email in enumerate(emails(before))]


async def test_a_batch_without_subjects_needs_no_word_from_the_catalog(world: World) -> None:
    with world.subjects.batch(1, LOG, 1) as batch:
        await batch.mask(world.masker, [record(change("c", after={"id": 1, "email": None}))])
        world.clock.now += 1000
        batch.confirm()


async def test_what_else_a_worker_does_gets_its_turn_while_a_long_batch_is_masked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ({"id": number % 4, "email": "ann@example.org", "photo": 20_000 * "A"} for number in range(30))
    records = [record(change("c", after=row)) for row in rows]
    with world.subjects.batch(1, LOG, 1000) as batch:
        expected = await batch.mask(world.masker, records)
        assert world.masker.mask_batch(records, batch) == expected
    turns, taken = [0], []
    mask = Masker._mask_each

    async def another() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    def slow(self: Masker, records: Sequence[Record], subjects: Any) -> list[Outcome | None]:
        taken.append(turns[0])
        time.sleep(0.06)
        return mask(self, records, subjects)

    monkeypatch.setattr(Masker, "_mask_each", slow)
    task = asyncio.create_task(another())
    assert await world.mask(*records) == expected
    task.cancel()
    assert len(set(taken)) == len(taken) == 8  # four rows take 64 KiB


async def test_a_batch_is_not_confirmed_once_the_lease_is_over(world: World) -> None:
    with world.subjects.batch(1, LOG, 1) as batch:
        await batch.mask(world.masker, [person(1)])
        world.clock.now += 29
        batch.confirm()
        world.clock.now += 1
        with pytest.raises(Unconfirmed, match="can't be confirmed"):
            batch.confirm()
    waiting = asyncio.ensure_future(world.subjects.sure())
    await asyncio.sleep(0)
    assert not waiting.done()
    await world.presence.tell()
    await asyncio.wait_for(waiting, 1)


async def test_the_lease_counts_from_before_the_question(world: World) -> None:
    world.clock.now += 100
    world.store.slowness = 40
    await world.presence.tell()
    assert not world.subjects.confirms
    world.store.slowness = 0
    await world.presence.tell()
    assert world.subjects.confirms


async def test_a_batch_with_a_key_that_is_erased_meanwhile_is_not_confirmed_and_not_acknowledged_while_it_lasts(
    world: World,
) -> None:
    with world.subjects.batch(1, LOG, 1) as holds, world.subjects.batch(1, LOG, 1) as holds_not:
        await holds.mask(world.masker, [person(1)])
        await holds_not.mask(world.masker, [person(2)])
        (number,) = await world.store.start_to_erase("1")
        telling = asyncio.ensure_future(world.presence.tell())
        await until(lambda: holds.stale)
        with pytest.raises(Unconfirmed):
            holds.confirm()
        holds_not.confirm()
        for _ in range(10):  # nothing but the batch keeps it from being acknowledged
            await asyncio.sleep(0)
        assert await world.store.awaited(number)
    await asyncio.wait_for(telling, 1)
    assert await world.store.awaited(number) == []


async def test_a_key_that_was_on_its_way_when_its_erasure_was_heard_of_is_not_used(world: World) -> None:
    assert await world.token(1)
    late, presence = world.worker()
    await presence.tell()

    async def erasing() -> None:
        await world.store.start_to_erase("1")
        await presence.tell()

    world.store.meanwhile = erasing
    assert (await world.mask(person(1), subjects=late)).misfits == misfits("erased")


async def test_a_worker_that_was_given_up_uses_nothing_old_when_it_is_back(world: World) -> None:
    before = await world.token(1)
    with world.subjects.batch(1, LOG, 1) as batch:
        await batch.mask(world.masker, [person(1)])
        numbers = await world.store.start_to_erase("1")
        assert not await world.store.complete(numbers, {LOG: 10})
        world.clock.now += 30 + world.settings.transaction_timeout + 14  # what it had begun to publish may still be committed
        assert not await world.store.complete(numbers, {LOG: 10})
        world.clock.now += 1
        assert await world.store.complete(numbers, {LOG: 10})
        with pytest.raises(Unconfirmed):
            batch.confirm()
        telling = asyncio.ensure_future(world.presence.tell())
        await until(lambda: world.subjects.confirms)
        with pytest.raises(Unconfirmed):
            batch.confirm()
    await telling
    assert await world.token(1, 10) not in (None, before)


async def test_who_is_woken_hears_of_an_erasure_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = World(load(subject_lease=6000.0))  # so it looks by itself in a thousand seconds
    await world.presence.tell()
    running = asyncio.ensure_future(world.presence.run())
    for _ in range(2):
        numbers = await world.store.start_to_erase("1")
        world.presence.wake()
        for _ in range(100):
            await asyncio.sleep(0)
        assert await world.store.complete(numbers, {LOG: 10})
    running.cancel()


async def test_a_catalog_that_refuses_for_a_while_does_not_end_a_worker(world: World) -> None:
    world.store.refusals = 2
    running = asyncio.ensure_future(world.presence.run())
    for left in (1, 0):
        world.presence.wake()
        await until(lambda: world.store.refusals == left)  # noqa: B023 - awaited here
    assert not running.done()
    running.cancel()


async def test_who_leaves_is_not_waited_for(world: World) -> None:
    await world.token(1)
    numbers = await world.store.start_to_erase("1")
    await world.presence.leave()
    assert await world.store.complete(numbers, {})


async def test_other_keys_than_those_of_the_catalog_are_refused(world: World) -> None:
    await world.token(1)
    asked = Asked(CIPHER.name("1"), 1, b"", False)
    stranger = SubjectKeys(world.settings, world.store, new_keyring(), clock=world.clock)
    with pytest.raises(KeyringError, match="not wrapped under this key of epoch 1"):
        await stranger.look_up([asked], LOG, 1)


async def test_no_key_and_no_subject_is_shown(world: World) -> None:
    with world.subjects.batch(1, LOG, 1) as batch:
        await batch.mask(world.masker, [person("canary-subject")])
        key = batch.key("people", "canary-subject", TOPIC, 2, 0)
        shown = repr(batch) + str(batch) + repr(world.subjects) + repr(world.subjects.recall(CIPHER.name("canary-subject"), 1))
    for secret in (repr(key)[2:-1], key.hex(), "canary-subject"):
        assert secret not in shown
