"""Rotation on the real stack: keys of a new epoch mask into a new generation of topics, beside the one that there is."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.exactness import assert_exactly_once
from tests.integration.kit import Deployment, Worker, until

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

PARTITIONS = 2
CUSTOMERS, ORDERS = 60, 150


@dataclass(frozen=True)
class Copy:
    """The records of a copy of both topics, by table."""

    records: dict[str, list[Any]]

    def origins(self, name: str) -> set[int]:
        """What stands under this name in the headers that tell what made the records."""
        return {_origin(record)[name] for records in self.records.values() for record in records}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What compaction leaves: of each key the last row, and none where the last record is a tombstone."""
        last = {record.key: record.value for record in self.records[table]}
        return [json.loads(value)["after"] for value in last.values() if value is not None]

    def joined(self) -> list[int]:
        """How many pairs of a customer and an order join, for each value that they join on."""
        customers = Counter(row["id"] for row in self.rows("customers"))
        orders = Counter(row["customer"] for row in self.rows("orders"))
        return sorted(customers[value] * orders[value] for value in customers.keys() & orders.keys())


def test_two_epochs_never_meet_in_one_topic(deploy: Deploy) -> None:
    deployment = deploy()
    topics = {table: f"{deployment.topic}.{table}" for table in ("customers", "orders")}
    for topic in topics.values():
        deployment.create(topic, PARTITIONS)
    deployment.say(
        *(f'op.shape_topic("{topic}", shape="debezium", table="shop.{table}")' for table, topic in topics.items()),
        'op.declare_domain("customer", type="int8")',
        'op.mask_column("shop.customers", "id", method="tokenize", type="int8", domain="customer")',
        'op.keep_column("shop.orders", "number", reason="an identity without meaning")',
        'op.mask_column("shop.orders", "customer", method="tokenize", type="int4", domain="customer")',
    )
    _produce(deployment, topics, first=0)
    first = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == _events(deployment, topics), 60, first.log.read_text)

    # The key is rotated, and a policy says so. Who masks the first generation goes on under the version before.
    _rotate(deployment)
    deployment.say("op.use_key_epoch(2)")
    _produce(deployment, topics, first=1000)
    until(lambda: deployment.audited() == _events(deployment, topics), 60, first.log.read_text)
    first.kill()
    first = deployment.ready(deployment.start())
    second = deployment.ready(deployment.start(generation="2"))
    _produce(deployment, topics, first=2000)
    raw = _events(deployment, topics)
    until(lambda: deployment.audited() == 2 * raw, 60, lambda: first.log.read_text() + second.log.read_text())
    assert (_uses(first), _uses(second)) == ((1, 1, 2), (2, 2, 3))

    source = _copy(deployment, topics)
    masked = {table: deployment.masked_topic(topic) for table, topic in topics.items()}
    one, two = _copy(deployment, masked), _copy(deployment, {table: f"{topic}.g2" for table, topic in masked.items()})
    for copy, number, version in ((one, 1, 2), (two, 2, 3)):
        assert copy.origins("g") == copy.origins("ke") == {number}
        assert copy.origins("pv") == {version}
        # Inside a generation joins hold, and so do keys: compaction leaves as many rows, and tombstones end as many.
        assert copy.joined() == source.joined()
        assert [len(copy.rows(table)) for table in topics] == [len(source.rows(table)) for table in topics]
    for topic in topics.values():
        for end in ("", ".g2"):
            assert_exactly_once(deployment.masked(topic + end), deployment.end_offsets(topic))
    # Across generations nothing joins.
    assert len(source.joined()) > CUSTOMERS
    assert not {row["id"] for row in one.rows("customers")} & {row["customer"] for row in two.rows("orders")}
    assert {(entry.generation, entry.key_epoch, entry.policy_version) for entry in deployment.audit()} == {(1, 1, 2), (2, 2, 3)}

    # A correction for the first generation is a version of its epoch, which the second one never sees.
    deployment.say("op.use_key_epoch(1)", 'op.drop_column("shop.customers", "note")')
    deployment.say("op.use_key_epoch(2)")
    until(lambda: (_uses(first), _uses(second)) == ((1, 1, 4), (2, 2, 5)), 30, second.log.read_text)

    code, shown, _ = deployment.run("audit", "show", "--limit", "1000")
    assert (code, {line.split("\t")[2] for line in shown.splitlines()[1:]}) == (0, {"1", "2"})
    code, shown, problem = deployment.run("leaks")
    assert code == 0, shown + problem
    assert all(f"topic {topic}{end}: " in shown for topic in masked.values() for end in ("", ".g2"))


