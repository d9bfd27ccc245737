"""What a worker decides about its replay: which records are of it, which version masks them, and whether it goes on."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from cdc_masker.events import Record
from cdc_masker.kafka.batch import Batch, Span
from cdc_masker.kafka.checkpoints import Checkpoint, PartitionHalted, Resumption, resume
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.kafka.replays import Cancelled, Course
from cdc_masker.kafka.wire import Committed
from cdc_masker.keys import new_keyring
from cdc_masker.policies import EMPTY, Policy, Rule
from cdc_masker.ports import Replay, Stretch
from cdc_masker.settings import load
from cdc_masker.testing import MemoryGenerations, MemoryPolicies

HERE = TopicPartition("shop.a", 1)
REPLAY = Replay(
    generation=2,
    policy_version=5,
    stays=True,
    pattern=r"shop\..*",
    reason="a test",
    created_at=datetime(2026, 11, 22, tzinfo=UTC),
    created_by="me",
    state="running",
    stretches=(Stretch("shop.a", 1, "id", 10, 30),),
)
ENDS = replace(REPLAY, stays=False)


async def course(*found: Replay | None) -> Course:
    """A course that was looked at once; each look finds the next of these."""
    left = list(found)

    async def find(number: int) -> Replay | None:
        assert number == 2
        return left.pop(0)

    made = Course(2, MemoryGenerations(), find)
    await made.look()
    return made


def batch(start: int, end: int) -> Batch:
    records = [Record(HERE.topic, HERE.partition, offset, 0, None, b"", ()) for offset in range(start, end, 2)]
    return Batch(partition=HERE, epoch=1, start=start, end=end, highwater=end, size=1, records=records)


def test_a_batch_is_cut_at_the_bound() -> None:
    span = Span(start=10, end=30)
    assert span.cut(batch(20, 30)) == batch(20, 30)
    cut = span.cut(batch(26, 36))
    assert (cut.start, cut.end, [record.offset for record in cut.records]) == (26, 30, [26, 28])
    assert span.cut(batch(30, 36)).records == []
    assert Span(start=10).cut(batch(26, 36)) == batch(26, 36)
    assert [span.ends(came) for came in (29, 30, 31)] == [False, True, True]
    assert not Span().ends(2**63 - 1)
    assert [span.lag(20, 25), span.lag(20, 90), span.lag(35, 90), Span().lag(20, 90)] == [5, 10, 0, 70]


async def test_a_partition_is_masked_as_the_replay_says() -> None:
    assert (await course(None)).span(HERE, "id", begun=False) == Span()
    assert (await course(REPLAY)).span(HERE, "id", begun=False) == Span(10, None, 30)
    assert (await course(ENDS)).span(HERE, "id", begun=False) == Span(10, 30, 30)
    later = TopicPartition("shop.a", 2)
    assert (await course(REPLAY)).span(later, "id", begun=False) == Span(), "what came later is masked from its beginning"
    assert (await course(ENDS)).span(later, "id", begun=False).ends(0), "what ends has no place for what came later"


async def test_another_incarnation_is_masked_only_where_somebody_accepted_it() -> None:
    made = await course(REPLAY)
    with pytest.raises(PartitionHalted, match=r"shop\.a\[1\] is halted: .* since replay 2 was begun") as refused:
        made.span(HERE, "another", begun=False)
    assert refused.value.code == "other_incarnation"
    assert made.span(HERE, "another", begun=True) == Span()
    assert (await course(ENDS)).span(HERE, "another", begun=True).ends(0)


async def test_nothing_is_masked_under_an_older_version_than_before() -> None:
    made = await course(REPLAY)
    assert [made.after(version, Span(10, None, 30)).pinned for version in (0, 5, 6)] == [30, 30, 0]
    assert (await course(None)).after(6, Span()) == Span()


async def test_topics_join_by_the_pattern_if_the_replay_stays() -> None:
    topics = ("shop.a", "shop.new", "other.a", "shop")
    assert [(await course(None)).takes(topic) for topic in topics] == [True] * 4
    assert [(await course(REPLAY)).takes(topic) for topic in topics] == [True, True, False, False]
    assert [(await course(ENDS)).takes(topic) for topic in topics] == [True, False, False, False]


async def test_an_ended_topic_is_not_taken() -> None:
    class Ended(MemoryGenerations):
        async def ended(self, number: int) -> dict[str, str]:
            return {"shop.a": "closed"}

    async def none(_: int) -> Replay | None:
        return None

    made = Course(1, Ended(), none)
    await made.look()
    assert (made.takes("shop.a"), made.takes("shop.b")) == (False, True)


async def test_it_is_paused_until_it_is_resumed_or_cancelled() -> None:
    made = await course(REPLAY, replace(REPLAY, state="paused"), REPLAY, replace(REPLAY, state="cancelled"))
    await asyncio.wait_for(made.resumed(), 1)
    await made.look()
    assert made.paused
    waiting = asyncio.create_task(made.resumed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await made.look()
    await asyncio.wait_for(waiting, 1)
    assert not made.paused
    with pytest.raises(Cancelled, match="replay 2 was cancelled"):
        await made.look()


def began(span: Span, *, earliest: int = 0, end: int = 100, committed: int | None = None) -> Resumption:
    checkpoint = Checkpoint(head="h", policy=5, incarnation="id").encode()
    return resume(
        *HERE,
        incarnation="id",
        committed=None if committed is None else Committed(committed, checkpoint),
        audited=None,
        masked_before=False,
        earliest=earliest,
        end=end,
        span=span,
    )


def test_a_replay_begins_where_it_was_said_or_not_at_all() -> None:
    assert began(Span(10, 30)).offset == 10
    assert began(Span(), earliest=7).offset == 7
    assert began(Span(10, 30), committed=20).offset == 20
    for edge in ({"earliest": 11}, {"end": 9}):
        with pytest.raises(PartitionHalted, match="its replay begins at offset 10, but the log now holds") as refused:
            began(Span(10, 30), **edge)
        assert refused.value.code == "out_of_range"


def test_what_came_to_its_bound_needs_its_log_no_more() -> None:
    assert began(Span(10, 30), committed=30, earliest=50).offset == 30
    assert began(Span(10, 10), earliest=50).offset == 10  # nothing was there when it began
    with pytest.raises(PartitionHalted):
        began(Span(10, 30), committed=29, earliest=50)


def policy(version: int, method: str) -> Policy:
    reason = "a test" if method == "keep" else None
    return Policy.of(version, rules=[Rule(schema="s", table="t", column="c", method=method, reason=reason)])


def versions(maskers: Maskers) -> tuple[int, int]:
    """Those that mask before the bound and behind it."""
    return tuple(maskers.get(1 << 20, EMPTY, pinned=pinned).policy.version for pinned in (True, False))  # type: ignore[return-value]


async def test_the_pin_holds_until_a_stricter_version_is_in_force(caplog: pytest.LogCaptureFixture) -> None:
    source = MemoryPolicies(policy(1, "keep"))
    maskers = Maskers(load(), source, new_keyring(), policy(1, "keep"), policy(1, "keep"))
    assert versions(maskers) == (1, 1)
    source.release(
        Policy.of(2, rules=[*policy(2, "keep").rules, Rule(schema="s", table="u", column="c", method="keep", reason="r")])
    )
    await maskers.refresh()
    assert versions(maskers) == (1, 2), "the newer version shows more"
    source.release(policy(3, "null"))
    with caplog.at_level(logging.WARNING):
        await maskers.refresh()
    assert versions(maskers) == (3, 3)
    assert "version 1, which the replay was begun with, is not used any more: version 3" in caplog.text
    assert "s.t.c" in caplog.text
    source.release(policy(4, "keep"))
    await maskers.refresh()
    assert versions(maskers) == (4, 4), "it does not come back"


@pytest.mark.parametrize(("in_force", "pin"), [(policy(2, "null"), policy(1, "keep")), (policy(1, "keep"), policy(2, "null"))])
def test_a_pin_that_is_weaker_or_not_in_force_yet_is_never_used(in_force: Policy, pin: Policy) -> None:
    maskers = Maskers(load(), MemoryPolicies(in_force), new_keyring(), in_force, pin)
    assert versions(maskers) == (in_force.version,) * 2
