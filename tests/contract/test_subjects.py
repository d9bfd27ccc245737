"""The contract of the stores of subjects' keys and of receipts, held against PostgreSQL and the ones in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.ports import ErasureStore, ReceiptStore, SubjectStore
from cdc_masker.settings import load
from cdc_masker.stack import Database
from cdc_masker.subjects import Asked, Held, Log, Standing, SubjectName
from cdc_masker.testing import MemoryReceipts, MemorySubjects

LOG = Log("shop.crm.customers", "topic-id", 0)
ANN, BOB = SubjectName("people", b"a" * 32), SubjectName("people", b"b" * 32)
LONG = 600.0


@dataclass(frozen=True)
class Stores:
    subjects: SubjectStore
    erasures: ErasureStore
    receipts: ReceiptStore

    async def ask(self, *asked: Asked, log: Log = LOG, batch_end: int = 1) -> list[Standing]:
        return await self.subjects.look_up(asked, log, batch_end)

    async def erase(self, *names: SubjectName, ends: dict[Log, int] | None = None) -> None:
        numbers = await self.erasures.begin(names, "asked for")
        assert await self.erasures.complete(numbers, ends or {})


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        receipts = MemoryReceipts()
        both = MemorySubjects(receipts)
        yield Stores(both, both, receipts)
        return
    make: Callable[[str], Database] = request.getfixturevalue("fresh_database")
    settings = load(database_url=make("subjects").dsn, database_ssl="disable")
    await asyncio.to_thread(commands.upgrade, settings)
    async with open_catalog(settings) as opened:
        yield Stores(opened.subjects, opened.erasures, opened.receipts)


def new(name: SubjectName, candidate: bytes, *, epoch: int = 1, renew: bool = False) -> Asked:
    return Asked(name, epoch, candidate, renew)


async def test_the_first_candidate_is_the_key_from_then_on(stores: Stores) -> None:
    assert await stores.ask() == []
    assert await stores.ask(new(ANN, b"1"), new(BOB, b"2")) == [Standing(b"1"), Standing(b"2")]
    assert await stores.ask(new(BOB, b"3"), new(ANN, b"4")) == [Standing(b"2"), Standing(b"1")]


async def test_each_domain_and_epoch_has_keys_of_its_own(stores: Stores) -> None:
    elsewhere = SubjectName("patients", ANN.digest)
    asked = [new(ANN, b"1"), new(elsewhere, b"2"), new(ANN, b"3", epoch=2)]
    assert await stores.ask(*asked) == [Standing(b"1"), Standing(b"2"), Standing(b"3")]
    assert await stores.erasures.domains() == ["patients", "people"]
    sample = await stores.erasures.sample("patients")
    assert sample == Held(elsewhere, 1, b"2")
    assert await stores.erasures.sample("nobody") is None
    assert await stores.erasures.find(ANN, 2) == Held(ANN, 2, b"3")
    assert await stores.erasures.find(ANN, 3) is None


async def test_workers_that_ask_at_once_agree(stores: Stores) -> None:
    names = [SubjectName("people", bytes([number]) * 32) for number in range(50)]
    asked = [[new(name, bytes([worker])) for name in (names if worker % 2 else reversed(names))] for worker in range(4)]
    answers = await asyncio.gather(*(stores.ask(*each) for each in asked))
    found = [answer if worker % 2 else answer[::-1] for worker, answer in enumerate(answers)]
    assert found == [found[0]] * 4


async def test_a_large_batch_of_new_subjects_is_one_question(stores: Stores) -> None:
    names = [SubjectName("people", number.to_bytes(32, "big")) for number in range(5000)]
    answers = await stores.ask(*(new(name, name.digest) for name in names))
    assert [answer.wrapped for answer in answers] == [name.digest for name in names]


async def test_who_is_being_erased_has_no_key_and_others_keep_theirs(stores: Stores) -> None:
    await stores.ask(new(ANN, b"1"), new(BOB, b"2"))
    (number,) = await stores.erasures.begin([ANN], "asked for")
    assert await stores.ask(new(ANN, b"3", renew=True), new(BOB, b"4")) == [Standing(None, erasing=True), Standing(b"2")]
    assert (await stores.erasures.has_keys([ANN]), await stores.erasures.was_erased([ANN])) == (True, False)
    assert await stores.erasures.begin([ANN], "again") == [number]
    assert len(await stores.erasures.begin([ANN, BOB], "both")) == 2


async def test_after_an_erasure_there_is_a_boundary_and_a_new_key_for_who_asks(stores: Stores) -> None:
    await stores.ask(new(ANN, b"1"), new(BOB, b"2"), new(ANN, b"1", epoch=2))
    other = Log("shop.crm.orders", "other-id", 3)
    ends = {LOG: 10, other: 5}
    assert (await stores.erasures.has_keys([ANN]), await stores.erasures.was_erased([ANN])) == (True, False)
    await stores.erase(ANN, ends=ends)
    assert (await stores.erasures.has_keys([ANN]), await stores.erasures.was_erased([BOB, ANN])) == (False, True)
    assert (await stores.erasures.has_keys([BOB, ANN]), await stores.erasures.was_erased([BOB])) == (True, False)
    assert await stores.ask(new(ANN, b"3"), new(BOB, b"4")) == [Standing(None, ends), Standing(b"2")]
    assert await stores.ask(new(ANN, b"5", renew=True)) == [Standing(b"5", ends)]
    assert await stores.ask(new(ANN, b"6"), new(ANN, b"7", epoch=2)) == [Standing(b"5", ends), Standing(None, ends)]

    await stores.erase(ANN, ends={LOG: 20})
    assert await stores.ask(new(ANN, b"8")) == [Standing(None, {LOG: 20, other: 5})]


async def test_no_key_is_made_while_an_erasure_goes_on(stores: Stores) -> None:
    await stores.erase(ANN)
    await stores.erasures.begin([ANN], "again")
    for renew in (False, True):
        assert (await stores.ask(new(ANN, b"1", renew=renew)))[0].erasing
        assert await stores.erasures.find(ANN, 1) is None


async def test_an_erasure_covers_what_was_redacted_while_it_went_on(stores: Stores) -> None:
    await stores.ask(new(ANN, b"1"))
    numbers = await stores.erasures.begin([ANN], "asked for")
    behind, before = Log("behind", "id", 0), Log("before", "id", 0)
    for log, end in ((behind, 12), (behind, 15), (behind, 13), (before, 5)):
        await stores.ask(new(ANN, b"2"), log=log, batch_end=end)
    assert await stores.erasures.complete(numbers, {behind: 10, before: 10})
    assert await stores.ask(new(ANN, b"3")) == [Standing(None, {behind: 15, before: 10})]


async def test_an_erasure_waits_for_each_worker_that_is_here(stores: Stores) -> None:
    first, second, gone = uuid4(), uuid4(), uuid4()
    await stores.ask(new(ANN, b"1"))
    for worker, name, seconds in ((first, "first", LONG), (second, "second", LONG), (gone, "gone", 0.0)):
        assert (await stores.subjects.here(worker, name, None, seconds)).names == ()
    numbers = await stores.erasures.begin([ANN], "asked for")
    newest = max(numbers)
    assert [one.worker for one in await stores.erasures.awaited(newest)] == ["first", "second"]
    assert not await stores.erasures.complete(numbers, {})

    news = await stores.subjects.here(first, "first", newest - 1, LONG)
    assert (news.newest, news.names) == (newest, (ANN,))
    assert (await stores.subjects.here(first, "first", newest, LONG)).names == ()
    (awaited,) = await stores.erasures.awaited(newest)
    assert awaited.worker == "second"
    assert 0 < awaited.seconds <= LONG
    assert not await stores.erasures.complete(numbers, {})
    assert (await stores.ask(new(ANN, b"2")))[0].erasing

    await stores.subjects.leave(second)
    assert await stores.erasures.awaited(newest) == []
    assert await stores.erasures.complete(numbers, {})


async def test_a_worker_that_was_given_up_hears_of_the_erasure_when_it_is_back(stores: Stores) -> None:
    worker: UUID = uuid4()
    await stores.ask(new(ANN, b"1"))
    began = await stores.subjects.here(worker, "away", None, 0.0)
    await stores.erase(ANN)
    assert (await stores.subjects.here(worker, "away", began.newest, LONG)).names == (ANN,)
    started_later = await stores.subjects.here(uuid4(), "new", None, LONG)
    assert (started_later.newest, started_later.names) == (began.newest + 1, ())


async def test_completing_twice_writes_one_receipt(stores: Stores) -> None:
    patients = SubjectName("patients", ANN.digest)
    await stores.ask(new(ANN, b"1"), new(ANN, b"1", epoch=2))
    numbers = await stores.erasures.begin([ANN, patients], "ticket 7")
    assert await stores.erasures.complete(numbers, {LOG: 10})
    assert await stores.erasures.complete(numbers, {LOG: 99})
    receipts = await stores.receipts.newest(10)
    assert [(receipt.kind, receipt.about, receipt.subject) for receipt in receipts] == [
        ("erase", "people", ANN.digest),
        ("erase", "patients", ANN.digest),
    ]
    assert receipts[0].reason == "ticket 7"
    assert receipts[0].detail["key_epochs"] == [1, 2]
    assert receipts[0].detail["erased_before"] == [[*LOG, 10]]
    assert await stores.ask(new(ANN, b"3")) == [Standing(None, {LOG: 10})]


async def test_receipts_are_told_newest_first(stores: Stores) -> None:
    first = await stores.receipts.write("reveal", "rule crm.people.email", "a court asked", {"token": "t"})
    second = await stores.receipts.write("destroy_key", "k-1", "it leaked", {})
    assert [receipt.id for receipt in await stores.receipts.newest(10)] == [second, first]
    assert [receipt.id for receipt in await stores.receipts.newest(1)] == [second]
    (revealed,) = await stores.receipts.newest(10, "reveal")
    assert (revealed.about, revealed.subject, revealed.reason) == ("rule crm.people.email", None, "a court asked")
    assert revealed.detail == {"token": "t"}
    assert revealed.login
