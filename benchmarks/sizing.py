"""How much one needs for a number of events a second, from what one event costs.

The costs are those of the last comparison (`.bench/last.json`) if there is one; each can be given instead. What is computed is
what masking needs: the source database, Debezium and the consumers come on top. `benchmarks/README.md` tells the formulas.

Run: python -m benchmarks.sizing --events 1000000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

import orjson

from benchmarks.compare import BENCH

__all__ = ["Needs", "Plan", "costs_of", "needs", "table"]

_DAY = 86_400
_MB = 1_000_000
_ENTRY_RECORDS = 4_200
"""What batches of a backlog of 952 bytes have: the answer to a fetch ends before the 5000 records that a batch may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be masked, and what it costs.

    `worker_us` and `broker_us` are processor microseconds of worker and broker for an event, `worker_rate` the events a second
    that one worker masks, `entry_records` the records of a batch, `entry_bytes` what its audit row takes in PostgreSQL with its
    indexes, and `row_us` the processor microseconds of PostgreSQL for such a row. `load` is the share of a processor, disk or
    link that is to be used at most. A broker has `broker_cores` and writes `broker_mb` a second to its disks at most.
    """

    events: int = 1_000_000
    event_bytes: int = 952
    worker_us: float
    broker_us: float
    worker_rate: float
    entry_records: int = _ENTRY_RECORDS
    entry_bytes: int = 1_750
    row_us: float = 1_000.0
    load: float = 0.6
    replicas: int = 3
    broker_cores: int = 16
    broker_mb: int = 500
    row_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the plan takes. Each worker is a process with one core, and each partition is masked by one of them."""

    workers: int
    partitions: int
    broker_cores_used: float
    broker_mb_written: float
    broker_mb_read: float
    brokers: int
    rows_a_second: float
    postgres_cores: float
    postgres_gb: float


def needs(plan: Plan) -> Needs:
    """Computes them. Raises `ValueError` for costs that are no costs."""
    if min(plan.worker_us, plan.broker_us, plan.worker_rate, plan.load, plan.events) <= 0 or plan.load > 1:
        raise ValueError("events, costs and load have to be more than 0, and load at most 1")
    of_one = min(plan.worker_rate, 1e6 / plan.worker_us) * plan.load
    workers = ceil(plan.events / of_one)
    # Raw and masked records are each written by the leader and by its followers.
    written = 2 * plan.events * plan.event_bytes * plan.replicas / _MB
    # The followers read both; the worker reads the raw ones, and one group of consumers the masked ones.
    read = 2 * plan.events * plan.event_bytes * (plan.replicas - 1) / _MB + 2 * plan.events * plan.event_bytes / _MB
    # Replication costs a follower about what a producer's request costs the leader; it is counted as the same again.
    cores = plan.events * plan.broker_us / 1e6 * plan.replicas
    rows = plan.events / plan.entry_records
    return Needs(
        workers=workers,
        partitions=2 * workers,  # so that a worker may be taken away, and the others get one more each
        broker_cores_used=cores,
        broker_mb_written=written,
        broker_mb_read=read,
        brokers=max(
            plan.replicas,
            ceil(cores / (plan.broker_cores * plan.load)),
            ceil(written / (plan.broker_mb * plan.load)),
        ),
        rows_a_second=rows,
        postgres_cores=rows * plan.row_us / 1e6,
        postgres_gb=rows * plan.entry_bytes * _DAY * plan.row_days / 1e9,
    )


def costs_of(document: Mapping[str, Any]) -> dict[str, float]:
    """The costs that a comparison measured, by the names that `Plan` has for them."""
    worker = document["programs"]["worker"]
    return {
        "event_bytes": document["events"]["bytes"],
        "worker_us": worker["cpu_us"]["program"],
        "broker_us": worker["cpu_us"]["kafka"],
        "worker_rate": worker["median"],
        "row_us": worker["cpu_us"]["postgres"] * _ENTRY_RECORDS,
    }


def table(plan: Plan, found: Needs) -> str:
    """What is needed, in Markdown."""
    rows = (
        ("workers, of one core each", f"{found.workers:,}", f"{plan.worker_rate:,.0f} events/s each at full load"),
        ("partitions, at least", f"{found.partitions:,}", "two for each worker"),
        (
            "brokers",
            f"{found.brokers:,}",
            f"{plan.broker_cores} cores, {plan.broker_mb} MB/s of disk, {plan.replicas} replicas",
        ),
        ("cores of all brokers", f"{found.broker_cores_used:,.0f}", f"{plan.broker_us:.1f} µs an event, for each replica"),
        ("MB/s written by brokers", f"{found.broker_mb_written:,.0f}", "raw and masked, each replica"),
        ("MB/s read from brokers", f"{found.broker_mb_read:,.0f}", "by replicas, workers and one group of consumers"),
        ("audit rows a second", f"{found.rows_a_second:,.0f}", f"{plan.entry_records:,} records in a batch"),
        ("cores of PostgreSQL", f"{found.postgres_cores:,.2f}", f"{plan.row_us:,.0f} µs a row"),
        (f"GB of audit rows in {plan.row_days} days", f"{found.postgres_gb:,.0f}", f"{plan.entry_bytes:,} bytes a row"),
    )
    title = f"| for {plan.events:,} events/s of {plan.event_bytes:,} bytes, at {plan.load:.0%} load | | from |"
    return "\n".join([title, "| --- | ---: | --- |", *(f"| {' | '.join(row)} |" for row in rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description="Computes what masking needs.")
    for each in fields(Plan):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=float if each.type == "float" else int)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        measured = costs_of(orjson.loads((BENCH / "last.json").read_bytes()))
    except FileNotFoundError:
        measured = {}
    missing = {"worker_us", "broker_us", "worker_rate"} - set(measured) - set(given)
    if missing:
        wanted = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(missing))
        parser.error(f"there is no comparison to take costs from: run `make bench`, or give {wanted}")
    plan = Plan(**{**measured, **given})
    try:
        print(table(plan, needs(plan)))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
