"""The parts of a worker that decide, without servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from cdc_masker import metrics
from cdc_masker.batches import gathered
from cdc_masker.errors import PolicyError, SetupError, TransientError, UnverifiedError
from cdc_masker.events import Fate, Outcome, Record, Treatment
from cdc_masker.evidence import head_of
from cdc_masker.kafka.alarm import GuardAlarm
from cdc_masker.kafka.auditing import AuditLag
from cdc_masker.kafka.batch import Batch
from cdc_masker.kafka.checkpoints import (
    Checkpoint,
    PartitionHalted,
    Resumption,
    check_epoch,
    check_head,
    resume,
)
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.gate import Gate
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.presence import Presence
from cdc_masker.kafka.replays import Course
from cdc_masker.kafka.subjects import SubjectKeys, Unconfirmed
from cdc_masker.kafka.topics import Topics
from cdc_masker.kafka.wire import Committed
from cdc_masker.keys import Keyring, new_keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.policies import EMPTY, Policy, Rule
from cdc_masker.settings import Settings, load
from cdc_masker.testing import MemoryAudit, MemoryGenerations, MemoryPolicies, MemorySubjects
from tests.entries import entry

HERE = "here"
HEAD = "sha256:" + "ab" * 32
CHECKPOINT = Checkpoint(head=HEAD, policy=7, incarnation=HERE).encode()


def at(**known: Any) -> Resumption:
    """Where masking goes on in a log that holds the offsets 10 to 99."""
    nothing = {"committed": None, "audited": None, "masked_before": False, "incarnation": HERE, "earliest": 10, "end": 100}
    return resume("shop.crm.customers", 2, **(nothing | known))


def test_the_committed_offset_comes_first_then_the_audit_then_the_start() -> None:
    assert at() == Resumption(10, 0, "")
    last = entry(10, 41, policy_version=3)
    assert at(audited=last) == Resumption(42, 3, head_of(last))
    assert at(audited=last, committed=Committed(50, CHECKPOINT), masked_before=True) == Resumption(50, 7, HEAD)
    assert at(committed=Committed(100, CHECKPOINT)) == Resumption(100, 7, HEAD)


def test_the_audit_has_to_end_as_the_committed_offset_says() -> None:
    last = entry(10, 41)
    log = "shop.crm.customers", 2
    assert check_head(*log, resumption=Resumption(10, 0, ""), audited=None)
    assert check_head(*log, resumption=Resumption(42, 1, head_of(last)), audited=last)
    assert not check_head(*log, resumption=Resumption(50, 1, HEAD), audited=last), "entries are on their way"
    assert not check_head(*log, resumption=Resumption(50, 1, HEAD), audited=None), "entries are on their way"
    for other in (Resumption(42, 1, HEAD), Resumption(42, 1, ""), Resumption(40, 1, head_of(last)), Resumption(10, 0, "")):
        with pytest.raises(PartitionHalted) as refused:
            check_head(*log, resumption=other, audited=last)
        assert refused.value.code == "audit_mismatch"


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"committed": Committed(9, CHECKPOINT)}, "out_of_range"),
        ({"committed": Committed(101, CHECKPOINT)}, "out_of_range"),
        ({"audited": entry(0, 5)}, "out_of_range"),
        ({"committed": Committed(50, CHECKPOINT), "incarnation": "another"}, "other_incarnation"),
        ({"masked_before": True}, "other_incarnation"),
        ({"committed": Committed(50, "")}, "foreign_offset"),
        ({"committed": Committed(50, '{"v":1}')}, "foreign_offset"),
        ({"committed": Committed(50, "\ud800")}, "foreign_offset"),
    ],
)
def test_a_position_that_does_not_fit_halts_the_partition(known: dict[str, Any], code: str) -> None:
    with pytest.raises(PartitionHalted, match=r"shop\.crm\.customers\[2\]") as refused:
        at(**known)
    assert refused.value.code == code


def test_a_checkpoint_is_as_documented() -> None:
    assert f'{{"v":1,"head":"{HEAD}","policy":7,"incarnation":"here"}}' == CHECKPOINT
    assert Checkpoint.decode(CHECKPOINT) == Checkpoint(head=HEAD, policy=7, incarnation=HERE)


KEYS = Keyring.of([RootKey(id=f"k{epoch}", epoch=epoch, root=bytes([epoch]) * 32) for epoch in (1, 2)])


def policy(version: int, method: str = "null", *, epoch: int = 1) -> Policy:
    return Policy.of(version, key_epoch=epoch, rules=[Rule(schema="crm", table="customers", column="email", method=method)])


def policies_refused() -> float:
    (line,) = (line for line in metrics.render().decode().splitlines() if line.startswith("cdc_masker_policies_refused_total "))
    return float(line.split()[1])


def parts_of(settings: Settings, source: MemoryPolicies, policy: Policy) -> Parts:
    cluster, keys = Cluster(settings), new_keyring()
    subjects = SubjectKeys(settings, MemorySubjects(), keys)

    async def no_replay(_: int) -> None:
        return None

    generations = MemoryGenerations()
    return Parts(
        settings=settings,
        worker="test",
        cluster=cluster,
        topics=Topics(cluster, settings),
        generations=generations,
        course=Course(settings.generation, generations, no_replay),
        audit=MemoryAudit(),
        lag=AuditLag(settings, cluster),
        maskers=Maskers(settings, source, keys, policy),
        subjects=subjects,
        presence=Presence(settings, "test", MemorySubjects(), subjects),
        alarm=GuardAlarm(settings.guard_limit),
    )


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load()


async def test_a_policy_is_replaced_by_a_newer_one_only(settings: Settings) -> None:
    source = MemoryPolicies(policy(2))
    maskers = Maskers(settings, source, new_keyring(), policy(2))
    before = maskers.get(1 << 20, EMPTY)
    for refused in (policy(1), policy(2, "redact"), policy(3, "no-such-method")):
        count = policies_refused()
        source.release(refused)
        await maskers.refresh()
        assert maskers.get(1 << 20, EMPTY) is before
        assert policies_refused() == count + 1
    changed = asyncio.ensure_future(maskers.changed())
    await asyncio.sleep(0)
    source.release(policy(4))
    await maskers.refresh()
    await asyncio.wait_for(changed, 1)
    assert maskers.policy.version == maskers.get(1 << 20, EMPTY).policy.version == 4
    assert before.policy.version == 2  # a batch that holds it is masked by it to its end


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Unverified(MemoryPolicies):
    """What is released, unless something is wrong with the catalog."""

    wrong: Exception | None = None

    async def current(self, key_epoch: int | None = None) -> Policy:
        if self.wrong is not None:
            raise self.wrong
        return await super().current(key_epoch)


async def test_a_catalog_that_does_not_verify_stops_masking_until_it_does(settings: Settings) -> None:
    source = Unverified(policy(2))
    maskers = Maskers(settings, source, new_keyring(), policy(2))
    assert maskers.gate.closed is None
    for wrong, goes_on in (
        (TransientError("away"), True),
        (PolicyError("version 3", "comes from unmerged revisions"), True),
        (UnverifiedError("version 2", "is not what was verified before"), False),
        (TransientError("away"), False),
        (PolicyError("version 3", "comes from unmerged revisions"), True),
        (UnverifiedError("version 2", "is not what was verified before"), False),
        (None, True),
    ):
        source.wrong = wrong
        await maskers.refresh()
        assert (maskers.gate.closed is None) == goes_on
        assert maskers.policy.version == 2


async def test_a_catalog_that_is_not_heard_from_stops_masking_after_a_while(settings: Settings) -> None:
    source, clock = Unverified(policy(2)), Clock()
    parts = parts_of(settings, source, policy(2))
    maskers = parts.maskers
    maskers.gate = Gate(10, clock=clock)
    for wrong in (TransientError("away"), SetupError("PostgreSQL refused the login")):
        clock.now, source.wrong = clock.now + 9, None
        await maskers.refresh()
        source.wrong = wrong
        clock.now += 9
        await maskers.refresh()
        assert parts.masking
        parts.confirm()
        clock.now += 1
        assert not parts.masking
        with pytest.raises(Unconfirmed, match="version 2"):
            parts.confirm()
        waiting = asyncio.ensure_future(parts.may_mask())
        source.wrong = PolicyError("version 3", "comes from unmerged revisions")  # so it was heard from
        await maskers.refresh()
        await asyncio.wait_for(waiting, 1)


async def test_rows_keep_the_shape_of_the_version_under_which_their_topic_began(settings: Settings) -> None:
    source = MemoryPolicies(policy(1, "keep"))
    for version, method in ((2, "drop"), (3, "null")):
        source.release(policy(version, method))
    maskers = Maskers(settings, source, new_keyring(), policy(2, "drop"))
    first = await maskers.beginning(1)
    assert (first.version, await maskers.beginning(0)) == (1, EMPTY)
    for version in (2, 3):
        shapes = [maskers.get(1 << 20, began).shape_version for began in (first, await maskers.beginning(2))]
        assert (maskers.policy.version, shapes) == (version, [1, None if version == 2 else 2])
        await maskers.refresh()
    with pytest.raises(PolicyError, match="version 9"):
        await maskers.beginning(9)


async def test_a_policy_of_another_epoch_is_for_other_generations(settings: Settings) -> None:
    source = MemoryPolicies(policy(2))
    maskers = Maskers(settings, source, KEYS, policy(2))
    source.release(policy(3, epoch=2))
    count = policies_refused()
    await maskers.refresh()
    assert maskers.policy.version == 2
    source.release(policy(4))
    source.release(policy(5, epoch=2))
    await maskers.refresh()
    assert (maskers.policy.version, maskers.policy.key_epoch) == (4, 1)
    assert policies_refused() == count

    Maskers(settings.model_copy(update={"generation": 2}), source, KEYS, policy(5, epoch=2))
    told = metrics.render().decode()
    assert "cdc_masker_generation 2.0" in told
    assert "cdc_masker_key_epoch 2.0" in told


def test_a_generation_that_began_under_another_epoch_halts_the_partition() -> None:
    check_epoch("shop.crm.customers", 2, generation=3, began=4, used=4)
    for began, used in ((4, 5), (5, 4)):
        with pytest.raises(
            PartitionHalted, match=rf"\[2\] is halted: its generation 3 .* epoch {began}, .* epoch {used}"
        ) as halted:
            check_epoch("shop.crm.customers", 2, generation=3, began=began, used=used)
        assert halted.value.code == "other_epoch"


def test_a_policy_that_does_not_compile_is_refused_at_the_start(settings: Settings) -> None:
    with pytest.raises(PolicyError, match=r"crm\.customers\.email"):
        Maskers(settings, MemoryPolicies(), new_keyring(), policy(1, "no-such-method"))


async def test_a_batch_of_an_earlier_assignment_is_dropped(settings: Settings) -> None:
    lanes = Lanes(parts_of(settings, MemoryPolicies(), EMPTY))
    late = Batch(TopicPartition("raw", 0), 1, 0, 1, 1, 6, (Record("raw", 0, 0, 0, None, b"canary"),))
    assert "canary" not in repr(late)
    await lanes.take(late)
    assert b"cdc_masker_stale_batches_total 1.0" in metrics.render()
    assert lanes.hungry() == []


def test_values_that_do_not_fit_are_counted_and_told_once_under_bounded_names(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def outcome(*misfits: tuple[str, str]) -> Outcome:
        return Outcome(Fate.MASKED, "misfits", 0, 0, 0, misfits=misfits, treatments=(Treatment("a.table", ()),))

    def counted(column: str, reason: str) -> float:
        labels = {"topic": "misfits", "column": column, "reason": reason}
        found = metrics.VALUES_REDACTED.labels(**labels)._value.get()
        return float(found)

    maskers = Maskers(settings, MemoryPolicies(), new_keyring(), EMPTY)
    outcomes = [outcome(("email", "format"), ("name", "erased")), outcome(), outcome(("email", "format"))]
    maskers.look("misfits", gathered(outcomes))
    assert (counted("email", "format"), counted("name", "erased")) == (2, 1)
    with caplog.at_level("WARNING", "cdc_masker.kafka.maskers"):
        maskers.tell()
        maskers.tell()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "misfits: values redacted, since their method can't take them (format): email",
        "misfits: values redacted, since their method can't take them (erased): name",
    ]

    maskers.look("misfits", gathered([outcome((f"column {number}", "type")) for number in range(2000)]))
    assert counted("(others)", "type") >= 1000
    assert metrics.render().count(b"cdc_masker_values_redacted_total{") < 1100
