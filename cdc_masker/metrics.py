"""What the worker tells Prometheus, and the small site that tells it.

Labels are topics, partitions, outcomes and reason codes: nothing that came out of a record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cdc_masker.events import AuditEntry, Fate
from cdc_masker.evidence import LONGEST_NAME, MOST_COLUMNS, OTHERS

__all__ = [
    "AUDIT_LAG",
    "BATCH_SECONDS",
    "GENERATION",
    "KEY_EPOCH",
    "POLICIES_REFUSED",
    "POLICY_VERSION",
    "RECORDS",
    "STALE_BATCHES",
    "VALUES_REDACTED",
    "Progress",
    "count",
    "count_redacted",
    "expose",
    "render",
]

Columns = Callable[[], Mapping[str, Collection[str]]]
"""Names of columns by topic; only their number is told."""

_registry = CollectorRegistry()

RECORDS = Counter(
    "cdc_masker_records", "Source records by what became of them.", ["topic", "outcome", "reason"], registry=_registry
)
BATCH_SECONDS = Histogram("cdc_masker_batch_seconds", "Seconds to mask and publish one batch.", registry=_registry)
AUDIT_LAG = Gauge("cdc_masker_audit_lag", "Audit entries that are not in PostgreSQL yet.", registry=_registry)
POLICY_VERSION = Gauge("cdc_masker_policy_version", "Policy version in use.", registry=_registry)
GENERATION = Gauge("cdc_masker_generation", "Generation of masked topics that is made.", registry=_registry)
KEY_EPOCH = Gauge("cdc_masker_key_epoch", "Epoch of the keys in use.", registry=_registry)
POLICIES_REFUSED = Counter(
    "cdc_masker_policies_refused", "Looks at the catalog that found a policy that can't be used.", registry=_registry
)
STALE_BATCHES = Counter(
    "cdc_masker_stale_batches", "Batches of an earlier assignment, dropped unpublished.", registry=_registry
)
VALUES_REDACTED = Counter(
    "cdc_masker_values_redacted",
    "Columns of records with a value that their method could not take, redacted; by the method's reason.",
    ["topic", "column", "reason"],
    registry=_registry,
)

_columns: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition has come: `lag` offsets are not masked yet; `halted` is a code when somebody must act, `done` one
    when no more is masked.
    """

    topic: str
    partition: int
    lag: int
    halted: str | None
    done: str | None = None


def count(entry: AuditEntry, *, seconds: float) -> None:
    """Counts a batch that was published."""
    BATCH_SECONDS.observe(seconds)
    for fate in (Fate.MASKED, Fate.CONTROL):
        RECORDS.labels(entry.topic, fate, "").inc(entry.counts[fate])
    for note in entry.notes:
        RECORDS.labels(entry.topic, note.fate, note.reason).inc()


def count_redacted(topic: str, column: str, reason: str, records: int) -> str:
    """Counts a column of so many records. Gives the name under which: events may have names without end, labels may not."""
    if (topic, column) not in _columns:
        if len(_columns) >= MOST_COLUMNS or len(column) > LONGEST_NAME:
            column = OTHERS
        else:
            _columns.add((topic, column))
    VALUES_REDACTED.labels(topic, column, reason).inc(records)
    return column


def expose(progress: Callable[[], Iterable[Progress]], undecided: Columns, collapsed: Columns, withheld: Columns) -> None:
    """Has each scrape ask how far the partitions are that this worker has at that moment, and which columns people should
    decide on.
    """
    _registry.register(_Partitions(progress))
    for name, meaning, columns in (
        ("cdc_masker_undecided_columns", "Columns seen that no rule decides on; they are redacted.", undecided),
        ("cdc_masker_collapsed_key_columns", "Key columns seen in which a constant stands.", collapsed),
        ("cdc_masker_withheld_columns", "Columns seen that wait for a generation in which rows have another shape.", withheld),
    ):
        _registry.register(_Columns(name, meaning, columns))


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(_registry)


class _Partitions(Collector):
    def __init__(self, progress: Callable[[], Iterable[Progress]]) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        lags = GaugeMetricFamily(
            "cdc_masker_consumer_lag", "Source offsets that are not masked yet.", labels=["topic", "partition"]
        )
        halts = GaugeMetricFamily(
            "cdc_masker_partition_halted", "1 for a partition that waits for somebody.", labels=["topic", "partition", "code"]
        )
        done = GaugeMetricFamily(
            "cdc_masker_partition_done",
            "1 for a partition that is masked no more: its replay came to its bound, or its generation ended.",
            labels=["topic", "partition", "code"],
        )
        for one in self._progress():
            lags.add_metric([one.topic, str(one.partition)], one.lag)
            if one.halted is not None:
                halts.add_metric([one.topic, str(one.partition), one.halted], 1)
            if one.done is not None:
                done.add_metric([one.topic, str(one.partition), one.done], 1)
        yield lags
        yield halts
        yield done


class _Columns(Collector):
    def __init__(self, name: str, meaning: str, columns: Columns) -> None:
        self._name = name
        self._meaning = meaning
        self._columns = columns

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(self._name, self._meaning, labels=["topic"])
        for topic, names in self._columns().items():
            gauge.add_metric([topic], len(names))
        yield gauge