def test_a_topic_whose_generation_has_another_epoch_is_not_masked(deploy: Deploy) -> None:
    deployment = deploy()
    older, newer = f"{deployment.topic}.older", f"{deployment.topic}.newer"
    for topic, after in ((older, "op.use_key_epoch(2)"), (newer, "op.use_key_epoch(3)")):
        deployment.create(topic)
        deployment.produce(5, topic=topic)
        worker = deployment.ready(deployment.start(source_topics=re.escape(topic)))
        until(lambda: len(deployment.masked(topic)) == 5, 30, worker.log.read_text)  # noqa: B023 - awaited here
        worker.kill()
        _rotate(deployment)
        deployment.say(after)

    for topic in (older, newer):
        deployment.produce(5, topic=topic, first=5)
    worker = deployment.ready(deployment.start())
    until(lambda: len(deployment.masked(newer)) == 10, 30, worker.log.read_text)
    assert {(entry.topic, entry.key_epoch) for entry in deployment.audit()} == {(older, 1), (newer, 2)}
    assert len(deployment.masked(older)) == 5
    assert f'cdc_masker_partition_halted{{code="other_epoch",partition="0",topic="{older}"}} 1.0' in worker.page("metrics")[1]
    halted = f"{older}[0] is halted: its generation 1 was begun with keys of epoch 1, and the policy in use has epoch 2; mask"
    assert halted in worker.log.read_text()


def _rotate(deployment: Deployment) -> None:
    code, _, problem = deployment.run("keys", "rotate", deployment.environment["CDC_MASKER_KEYS_FILE"])
    assert code == 0, problem


def _produce(deployment: Deployment, topics: dict[str, str], first: int) -> None:
    """Customers, of whom every fifth is deleted, and orders, some of them of customers who are not there."""

    def customer(number: int) -> tuple[bytes, bytes | None]:
        person, step = divmod(number, 3)
        row = {"id": first + person, "name": f"person {first + person}", "note": "-" * 20}
        key = _json({"id": row["id"]})
        if person % 5 or step == 0:
            return key, _event("customers", None, row)
        return key, _event("customers", row, None) if step == 1 else None

    def order(number: int) -> tuple[bytes, bytes | None]:
        row = {"number": first + number, "customer": first + number % (CUSTOMERS + 10)}
        return _json({"number": row["number"]}), _event("orders", None, row)

    deployment.produce(3 * CUSTOMERS, topic=topics["customers"], make=customer)
    deployment.produce(ORDERS, topic=topics["orders"], partitions=PARTITIONS, make=order)


def _event(table: str, before: Any, after: Any) -> bytes:
    source = {"connector": "postgresql", "name": "shop", "schema": "shop", "table": table, "ts_ms": 1_700_000_000_000}
    return _json({"before": before, "after": after, "source": source, "op": "c" if after else "d", "ts_ms": 1})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _events(deployment: Deployment, topics: dict[str, str]) -> int:
    return sum(sum(deployment.end_offsets(topic).values()) for topic in topics.values())


def _uses(worker: Worker) -> tuple[float, ...]:
    return tuple(worker.metric(f"cdc_masker_{name}") for name in ("generation", "key_epoch", "policy_version"))


def _copy(deployment: Deployment, topics: dict[str, str]) -> Copy:
    return Copy({table: deployment.records(topic) for table, topic in topics.items()})


def _origin(record: Any) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", dict(record.headers)["cdc-masker"].decode())}
